"""Where "Chat" and "Talk and compare" of a training's page lead, while it runs and later, and what is said of it.

Never silently to the model before training, and to no state that is hardly trained.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.core.jobs.job import Checkpoint, Job
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import START
from studio.actions.being_trained import first_saved_step
from studio.actions.checkpoint_options import checkpoint_options, default_of, why_no_default
from studio.actions.talk_start import talk_start
from studio.context import AppContext
from studio.labels import NOT_CHECKED
from tests.studio import staged
from tests.studio.test_hardly_trained import open_page, stopped, warnings


@pytest.fixture
def character(context: AppContext, tmp_path: Path) -> str:
    staged.alive(context)
    return staged.published(context, tmp_path / "ada")


def saved(context: AppContext, job: Job, name: str, measured: bool = False) -> None:
    """A state of a training, not measured unless asked for."""
    row = staged.unkept_checkpoint(context, job, name)
    context.records.checkpoints.put(row if measured else unmeasured(row))


def unmeasured(row: Checkpoint) -> Checkpoint:
    """The same before it was measured."""
    files = {path: key for path, key in row.files.items() if "samples/" not in path and path != "scores.json"}
    return replace(row, scores={}, samples=(), files=files)


def at_work(context: AppContext, character: str, sft: int = 4, grpo: int = 0) -> Job:
    job = staged.claimed(context, staged.queued(context, character))
    staged.told(context, job, staged.run_events(sft, grpo))
    return job


def labels(test: AppTest) -> list[str]:
    return [button.label for button in test.button]


def small_words(test: AppTest) -> str:
    return "\n".join(str(one.proto) for one in test.html)


def led(context: AppContext, job: Job, button: str) -> AppTest:
    """The page that a button of the training's page leads to."""
    test = open_page("training", job=job.id)
    next(one for one in test.button if one.label == button).click().run()
    assert not test.exception, test.exception
    return test


def test_a_training_being_checked_leads_to_its_own_state_and_says_so(context: AppContext, character: str) -> None:
    job = at_work(context, character)
    for name in ("base", "sft-000004"):
        saved(context, job, name)
    said = small_words(open_page("training", job=job.id))
    assert "Chat and compare begin with “Basics, step 4”. It is not checked yet" in said
    state = f"{job.id}:sft-000004"
    test = led(context, job, "Chat")
    assert test.selectbox[1].value == state and warnings(test) == [NOT_CHECKED] and not test.info
    test = led(context, job, "Talk and compare")
    assert next(box.value for box in test.selectbox if box.label == "One") == state
    assert warnings(test) == [NOT_CHECKED] and "nothing stands here" not in small_words(test)
    assert not next(button for button in test.button if button.label == "Start talking").disabled


def test_nothing_is_chosen_by_itself_before_it_is_checked(context: AppContext, character: str) -> None:
    """Whoever comes another way chooses, and reads why."""
    job = at_work(context, character)
    saved(context, job, "sft-000004")
    options = checkpoint_options(context, character)
    assert default_of(options) == "" and options[0].warning == NOT_CHECKED
    why = f"“{options[0].label}” is saved, but its training still runs and has not checked it yet"
    assert why_no_default(options) == why
    test = open_page("chat", character=character)
    assert test.selectbox[1].value == f"{job.id}:base"
    assert test.info[0].value.replace("\\", "") == (
        f"{why}: the model before training answers until you choose another."
    )
    for view, label in (("Talk", "One"), ("Scorecards", "One"), ("Download", "Which state")):
        test = open_page("compare", character=character, view=view)
        assert next(box.value for box in test.selectbox if box.label == label) is None, view
        assert f"{why}: nothing stands here until you choose it." in small_words(test), view
    staged.trained(context, character)
    assert why_no_default(checkpoint_options(context, character)) == ""


def test_what_it_has_checked_comes_before_what_it_has_not(context: AppContext, character: str) -> None:
    staged.trained(context, character)  # whose best is the default everywhere else
    job = at_work(context, character, grpo=2)
    saved(context, job, "grpo-000002")
    rows = context.records.checkpoints.of_job(job.id)
    assert talk_start(context, job, rows).ref == f"{job.id}:grpo-000002", "its own"
    for name in ("base", "sft-000004"):
        saved(context, job, name, measured=True)
    found = talk_start(context, job, context.records.checkpoints.of_job(job.id))
    assert found.ref == f"{job.id}:sft-000004"
    assert found.words == (
        "Chat and compare begin with “Basics, step 4”: of what this training has checked so far it comes first."
    )


def test_a_further_training_begins_with_what_it_goes_on_from(context: AppContext, character: str) -> None:
    job = at_work(context, character, sft=1)
    row = unmeasured(staged.unkept_checkpoint(context, job, "sft-000004"))
    context.records.checkpoints.put(replace(row, name=START, stage=START, step=0))
    found = talk_start(context, job, context.records.checkpoints.of_job(job.id))
    assert found.ref == f"{job.id}:{START}" and "until this training has saved a state of its own" in found.words
    assert warnings(led(context, job, "Chat")) == []
    saved(context, job, "sft-000004")
    assert talk_start(context, job, context.records.checkpoints.of_job(job.id)).ref == f"{job.id}:sft-000004"


def test_hardly_trained_is_not_offered_while_it_runs_and_when_is_said(context: AppContext, character: str) -> None:
    job = stopped(context, character, end=False)
    test = open_page("training", job=job.id)
    assert not {"Chat", "Talk and compare"} & set(labels(test))
    assert "once a state is saved that has learned enough, after step 84." in small_words(test)
    # Over, it is all there is: it is led to with a word, as everywhere.
    assert context.records.jobs.finish(job.id, staged.WORKER, job.attempt, "failed")
    test = led(context, job, "Chat")
    assert test.selectbox[1].value == f"{job.id}:sft-000006" and "hardly trained yet" in warnings(test)[0]


def test_before_the_first_state_the_page_says_when(context: AppContext, character: str) -> None:
    job = staged.queued(context, character, sft_steps=84, sft_save_every=84)
    assert "after step 84." in small_words(open_page("training", job=job.id))
    recipe = Recipe.from_json(job.recipe or {})
    assert first_saved_step(recipe) == 84
    often = replace(recipe, sft_save_every=10)
    assert (first_saved_step(often), first_saved_step(often, 0.25)) == (10, 30)
    assert first_saved_step(replace(recipe, sft_steps=0, grpo_steps=2, grpo_save_every=3)) == 2
