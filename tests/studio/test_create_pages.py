"""The gallery and the wizard, drawn for real: what they show and what their fields and buttons do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.core.jobs.draw_protocol import drawing_event, rebuilt_event, style_event
from pipelines.core.jobs.job import Job, Worker, new_id
from pipelines.core.jobs.reply_protocol import loading_event
from studio.actions import characters, create, drafts, images, interactions
from studio.context import AppContext
from tests.core.drawings import drawing, encoded
from tests.studio import staged

STUDIO = Path(__file__).resolve().parents[2] / "studio"
TIMEOUT_S = 120
Open = Callable[..., AppTest]
SCRIPT = "<script>alert(1)</script> # [x](javascript:alert(1))"


@pytest.fixture
def open_page(context: AppContext) -> Open:
    """Draw a page with ids in its address, as the whole program does."""

    def opened(name: str, **params: object) -> AppTest:
        test = AppTest.from_file(str(STUDIO / "navigation.py"), default_timeout=TIMEOUT_S)
        for key, value in params.items():
            test.query_params[key] = str(value)
        test.switch_page(f"app_pages/{name}.py")
        test.run()
        assert not test.exception, test.exception
        return test

    return opened


@pytest.fixture
def quibb(context: AppContext) -> str:
    return characters.try_bundled(context, "quibb")


def words(test: AppTest) -> str:
    """Everything that is to be read on the page."""
    kinds: list[Any] = [test.markdown, test.title, test.subheader, test.info, test.warning, test.error, test.success]
    kinds += [test.get("html"), test.get("progress"), test.get("badge")]
    return "\n".join(str(element.proto) for kind in kinds for element in kind)


def button(test: AppTest, label: str) -> Any:
    return next(one for one in test.button if one.label == label)


def draft_of(context: AppContext, id: str) -> drafts.Draft:
    return drafts.own_character(context, id).draft


# ---------------------------------------------------------------- gallery


def test_an_empty_studio_offers_examples_and_beginnings(context: AppContext, open_page: Open) -> None:
    shown = open_page("characters")
    assert "Try one of these" in words(shown)
    button(shown, "Try Quibb").click()
    shown.run()
    assert not shown.exception
    [row] = context.records.characters.list(context.owner)
    assert row.name == "Quibb" and row.draft["pictures"]


def test_pictures_are_taken_as_browsers_and_phones_save_them(context: AppContext, open_page: Open) -> None:
    id = drafts.create(context)
    fields = open_page("create", character=id, step=1).get("file_uploader")
    # Whatever it is comes as far as the studio, to be refused in words; the browser would give no reason.
    assert [list(field.proto.type) for field in fields] == [[]]
    # .jfif is what Windows calls a JPEG from a browser.
    assert images.add(context, id, [("saved.jfif", encoded(drawing(3), "JPEG"))]) == []
    assert [picture["file"] for picture in draft_of(context, id)["pictures"]] == ["01.jpg"]


def test_a_character_has_its_page_and_can_be_deleted(context: AppContext, quibb: str, open_page: Open) -> None:
    assert "Quibb" in words(open_page("characters"))
    create.start(context, quibb, "quick", "starter")
    shown = open_page("characters", character=quibb)
    assert "Version 1" in words(shown) and "Waiting" in words(shown)
    button(shown, "Delete").click().run()
    assert "for good" in words(shown) and "10 pictures" in words(shown)
    button(shown, "Delete everything").click().run()
    assert not context.records.characters.list(context.owner)


def test_a_deleted_character_leaves_a_way_out(context: AppContext, open_page: Open) -> None:
    for name in ("characters", "create"):
        shown = open_page(name, character="0" * 32)
        assert "There is no character" in words(shown)


def test_a_file_that_is_no_card_ends_in_a_message(context: AppContext, open_page: Open) -> None:
    shown = open_page("characters")
    shown.file_uploader[0].upload("setup.png", b"MZ" + b"\0" * 500, "image/png").run()
    assert not shown.exception and "setup" in words(shown) and not context.records.characters.list(context.owner)


# ---------------------------------------------------------------- wizard


def test_without_a_character_the_wizard_offers_a_choice(context: AppContext, quibb: str, open_page: Open) -> None:
    shown = open_page("create")
    assert "Go on with" in words(shown) and button(shown, "New character")


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_scripts_in_every_field_are_words_on_every_step(context: AppContext, open_page: Open, step: int) -> None:
    id = drafts.create(context)
    for field in drafts.MAX_CHARS:
        drafts.set_text(context, id, field, SCRIPT)
    drafts.set_facts(context, id, [(SCRIPT, SCRIPT)])
    images.add(context, id, [(f"{SCRIPT}.png", encoded(drawing(1)))])
    images.describe(context, id, "01.png", "expression", SCRIPT)
    interactions.add_interaction(context, id, [{"user": SCRIPT}, {"character": SCRIPT, "scene": SCRIPT}])
    shown = open_page("create", character=id, step=step)
    # Inside st.html it is escaped; Markdown never gets it with its marks alive.
    pieces = [element.proto for element in shown.get("html")]
    assert not any(piece.unsafe_allow_javascript or "<script" in piece.body for piece in pieces)
    for element in [*shown.markdown, *shown.error, *shown.warning]:
        assert "<script" not in element.value and "](javascript" not in element.value


def test_pictures_can_be_dropped_in_mended_and_captioned(context: AppContext, open_page: Open) -> None:
    id = drafts.create(context)
    shown = open_page("create", character=id, step=1)
    files = [
        ("a.png", encoded(drawing(1)), "image/png"),
        ("b.png", encoded(drawing(2)), "image/png"),
        ("again.png", encoded(drawing(1).resize((380, 285))), "image/png"),
        ("setup.png", b"MZ" + b"\0" * 300, "image/png"),
    ]
    shown.file_uploader[0].set_value(files).run()
    assert "no picture" in words(shown) and len(draft_of(context, id)["pictures"]) == 3
    assert "nearly the same as 01" in words(shown)
    button(shown, "Take this one out").click().run()
    assert len(draft_of(context, id)["pictures"]) == 2
    shown.text_input(key=f"caption-{id}-01.png-expression").set_value("grim").run()
    assert draft_of(context, id)["images"][0]["expression"] == "grim"
    shown.button(key="turn-01.png").click().run()
    assert drafts.image_entry(draft_of(context, id), "01.png")["width"] == 300


def test_texts_are_saved_when_left_and_outlive_a_refresh(context: AppContext, open_page: Open) -> None:
    id = drafts.create(context)
    shown = open_page("create", character=id, step=2)
    shown.text_input(key=f"text-{id}-name").set_value("Ada Moor").run()
    shown.text_area(key=f"text-{id}-persona").set_value("Ada lives in a mill. She has red hair.").run()
    assert "You are Ada Moor." in words(shown) and "tokens" in words(shown)
    button(shown, "Add as a fact").click().run()
    button(shown, "Move it to looks").click().run()
    again = open_page("create", character=id, step=2)
    assert again.text_area(key=f"text-{id}-appearance").value == "She has red hair."
    facts = drafts.entries_of(draft_of(context, id))["facts"]
    assert facts == [{"question": "Where does Ada live?", "answer": "In a mill"}]


def test_the_steps_lead_on_and_back(context: AppContext, quibb: str, open_page: Open) -> None:
    shown = open_page("create", character=quibb, step=1)
    for key, step in (("step-next", "2"), ("step-next", "3"), ("step-back", "2")):
        shown.button(key=key).click().run()
        assert shown.query_params["step"] in (step, [step]) and not shown.exception


def test_a_conversation_is_written_like_a_chat(context: AppContext, open_page: Open) -> None:
    id = drafts.create(context)
    shown = open_page("create", character=id, step=3)
    button(shown, "New conversation").click().run()
    for place, said in ((0, "Who are you?"), (1, "Ada, as you see.")):
        areas = [area for area in shown.text_area if str(area.key).startswith(f"words-{id}-")]
        areas[place].set_value(said).run()
    talks = drafts.entries_of(draft_of(context, id))["interactions"]
    assert talks == [[{"user": "Who are you?"}, {"character": "Ada, as you see."}]]
    button(shown, "Somebody says").click().run()
    assert "is empty" not in words(shown)  # it is about to be written
    shown.text_area(key=f"text-{id}-style").set_value("Short.").run()
    assert "is empty" in words(shown) and "to mend" in shown.selectbox(key="talk").options[0]
    assert "1 answer," in words(shown)


def test_a_picture_is_attached_with_its_scene(context: AppContext, quibb: str, open_page: Open) -> None:
    number = interactions.add_interaction(context, quibb, [{"user": "Show!"}, {"character": "Fip-fip!"}])
    shown = open_page("create", character=quibb, step=3, talk=number + 1)
    choices = [box for box in shown.selectbox if str(box.key).startswith(f"choose-{quibb}-")]
    choices[1].set_value("02.png").run()
    turn = draft_of(context, quibb)["interactions"][number][1]
    assert turn["image"] == "02.png" and turn["scene"].startswith("Quibb, laughing")


def test_a_file_that_is_told_twice_is_taken_once() -> None:
    """As when a run is cut short: its callback is called once more, with the same uploads."""

    def page() -> None:
        import streamlit as st
        from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

        from studio import widgets

        file = UploadedFile(UploadedFileRec("7", "one.png", "image/png", b"x"), None)  # type: ignore[arg-type]
        for _ in range(2):
            st.text(len(widgets.new_uploads([file])))

    shown = AppTest.from_function(page).run()
    assert [told.value for told in shown.text] == ["1", "0"]


def test_blocks_are_pasted_and_a_bad_file_is_told(context: AppContext, open_page: Open) -> None:
    id = drafts.create(context)
    shown = open_page("create", character=id, step=3)
    shown.text_area(key=f"text-{id}-pasted").set_value("<START>\n{{user}}: Hi\n{{char}}: Aye.").run()
    button(shown, "Read them").click().run()
    assert not draft_of(context, id).get("interactions") and "Nothing of it is saved yet" in words(shown)
    button(shown, "Take it in").click().run()
    assert len(draft_of(context, id)["interactions"]) == 1
    assert shown.text_area(key=f"text-{id}-pasted").value == ""
    shown.file_uploader(key="data-0").upload("talks.json", b"MZ\x90\xff", "application/json").run()
    assert "talks" in words(shown) and not shown.exception


def test_the_statement_is_made_and_the_training_begins(context: AppContext, quibb: str, open_page: Open) -> None:
    create.withdraw_consent(context, quibb)
    shown = open_page("create", character=quibb, step=4)
    assert shown.button(key="train").label == "Before training: state the rights" and "as measured elsewhere" in words(
        shown
    )
    shown.button(key="train").click().run()
    assert not context.records.jobs.list(owner=context.owner, kind="train")
    shown.radio(key=f"rights-{quibb}").set_value("drawn").run()
    shown.text_input(key=f"text-{quibb}-stated_by").set_value("The maker").run()
    button(shown, "I state this").click().run()
    assert create.consent_covers(draft_of(context, quibb)) and "Stated by The maker" in words(shown)
    shown.button(key="train").click().run()
    [job] = context.records.jobs.list(owner=context.owner, kind="train")
    assert job.character == quibb and job.version == 1 and job.recipe is not None
    assert job.recipe["effort"] == "quick" and draft_of(context, quibb).get("effort", "quick") == "quick"


def test_a_base_model_that_no_worker_can_run_says_so(context: AppContext, quibb: str, open_page: Open) -> None:
    shown = open_page("create", character=quibb, step=4)
    shown.radio(key=f"base-{quibb}").set_value("janus-pro-7b").run()
    assert shown.button(key="train").disabled and "no worker is running" in words(shown)
    assert draft_of(context, quibb)["base"] == "janus-pro-7b"


def test_how_long_drawings_take_is_told_as_it_was_measured_here(context: AppContext, open_page: Open) -> None:
    id = drafts.create(context)
    images.add(context, id, [(f"{seed}.png", encoded(drawing(seed))) for seed in (1, 2)])
    staged.alive(context)
    nothing = words(open_page("create", character=id, step=1))
    assert "nothing is learned yet." in nothing and "second" not in nothing and "The last ones" not in nothing
    # The latest counts; answers in a chat are no drawings, and what failed or was stopped took its own time.
    for minute, (task, took, status) in enumerate(
        [("draw", 10, "succeeded"), ("draw", 97, "succeeded"), ("reply", 3, "succeeded"), ("draw", 1, "stopped")]
    ):
        job = Job(new_id(), "reply", context.owner, request={"task": task}, status=status)  # type: ignore[arg-type]
        at = datetime(2026, 11, 20, 10, minute, tzinfo=UTC)
        times = [one.isoformat(timespec="microseconds") for one in (at, at + timedelta(seconds=took))]
        context.records.jobs.add(replace(job, created=times[0], started=times[0], ended=times[1]))
    assert "The last ones here took 2 minutes." in words(open_page("create", character=id, step=1))


def test_the_pictures_step_shows_drawings_and_takes_references(context: AppContext, open_page: Open) -> None:
    id = drafts.create(context)
    images.add(context, id, [(f"{seed}.png", encoded(drawing(seed))) for seed in (1, 2, 3)])
    shown = open_page("create", character=id, step=1)
    assert "This is how I see them now" in words(shown) and "No worker is running" in words(shown)
    assert "pictures 01 and 02" in words(shown)
    assert [toggle.value for toggle in shown.toggle] == [True, True, False]
    shown.toggle[2].set_value(True).run()
    assert not shown.exception and [toggle.value for toggle in shown.toggle] == [True, False, True]
    assert draft_of(context, id)["references"] == ["03.png", "01.png"]
    shown.toggle[0].set_value(False).run()
    assert [toggle.value for toggle in shown.toggle] == [False, True, True]
    button(shown, "Choose references for me").click().run()
    assert [toggle.value for toggle in shown.toggle] == [True, True, False]
    button(shown, "Draw them").click().run()
    assert not shown.exception and "Waiting for a worker to draw" in words(shown)
    assert "Nothing else has to wait" in words(shown)
    job = context.records.jobs.claim(draft_of(context, id)["drawings_job"], "worker", 60)
    assert job is not None
    keys = [entry["thumb_key"] for entry in draft_of(context, id)["pictures"]]
    pictures = [entry["key"] for entry in draft_of(context, id)["pictures"]]
    told = [loading_event(), style_event(4.9)]
    context.records.events.append(job.id, job.attempt, [replace(told[0], sequence=0)])
    assert "The worker loads its model" in words(open_page("create", character=id, step=1))
    told += [drawing_event(at, 3, f"look {at}", key, 1.0) for at, key in enumerate(keys)]
    told += [rebuilt_event(at, 3, key, keys[at], 2.0) for at, key in enumerate(pictures)]
    events = [replace(event, sequence=at) for at, event in enumerate(told)]
    context.records.events.append(job.id, job.attempt, events)
    context.records.jobs.finish(job.id, "worker", job.attempt, "succeeded")
    shown = open_page("create", character=id, step=1)
    assert "look 2" in words(shown) and "as I can draw it" in words(shown) and button(shown, "Draw again")
    assert "This art is new to me" in words(shown)
    images.remove(context, id, "02.png")
    assert "have changed since" in words(open_page("create", character=id, step=1))


def test_an_empty_step_has_a_worker_load_the_model_once(context: AppContext, open_page: Open) -> None:
    context.records.workers.register(Worker("w", "shed", ("reply",), "", 16.0))
    shown = open_page("create", character=drafts.create(context), step=1)
    shown.run()
    [job] = context.records.jobs.list(owner=context.owner, kind="reply")
    assert job.request == {"task": "warm", "base": "starter"}


# ---------------------------------------------------------------- fields


def test_every_run_tells_a_field_its_text(quibb: str, open_page: Open) -> None:
    # Not only the first, whose messages the browser may never see when the next run begins at once.
    shown = open_page("create", character=quibb, step=2)
    for _ in range(2):
        told = {field.label: field.proto.default for field in (*shown.text_input, *shown.text_area)}
        assert told["Name"] == "Quibb" and told["Who they are"] and told["Answer 1"]
        shown.run()
