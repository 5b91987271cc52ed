"""What somebody new stumbled over in the wizard: warnings beside their field, and all of an import to be read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.cli import main
from pipelines.core.character.amounts import (
    GOOD_FACTS,
    GOOD_IMAGES,
    GOOD_INTERACTIONS,
    MIN_IMAGES,
    MIN_INTERACTIONS,
    TESTED_AMOUNT,
)
from pipelines.core.character.character import message
from pipelines.core.character.character_folder import write_character
from pipelines.core.character.system_prompt import budget_words, estimate_system_prompt, system_text
from pipelines.core.problems import Problem
from studio.actions import create, drafts, images
from studio.actions.import_review import Contents, StagedUpload
from studio.context import AppContext, shared_context
from tests.toys import write_toy

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


def test_words_of_a_caption_file_stand_on_the_card(context: AppContext, open_page: Open, tmp_path: Path) -> None:
    id = drafts.create(context)
    uploads = []
    for number, image in enumerate(sorted((write_toy(tmp_path / "ada") / "images").glob("*.png"))[:2]):
        uploads += [(f"p{number}.png", image.read_bytes())]
    images.add(context, id, [*uploads, ("p0.txt", b"ada waves, in the rain")])
    page = open_page(character=id, step=1)
    own = f"caption-{id}-01.png-caption"
    assert page.text_area(key=own).value == "ada waves, in the rain"
    fields = {field.key for field in page.text_input}
    assert f"caption-{id}-01.png-expression" not in fields and f"caption-{id}-02.png-expression" in fields
    told = [str(one.value) for one in page.markdown]
    assert sum("Or in your own words" in words for words in told) == 1, "the other picture has it under Change"
    page.text_area(key=own).set_value("").run()
    assert not page.exception and page.text_input(key=f"caption-{id}-01.png-expression").value == ""


def test_one_truth_about_how_much_is_good() -> None:
    readme = " ".join((APP.parents[1] / "README.md").read_text(encoding="utf-8").split())
    assert f"about {GOOD_IMAGES} pictures (at least {MIN_IMAGES})" in readme
    talks = f"about {GOOD_INTERACTIONS} short conversations (at least {MIN_INTERACTIONS})"
    assert talks in readme and TESTED_AMOUNT in readme and f"about {GOOD_FACTS} facts (none is needed)" in readme


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


def test_whether_empty_lines_divide_a_text_is_shown_and_chosen(context: AppContext, open_page: Open) -> None:
    id = drafts.create(context)
    talk = "\n\n".join(f"User: Question {number}?\n{{{{char}}}}: Aye, {number}." for number in range(20))
    shown = open_page(character=id, step=3)
    shown.text_area(key=f"text-{id}-pasted").set_value(talk).run()
    next(button for button in shown.button if button.label == "Read them").click().run()

    def chips() -> str:
        return " ".join(one.proto.body for one in shown.get("html"))

    assert shown.radio[0].options == ["20 conversations, divided by the empty lines", "1 conversation of 20 exchanges"]
    assert shown.radio[0].value == 0 and ">20 conversations<" in chips()
    shown.radio[0].set_value(1).run()
    assert shown.radio[0].value == 1 and ">1 conversation<" in chips() and not shown.exception
    assert "interactions" not in drafts.own_character(context, id).draft  # nothing is saved yet
    shown.radio[0].set_value(0).run()
    assert ">20 conversations<" in chips()
    shown.radio[0].set_value(1).run()
    shown.button(key="take-import").click().run()
    assert [len(talk) for talk in drafts.own_character(context, id).draft["interactions"]] == [40]


def test_a_page_of_an_import_has_an_end(context: AppContext, open_page: Open) -> None:
    talk = tuple(message(role, f"words {n}") for n in range(50) for role in ("user", "character"))
    notes = tuple(Problem("images", f"{n}.txt belongs to no picture.", "Rename it.", "warning") for n in range(75))
    id = drafts.create(context)
    staged = StagedUpload("a.zip", id, Contents(talks=(talk,)), {"left out": notes}, lambda context: id)
    shared_context().stage(staged)
    shown = open_page(**{"character": id, "import": staged.id})
    assert sum("belongs to no picture" in str(one.value) for one in shown.markdown) == 60
    told = [one.proto.body for one in shown.get("html")]
    assert any("And 15 more of this kind." in words for words in told), told
    assert any("And 40 more turns." in words for words in told)


def test_how_much_the_model_is_told_is_judged_alike_on_every_step(
    context: AppContext, open_page: Open, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    id = drafts.create(context)
    drafts.set_text(context, id, "name", "Ada Marigold of the Northern Light")  # the name does not count
    drafts.set_text(context, id, "persona", "She keeps a light for the ships. " * 36)
    for sentences, fits in ((12, True), (13, False)):
        drafts.set_text(context, id, "style", "Dry as salt. " * sentences)
        character = drafts.character_of(drafts.own_character(context, id).draft)[0]
        told = budget_words(estimate_system_prompt(character))
        assert (" ".join(character.persona.split()) in system_text(character)) == fits  # what is trained
        assert told == f"about {336 if fits else 339} of 336 tokens"
        for step in (2, 3, 4):
            page = open_page(character=id, step=step)
            warnings = [str(item.value) for item in page.warning if told in str(item.value)]
            assert len(warnings) == (not fits), step
        assert any(told in str(item.proto) for item in open_page(character=id, step=3).get("html"))
        folder = tmp_path / f"fits-{fits}"
        write_character(character, folder, {})
        with contextlib.suppress(SystemExit):
            main(["character", "check", str(folder)])
        assert (told in capsys.readouterr().out) == (not fits)
