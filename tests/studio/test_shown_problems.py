"""What went wrong stands on the page until somebody goes on, not in one run alone."""

from __future__ import annotations

import time

import pytest
from streamlit.testing.v1 import AppTest


def page() -> None:
    """A button that fails, one that works, and a field of no matter."""
    import streamlit as st

    from studio import widgets

    def fail() -> None:
        raise ValueError("the file has no pictures")

    st.button("Bad", on_click=widgets.act, args=(fail,))
    st.button("Good", on_click=widgets.act, args=(dict,))
    st.button("Look again")
    widgets.show_problems()


def told(test: AppTest) -> list[str]:
    """The problems on the page."""
    assert not test.exception, test.exception
    return [element.value for element in (*test.error, *test.warning)]


def pressed(test: AppTest, label: str) -> AppTest:
    """The page behind a press."""
    return next(button for button in test.button if button.label == label).click().run()


@pytest.fixture
def test() -> AppTest:
    """The page on which something has gone wrong."""
    test = pressed(AppTest.from_function(page).run(), "Bad")
    assert len(told(test)) == 1 and "The file has no pictures" in told(test)[0]
    return test


def test_it_stays_when_the_page_is_drawn_anew(test: AppTest) -> None:
    before = told(test)
    assert told(test.run()) == told(pressed(test, "Look again")) == before
    assert told(pressed(test, "Bad")) == before, "said once, not twice"


def test_it_goes_with_the_next_action(test: AppTest) -> None:
    assert told(pressed(test, "Good")) == []
    assert told(test.run()) == []


def test_it_goes_with_another_address(test: AppTest) -> None:
    test.query_params["step"] = "2"
    assert told(test.run()) == []
    del test.query_params["step"]
    assert told(test.run()) == []


def test_it_goes_after_a_while(test: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.monotonic() + 61
    monkeypatch.setattr("studio.widgets.time.monotonic", lambda: later)
    assert told(test.run()) == []
