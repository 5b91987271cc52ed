"""Actions of the training page, without Streamlit: list, follow, stop, resume, clone, train further."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.core.events import Event
from pipelines.core.jobs.job import Job, RecordMissing, new_id
from pipelines.core.jobs.recipe import Recipe
from studio.actions import drafts, estimates, run_log, training_jobs
from studio.actions.run_log import RunLog
from studio.context import AppContext
from tests.studio import staged
from tests.toys import TOY_BASE, TOY_STEPS


@pytest.fixture
def character(context: AppContext, tmp_path: Path) -> str:
    return staged.published(context, tmp_path / "ada")


def test_the_list_is_the_owners_and_newest_first(context: AppContext, character: str) -> None:
    first, second = staged.queued(context, character), staged.queued(context, character)
    context.records.jobs.add(Job(new_id(), "train", "somebody else"))
    context.records.jobs.add(Job(new_id(), "reply", context.owner, character))
    lines = training_jobs.jobs(context)
    assert [line.job.id for line in lines] == [second.id, first.id]
    assert lines[0].name == "Ada" and lines[0].words == "Waiting"
    assert [line.job.id for line in training_jobs.jobs(context, before=second.id)] == [first.id]
    staged.told(context, staged.claimed(context, first), staged.run_events(2, 0))
    [line] = training_jobs.jobs(context, before=second.id)
    assert (line.stage, line.fraction) == ("Learning the basics", 0.5)


def test_somebody_elses_job_does_not_exist(context: AppContext) -> None:
    job = context.records.jobs.add(Job(new_id(), "train", "somebody else"))
    for act in (training_jobs.resume, training_jobs.own_job, training_jobs.adapters_of):
        with pytest.raises(RecordMissing):
            act(context, job.id)
    with pytest.raises(RecordMissing):
        training_jobs.stop(context, job.id, "keep")
    with pytest.raises(RecordMissing):
        training_jobs.clone(context, job.id, {})


def test_watching_reads_on(context: AppContext, character: str) -> None:
    job, log = staged.queued(context, character), RunLog("")
    log.job = job.id
    assert training_jobs.job_view(context, job.id, log).progress.headline == "Waiting for a worker"
    staged.alive(context)
    assert training_jobs.job_view(context, job.id, log).progress.headline == "Next in the queue"
    running = staged.claimed(context, job)
    staged.told(context, running, staged.run_events(1, 0))
    assert training_jobs.job_view(context, job.id, log).progress.stages[0].step == 1
    staged.told(context, running, staged.run_events(3, 0)[2:])
    seen = training_jobs.job_view(context, job.id, log)
    assert seen.progress.stages[0].step == 3 and seen.name == "Ada"
    # A page that is loaded anew, or a studio started again, reads the same.
    assert training_jobs.job_view(context, job.id, RunLog(job.id)) == seen


def test_a_long_log_is_read_in_pieces(context: AppContext, character: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "PAGE", 3)
    job = staged.claimed(context, staged.queued(context, character))
    staged.told(context, job, staged.run_events(4, 2))
    events = RunLog(job.id).read_new(context.records)
    assert [event.sequence for event in events] == list(range(7))


def test_stop_and_resume(context: AppContext, character: str) -> None:
    waiting = staged.queued(context, character)
    assert training_jobs.stop(context, waiting.id, "keep").status == "stopped"
    assert training_jobs.resume(context, waiting.id).status == "queued"
    running = staged.claimed(context, waiting)
    assert training_jobs.stop(context, running.id, "keep").status == "stopping"
    assert context.records.jobs.finish(running.id, staged.WORKER, running.attempt, "stopped")
    assert training_jobs.resume(context, running.id).status == "queued"
    done = staged.trained(context, character)
    with pytest.raises(ValueError, match="succeeded"):
        training_jobs.resume(context, done.id)


def test_clone_with_changes(context: AppContext, character: str) -> None:
    old = staged.trained(context, character)
    new = training_jobs.clone(context, old.id, {"seed": 7, "sft_steps": 8})
    assert (new.status, new.parent, new.character, new.version) == ("queued", old.id, character, 1)
    assert new.recipe == {**(old.recipe or {}), "seed": 7, "sft_steps": 8}
    assert (
        training_jobs.clone(context, old.id, {"effort": "standard"}).recipe
        == Recipe.for_effort(TOY_BASE, "standard").to_json()
    )
    with pytest.raises(ValueError, match="nothing to train"):
        training_jobs.clone(context, old.id, {"sft_steps": 0, "grpo_steps": 0})
    with pytest.raises(ValueError, match="no setting speed"):
        training_jobs.clone(context, old.id, {"speed": 3})
    with pytest.raises(ValueError, match="not one of"):
        training_jobs.clone(context, old.id, {"effort": "lazy"})


def test_clone_with_settings_written_as_json(context: AppContext, character: str) -> None:
    old = staged.trained(context, character)
    new = training_jobs.clone_with_text(context, old.id, {"seed": 7}, '{"sft_steps": 8, "seed": 9}')
    assert new.recipe == {**(old.recipe or {}), "seed": 9, "sft_steps": 8}
    wrong = {"sft_steps: 8": "not JSON", "[8]": "no JSON object", '{"sft_steps": "many"}': "wrong kind"}
    for text, reason in wrong.items():
        with pytest.raises(ValueError, match=reason):
            training_jobs.clone_with_text(context, old.id, {}, text)


def test_clone_takes_the_newest_draft_when_asked(context: AppContext, character: str) -> None:
    old = staged.trained(context, character)
    drafts.set_text(context, character, "persona", "A pilot.")
    assert training_jobs.clone(context, old.id, {}).version == 1
    new = training_jobs.clone(context, old.id, {}, newest=True)
    assert context.records.characters.version(character, new.version).entries["persona"] == "A pilot."
    assert training_jobs.clone(context, old.id, {}, newest=True).version == new.version, "nothing has changed since"


def test_clone_takes_todays_settings_when_asked(context: AppContext, character: str) -> None:
    old = staged.trained(context, character)
    found = training_jobs.old_settings(old)
    assert found["sft_steps"] == (4, 84) and "seed" not in found
    today = training_jobs.clone(context, old.id, {"seed": 3}, new_defaults=True)
    assert today.recipe == Recipe.for_effort(TOY_BASE, "quick", seed=3).to_json()
    assert training_jobs.old_settings(today) == {}


def test_train_further_goes_on_from_a_saved_state(context: AppContext, character: str) -> None:
    old = staged.trained(context, character)
    new = training_jobs.continue_training(context, old.id, "grpo-000002", 3, 5)
    assert (new.status, new.parent, new.attempt) == ("queued", old.id, 0)
    assert new.recipe == {**(old.recipe or {}), "sft_steps": 3, "grpo_steps": 5}
    kept = context.records.checkpoints.of_job(new.id)
    assert [one.name for one in kept] == ["base", "start"]
    adapter = {"README.md", "adapter_config.json", "adapter_model.safetensors", "references.safetensors"}
    files = {name for name in kept[1].files if not name.startswith("references/")}
    assert not kept[1].scores and files == adapter  # and thumbnails of the references, but no samples
    rows = training_jobs.sample_rows(context, new)
    assert [row.title for row in rows] == ["Before training", "Where it went on from"]


def test_how_it_cannot_go_on(context: AppContext, character: str) -> None:
    old = staged.trained(context, character)
    with pytest.raises(ValueError, match="has learnt nothing"):
        training_jobs.continue_training(context, old.id, "base", 1, 1)
    with pytest.raises(ValueError, match="nothing to train"):
        training_jobs.continue_training(context, old.id, "sft-000004", 0, 0)
    with pytest.raises(RecordMissing):
        training_jobs.continue_training(context, old.id, "sft-000999", 1, 1)


def test_past_pace_comes_from_finished_runs_on_the_same_base(context: AppContext, character: str) -> None:
    recipe = Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS)
    assert estimates.past_pace(context, recipe) == ({}, 0)
    assert estimates.known_pace(context, recipe)["sft"] > 0, "as shipped, until one has run here"
    staged.trained(context, character)
    pace, runs = estimates.past_pace(context, recipe)
    assert runs == 1
    assert pace == {"sft": pytest.approx(10.0), "grpo": pytest.approx(10.0), "evaluate": pytest.approx(10.0)}
    assert estimates.past_pace(context, replace(recipe, grpo_group_size=4))[0]["grpo"] == pytest.approx(20.0)
    assert estimates.past_pace(context, replace(recipe, base="janus-pro-1b")) == ({}, 0)


def test_a_run_that_was_stopped_tells_the_pace_of_this_machine(context: AppContext, character: str) -> None:
    recipe = Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS)
    wide = estimates.estimate(context, recipe)
    job = staged.claimed(context, staged.queued(context, character))
    steps = [Event("sft", step, 40, {"loss": 1.0}) for step in range(1, 6)]
    staged.told(context, job, steps, seconds=7.0)
    assert estimates.past_pace(context, recipe) == ({}, 0), "too few steps"
    staged.told(context, job, [Event("sft", 6, 40, {"loss": 1.0})], seconds=7.0)
    assert estimates.past_pace(context, recipe) == ({"sft": pytest.approx(7.0)}, 1), "while it runs"
    told = estimates.estimate(context, recipe)
    assert told.runs == 1 and told.words.endswith("reckoned from the training that runs here just now")
    context.records.jobs.finish(job.id, staged.WORKER, job.attempt, "stopped")
    found = estimates.estimate(context, recipe)
    assert found.runs == 1 and found.words.endswith("reckoned from 1 training that ran here")
    second = staged.claimed(context, staged.queued(context, character))
    staged.told(context, second, [Event("sft", step, 40, {"loss": 1.0}) for step in range(1, 8)], seconds=7.0)
    both = estimates.estimate(context, recipe)
    assert both.words.endswith("reckoned from 2 trainings that ran here, 1 of which runs still")
    assert found.high_s / found.low_s < wide.high_s / wide.low_s


def test_the_film_strip_has_the_same_prompts_at_every_state(context: AppContext, character: str) -> None:
    job = staged.trained(context, character)
    rows = training_jobs.sample_rows(context, job)
    assert [row.title for row in rows] == ["Before training", "Basics, step 4", "Practice, step 2"]
    labels = [[sample.label for sample in row.samples] for row in rows]
    assert (
        labels
        == [
            [
                "sad, wearing a red hoodie, on a ship",
                "happy, wearing a blue hoodie, in a forest",
                "Will it rain on day 1?",
            ]
        ]
        * 3
    )
    assert rows[2].samples[2].answer == "Aye, says grpo-000002."
    assert context.image(rows[2].samples[0].key).startswith(b"\x89PNG")
