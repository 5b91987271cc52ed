"""A training that was stopped after a few steps: what is said of its state wherever one is chosen, and what stands
beside it; and what Chat says while a first training still runs."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.core.jobs.job import Job
from pipelines.core.jobs.training_extent import training_extents
from pipelines.core.run_folder import START
from pipelines.core.storage.store import link
from studio.actions import chat, compare, downloads, picture_prompts
from studio.actions.checkpoint_options import (
    base_of,
    checkpoint_of,
    checkpoint_options,
    default_of,
    label_of,
    sides_of,
    warning_of,
)
from studio.context import AppContext
from tests.studio import staged

APP = Path(__file__).resolve().parents[2] / "studio" / "navigation.py"
WARNING = "Step 6 of 84: hardly trained yet, they may not look or talk like themselves."


@pytest.fixture
def character(context: AppContext, tmp_path: Path) -> str:
    return staged.published(context, tmp_path / "ada")


def stopped(context: AppContext, character: str, step: int = 6, end: bool = True) -> Job:
    """A training of 84 steps that somebody stopped at one: its only state is not measured, nor is the base."""
    job = staged.claimed(context, staged.queued(context, character, sft_steps=84, sft_save_every=84))
    events = [replace(event, total=84) if event.stage == "sft" else event for event in staged.run_events(step, 0)]
    staged.told(context, job, events)
    row = staged.unkept_checkpoint(context, job, "sft-000004")
    files = {path: key for path, key in row.files.items() if "samples/" not in path and path != "scores.json"}
    name = f"sft-{step:06d}"
    row = replace(row, name=name, step=step, scores={}, samples=(), files=files, saved_for="stop")
    context.records.checkpoints.put(row)
    if end:
        assert context.records.jobs.finish(job.id, staged.WORKER, job.attempt, "stopped")
    return context.records.jobs.get(job.id)


def open_page(name: str, **params: str) -> AppTest:
    """A page at an address."""
    test = AppTest.from_file(str(APP), default_timeout=120).switch_page(f"app_pages/{name}.py")
    for key, value in params.items():
        test.query_params[key] = value
    test.run()
    assert not test.exception, test.exception
    return test


def warnings(test: AppTest) -> list[str]:
    return [one.value.replace("\\", "") for one in test.warning]


def test_how_little_it_has_learned_is_data(context: AppContext, character: str) -> None:
    extents = {}
    for step in (6, 20, 21, 31, 84):
        job = stopped(context, character, step)
        rows = context.records.checkpoints.of_job(job.id)
        extents[step] = training_extents(job, rows).get(rows[0].name)
    assert [step for step, one in extents.items() if one and one.is_hardly_trained] == [6, 20]
    assert [step for step, one in extents.items() if one] == [6, 20, 21, 31] and extents[31].planned == 84  # type: ignore[union-attr]
    # Going on from another training counts its own steps; measured, 31 steps say what they are by their scores.
    further = [*rows, replace(rows[0], name=START, stage=START), replace(rows[0], name="sft-000003", step=3)]
    assert not training_extents(job, further)["sft-000003"].is_hardly_trained
    assert training_extents(job, [replace(rows[0], step=31, scores={"likeness": 0.4})]) == {}


def test_the_base_is_a_side_and_the_default_answer_without_a_row(context: AppContext, character: str) -> None:
    job = stopped(context, character)
    state, base = f"{job.id}:sft-000006", f"{job.id}:base"
    options = checkpoint_options(context, character)
    assert [one.ref for one in options] == [state, base] and options[0].warning == WARNING and not options[1].warning
    assert "hardly trained (6 of 84 steps)" in options[0].label and "hardly trained" in label_of(context, state)
    assert warning_of(context, state) == WARNING and warning_of(context, base) == ""
    assert default_of(options) == "" and base_of(options) == base and sides_of(options) == (state, base)
    assert checkpoint_of(context, base)[1].base == options[0].base
    talk = compare.start_conversation(context, character, state, base, False)
    assert talk.title == "Basics, step 6 / Before training"
    assert chat.start_chat(context, character, base).left == base
    # Stopped later it answers by default; a better one takes its place.
    later = stopped(context, character, 60)
    assert default_of(checkpoint_options(context, character)) == f"{later.id}:sft-000060"
    done = staged.trained(context, character)
    assert default_of(checkpoint_options(context, character)) == f"{done.id}:grpo-000002"
    assert base_of(checkpoint_options(context, character)) == f"{done.id}:base", "the measured one"


def test_every_place_where_a_state_is_chosen_says_so(context: AppContext, character: str) -> None:
    job = stopped(context, character)
    state = f"{job.id}:sft-000006"
    staged.alive(context)
    test = open_page("chat", character=character)
    assert test.selectbox[1].value == f"{job.id}:base" and not warnings(test)
    assert "No saved state is far enough yet" in test.info[0].value
    test.selectbox[1].set_value(state).run()
    assert warnings(test) == [WARNING]
    talk = chat.start_chat(context, character, state)
    assert warnings(open_page("chat", conversation=talk.id)) == [WARNING]
    for view in ("Talk", "Scorecards", "Download"):
        assert warnings(open_page("compare", character=character, view=view)) == [WARNING], view
    test = open_page("compare", character=character, view="Talk")
    assert [box.value for box in test.selectbox if box.label in ("One", "The other")] == [state, f"{job.id}:base"]
    assert not next(button for button in test.button if button.label == "Start talking").disabled
    test = open_page("training", job=job.id)
    assert WARNING in warnings(test)
    assert any(f"{WARNING} Training can go on from there." in str(one.proto) for one in test.html)


def test_the_pictures_view_has_the_base_too(context: AppContext, character: str) -> None:
    job = stopped(context, character)
    staged.alive(context)
    test = open_page("compare", character=character, view="Pictures")
    [slider] = test.select_slider
    assert slider.options == ["Before training", "Basics, step 6"] and warnings(test) == [WARNING]
    assert picture_prompts.draw_prompt(context, character, [f"{job.id}:base", f"{job.id}:sft-000006"], "laughing") == 2


def test_the_zip_names_only_what_is_in_it(context: AppContext, character: str) -> None:
    job = stopped(context, character)
    place = link(context.store, downloads.adapter_zip(context, f"{job.id}:sft-000006").key, 60, "a.zip")
    assert isinstance(place, Path)
    with zipfile.ZipFile(io.BytesIO(place.read_bytes())) as archive:
        names = {Path(name).name for name in archive.namelist()}
        [readme] = [
            archive.read(name).decode() for name in archive.namelist() if name.count("/") == 1 and "READ" in name
        ]
    assert "samples.png" not in names and "samples.png" not in readme and "scores.json" not in readme
    assert "`card.png`" in readme and "`report.html`" in readme and WARNING in readme
    assert "This state was not measured" in readme and "what it scores" not in readme


def test_one_state_is_chosen_and_preparing_makes_room_for_the_link(context: AppContext, character: str) -> None:
    job = stopped(context, character)
    test = open_page("compare", character=character, view="Download")
    assert next(box for box in test.selectbox if box.label == "Which state").value == f"{job.id}:sft-000006"
    before = [button.label for button in test.button].count("Prepare")
    next(button for button in test.button if button.label == "Prepare").click().run()
    assert not test.exception, test.exception
    assert [button.label for button in test.button].count("Prepare") == before - 1
    assert any("Download now" in str(one.proto) for one in test.html)


@pytest.mark.parametrize("page", ["chat", "compare"])
def test_while_it_is_trained_the_page_says_how_far(context: AppContext, character: str, page: str) -> None:
    job = staged.queued(context, character, sft_steps=84, sft_save_every=84)
    assert "waits to be trained" in open_page(page, character=character).info[0].value
    job = staged.claimed(context, job)
    staged.told(context, job, [replace(event, total=84) for event in staged.run_events(6, 0)])
    test = open_page(page, character=character)
    said = test.info[0].value.replace("\\", "")
    assert said == (
        "Ada is being trained just now: learning the basics, step 6 of 84. They can answer once the first state is "
        "saved, after step 84."
    )
    assert any(f"job={job.id}" in str(one.proto) for one in test.get("page_link"))
    assert context.records.jobs.finish(job.id, staged.WORKER, job.attempt, "failed")
    assert "train it first" in open_page(page, character=character).info[0].value
