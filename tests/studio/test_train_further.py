"""Training further for real: what the studio queues is gone on with by the trainer, from the step that was saved."""

from __future__ import annotations

from pathlib import Path

from pipelines.core.jobs.job import Job, new_id
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.queue.submit import publish_folder
from pipelines.core.run_folder import BASE, adapters, read_events
from pipelines.train import train
from studio.actions import training_jobs
from studio.context import AppContext
from tests.toys import TOY_BASE, TOY_STEPS
from worker.run_folders import make_run_folder, restore_progress
from worker.uploads import put_checkpoint


def test_the_trainer_goes_on_after_the_saved_state(
    context: AppContext, toy_character: Path, toy_run: Path, tmp_path: Path
) -> None:
    version = publish_folder(context.records, context.store, context.owner, toy_character)
    recipe = Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS)
    old = Job(
        new_id(), "train", context.owner, version.character, version.version, recipe.to_json(), status="succeeded"
    )
    context.records.jobs.add(old)
    for name in (BASE, *adapters(toy_run)):
        put_checkpoint(context.records, context.store, old.id, toy_run, name)
    new = training_jobs.continue_training(context, old.id, "sft-000004", 2, 1)
    run = tmp_path / "run"
    published = context.records.characters.version(new.character, new.version)
    make_run_folder(run, published, Recipe.from_json(new.recipe or {}), context.store)
    restore_progress(run, new.id, context.records, context.store)
    result = train(run)
    events = read_events(run)
    assert [event.step for event in events if event.stage == "sft" and event.metrics] == [5, 6]
    assert [event.step for event in events if event.stage == "grpo" and event.metrics] == [1]
    assert [one["name"] for one in result["checkpoints"]] == [
        "base",
        "sft-000002",
        "sft-000004",
        "sft-000006",
        "grpo-000001",
    ]
