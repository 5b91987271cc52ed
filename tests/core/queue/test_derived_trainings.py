"""Trainings made from earlier ones: what a clone and a continued training take along, and how one cannot go on.

The studio and the command line call the same functions; a real trainer goes on from what is made here in
tests/worker/test_runner.py and tests/studio/test_train_further.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from pipelines.core.jobs.job import Checkpoint, Job, RecordMissing, new_id
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.queue.broker import make_app
from pipelines.core.queue.submit import clone, continue_training
from pipelines.core.records import Records, open_records
from pipelines.core.settings import Settings

RECIPE = Recipe.for_effort("starter", "quick", sft_steps=4, sft_save_every=2, grpo_steps=2, grpo_save_every=2)


@dataclass
class Trained:
    """A finished training with three checkpoints, and a second version of its character."""

    records: Records
    app: Celery
    job: Job

    def continued(self, checkpoint: str, changes: dict[str, Any], latest_version: bool = False) -> Job:
        return continue_training(self.records, self.app, self.job.id, checkpoint, changes, latest_version)


@pytest.fixture
def trained(tmp_path: Path) -> Iterator[Trained]:
    settings = Settings(home=tmp_path / "home")
    records = open_records(settings.database_url)
    character = records.characters.create("ada", {"name": "Mira"})
    for persona in ("A pilot.", "A baker."):
        records.characters.publish(character.id, {"name": "Mira", "persona": persona})
    request = {"note": "kept"}
    job = Job(new_id(), "train", "ada", character.id, 1, RECIPE.to_json(), request, "succeeded", priority=3)
    records.jobs.add(job)
    for stage, step in (("base", 0), ("sft", 2), ("sft", 4), ("grpo", 2)):
        name = f"{stage}-{step:06d}" if step else stage
        files = {"adapter_config.json": "adapters/1.json", "scores.json": "adapters/2.json", "samples/01.png": "a/b"}
        key = f"adapters/{job.id}/{name}" if step else ""
        scores = {"likeness": 0.5}
        records.checkpoints.put(
            Checkpoint(job.id, name, stage, step, "starter", "", key, scores, ("samples/1.png",), files)
        )
    yield Trained(records, make_app(settings), job)
    records.close()


def test_a_clone_takes_along_what_the_job_was(trained: Trained) -> None:
    new = clone(trained.records, trained.app, trained.job.id, {"seed": 7})
    assert (new.status, new.parent, new.attempt) == ("queued", trained.job.id, 0)
    assert (new.owner, new.character, new.version) == ("ada", trained.job.character, 1)
    assert (new.priority, new.request) == (3, {"note": "kept"})
    assert new.recipe == {**RECIPE.to_json(), "seed": 7}
    assert trained.records.checkpoints.of_job(new.id) == []
    assert clone(trained.records, trained.app, trained.job.id, {}, latest_version=True).version == 2


def test_a_continued_training_has_its_start_and_steps_of_its_own(trained: Trained) -> None:
    new = trained.continued("grpo-000002", {"sft_steps": 7})
    assert (new.status, new.parent, new.priority, new.request) == ("queued", trained.job.id, 3, {"note": "kept"})
    assert new.recipe == {**RECIPE.to_json(), "sft_steps": 7}, "also from a checkpoint that has practised"
    base, start = trained.records.checkpoints.of_job(new.id)
    assert base.name == "base" and base.scores and "scores.json" in base.files
    assert (start.name, start.stage, start.step, start.scores, start.samples) == ("start", "start", 0, {}, ())
    assert start.files == {"adapter_config.json": "adapters/1.json"}, "nothing to resume from, nothing measured"
    assert start.adapter_key == f"adapters/{trained.job.id}/grpo-000002"


def test_on_another_version_nothing_counts_as_measured(trained: Trained) -> None:
    new = trained.continued("sft-000002", {}, latest_version=True)
    assert new.version == 2
    assert [one.name for one in trained.records.checkpoints.of_job(new.id)] == ["start"]


def test_todays_defaults_keep_the_size_of_the_adapter(trained: Trained) -> None:
    old = RECIPE.with_changes({"sft_learning_rate": 0.5, "lora_rank": 4, "image_lora_rank": 4, "seed": 9})
    job = trained.records.jobs.add(replace(trained.job, id=new_id(), recipe=old.to_json()))
    new = clone(trained.records, trained.app, job.id, {"grpo_steps": 1}, new_defaults=True)
    today = Recipe.for_effort("starter", "quick", seed=9, lora_rank=4, image_lora_rank=4, grpo_steps=1)
    assert new.recipe == today.to_json()
    assert clone(trained.records, trained.app, job.id, {}).recipe == old.to_json()
    assert set(old.differences(old.with_new_defaults())) == {
        "sft_learning_rate",
        "sft_steps",
        "sft_save_every",
        "grpo_steps",
        "grpo_save_every",
    }


@pytest.mark.parametrize(
    ("checkpoint", "changes", "words"),
    [
        ("base", {}, "has learnt nothing yet"),
        ("sft-000004", {"sft_steps": 6, "lora_rank": 8}, "lora_rank cannot change"),
        ("sft-000004", {"sft_steps": 6, "base": "janus-pro-1b"}, "base cannot change"),
        ("sft-000004", {"sft_steps": 0, "grpo_steps": 0}, "nothing to train"),
        ("sft-000004", {"speed": 3}, "no setting speed"),
        ("sft-000004", {"sft_steps": "six"}, "wrong kind of value"),
    ],
)
def test_how_it_cannot_go_on(checkpoint: str, changes: dict[str, Any], words: str, trained: Trained) -> None:
    before = trained.records.jobs.list()
    with pytest.raises(ValueError, match=words):
        trained.continued(checkpoint, changes)
    assert trained.records.jobs.list() == before


def test_only_what_is_there_and_a_training_can_be_gone_on_with(trained: Trained) -> None:
    with pytest.raises(RecordMissing):
        trained.continued("sft-000999", {})
    reply = trained.records.jobs.add(Job(new_id(), "reply", "ada"))
    with pytest.raises(ValueError, match="is no training"):
        clone(trained.records, trained.app, reply.id, {})
