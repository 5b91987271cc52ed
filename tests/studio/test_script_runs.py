"""The studio knows which tab's run is at work."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from studio import script_runs


def page() -> None:
    """Notes its tab, and whether its own run is at work."""
    import streamlit as st

    from studio import script_runs

    script_runs.note_tab("mine")
    st.write(str(script_runs.is_at_work("mine")))


def test_a_run_is_at_work_until_its_end() -> None:
    script_runs.watch()
    test = AppTest.from_function(page).run()
    assert [element.value for element in test.markdown] == ["True"]
    assert not script_runs.is_at_work("mine") and not script_runs.is_at_work("another's")


def test_a_run_that_fails_is_over_too() -> None:
    script_runs.watch()

    def fails() -> None:
        from studio import script_runs

        script_runs.note_tab("failing")
        raise ValueError("no")

    test = AppTest.from_function(fails).run()
    assert test.exception and not script_runs.is_at_work("failing")
