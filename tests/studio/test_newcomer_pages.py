"""What somebody new stumbled over in the wizard: warnings beside their field, and all of an import to be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.core.problems import Problem
from studio.actions import create, drafts
from studio.context import AppContext

APP = Path(__file__).resolve().parents[2] / "studio" / "navigation.py"
Open = Callable[..., AppTest]


@pytest.fixture
def open_page(context: AppContext) -> Open:
    """The wizard with these parameters in its address."""

    def opened(**params: object) -> AppTest:
        test = AppTest.from_file(str(APP), default_timeout=120).switch_page("app_pages/create.py")
        for key, value in params.items():
            test.query_params[key] = str(value)
        test.run()
        assert not test.exception, test.exception
        return test

    return opened


def fields_on(test: AppTest) -> set[str]:
    """Parts of the character that have a text field on the page."""
    keys = [field.key or "" for kind in (test.text_input, test.text_area) for field in kind]
    return {key.rsplit("-", 1)[1] for key in keys if key.startswith("text-")}


def test_every_text_is_warned_of_on_the_step_that_has_its_field(context: AppContext, open_page: Open) -> None:
    id = drafts.create(context)
    drafts.set_text(context, id, "name", "Ada")
    steps = {field: step for step in (1, 2, 3, 4) for field in fields_on(open_page(character=id, step=step))}
    assert steps["style"] == 3 and steps["persona"] == 2 and steps["licence"] == 4
    for field in ("name", "persona", "appearance", "scenario", "greeting", "style", "licence"):
        assert create.step_of(Problem(field, "Something is wrong.", "")) == steps[field], field


def test_how_they_speak_is_warned_of_beside_its_field(context: AppContext, open_page: Open) -> None:
    id = drafts.create(context)
    drafts.set_text(context, id, "name", "Ada")
    warning = "Nothing says how the character speaks"

    def warns(step: int) -> bool:
        shown = open_page(character=id, step=step)
        return any(warning in str(item.value) for kind in (shown.warning, shown.markdown) for item in kind)

    assert not warns(2) and warns(3)
    drafts.set_text(context, id, "style", "Short sentences.")
    assert not warns(3)


def test_all_conversations_of_an_import_can_be_opened(context: AppContext, open_page: Open) -> None:
    id = drafts.create(context)
    talk = "".join(f"<START>\n{{{{user}}}}: Question {number}?\n{{{{char}}}}: Aye.\n" for number in range(1, 33))
    shown = open_page(character=id, step=3)
    shown.text_area(key=f"text-{id}-pasted").set_value(talk).run()
    next(button for button in shown.button if button.label == "Read them").click().run()

    def listed() -> int:
        return sum(box.label.startswith("Conversation ") for box in shown.expander)

    assert listed() == 5
    shown.button(key="more-talks").click().run()
    assert listed() == 25 and shown.button(key="more-talks").label == "Show 7 more conversations"
    shown.button(key="more-talks").click().run()
    assert listed() == 32 and "more-talks" not in [button.key for button in shown.button]
