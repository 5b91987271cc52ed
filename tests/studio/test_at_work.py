"""What is half typed is no fault while somebody types it, and is one as soon as they leave it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from studio.actions import drafts
from studio.actions.at_work import AtWork, at_work
from studio.context import AppContext

APP = Path(__file__).resolve().parents[2] / "studio" / "navigation.py"


@pytest.fixture
def id(context: AppContext) -> str:
    made = drafts.create(context)
    drafts.set_text(context, made, "name", "Tova")
    drafts.set_text(
        context, made, "persona", "A mitten who runs the lost-property office at the pier, brisk and gentle, short."
    )
    return made


@pytest.fixture
def go() -> Callable[..., AppTest]:
    """A browser tab, led to a step of a character; with `tab`, the same one goes on."""

    def gone(id: str, step: int, tab: AppTest | None = None) -> AppTest:
        shown = tab or AppTest.from_file(str(APP), default_timeout=120).switch_page("app_pages/create.py")
        shown.query_params["character"], shown.query_params["step"] = id, str(step)
        shown.run()
        assert not shown.exception, shown.exception
        return shown

    return gone


def told(shown: AppTest) -> str:
    """All problems of a page, and the marks of its steps."""
    pieces = [str(one.value) for kind in (shown.error, shown.warning, shown.markdown) for one in kind]
    return " ".join([*pieces, *(option for one in shown.get("button_group") for option in one.options)])


def test_a_fact_whose_answer_is_being_typed_is_no_error(
    context: AppContext, id: str, go: Callable[..., AppTest]
) -> None:
    shown = go(id, 2)

    def type_into(label: str, words: str) -> None:
        next(one for one in shown.text_input if one.label == label).set_value(words).run()
        assert not shown.exception

    type_into("Question 1", "Where do you work?")
    assert "has no answer" not in told(shown)
    type_into("Question 2", "Where do you live?")
    assert "Fact 1 has no answer" in told(shown) and "Fact 2" not in told(shown)  # the first one was left
    type_into("Question 2", "Where do you work?")
    assert "asks the same" not in told(shown), "its answer may be the same"
    assert "Fact 2 has no answer" in told(go(id, 4, shown))
    assert "Fact 2 has no answer" in told(go(id, 2, shown)), "left for another step"
    type_into("Answer 2", "At the pier.")
    type_into("Name", "Tova Lefthand")
    assert "Fact 1 has no answer" in told(shown) and "Fact 2 asks the same as fact 1" in told(shown)


def test_a_conversation_without_its_answer_yet_is_no_error(
    context: AppContext, id: str, go: Callable[..., AppTest]
) -> None:
    shown = go(id, 3)
    for number in (1, 2):
        shown.button(key="new-talk").click().run()
        shown.text_area(key=f"words-{id}-{turn_of(context, id, number)}").set_value("Hello?").run()
        assert f"onversation {number}, turn 2 is empty" not in told(shown)
        assert ("must be mended" in told(shown)) == (number == 2), "the first was left"
    assert "must be mended" in told(go(id, 3, go(id, 2, shown)))


def turn_of(context: AppContext, id: str, number: int) -> str:
    return str(drafts.own_character(context, id).draft["interactions"][number - 1][0]["id"])


def test_what_was_taken_out_is_nobodys_work() -> None:
    draft = {"facts": [{"id": "ab", "question": "", "answer": ""}, {"id": "cd", "question": "Who?"}]}
    assert at_work(draft, ("fact-cd-answer", "x")) == AtWork("facts[0]")  # rows without words do not count
    for gone in ("fact-ab-question", "fact-ef-answer", "words-ab", "scene-ab", "nothing", ""):
        assert at_work(draft, (gone, "x")) == AtWork()
    assert at_work(draft, ("caption-01-png-place", "x")) == AtWork()  # a word against a picture is told at once
    assert at_work(draft, None) == AtWork() and at_work(draft, ("text-persona", "x")) == AtWork("persona")
