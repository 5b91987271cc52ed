"""Trainings made from earlier ones: what a clone and a continued training take along, and how one cannot go on.

The studio and the command line call the same functions; a real trainer goes on from what is made here in
tests/worker/test_runner.py and tests/studio/test_train_further.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from pipelines.core.jobs.job import Checkpoint, Job, RecordMissing, new_id
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.queue.broker import make_app
from pipelines.core.queue.submit import clone, continue_training, more_steps
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


def test_a_continued_training_has_the_checkpoints_up_to_its_start(trained: Trained) -> None:
    new = trained.continued("sft-000004", {"sft_steps": 7})
    assert (new.status, new.parent, new.priority, new.request) == ("queued", trained.job.id, 3, {"note": "kept"})
    assert new.recipe == {**RECIPE.to_json(), "sft_steps": 7}
    kept = trained.records.checkpoints.of_job(new.id)
    assert [one.name for one in kept] == ["base", "sft-000002", "sft-000004"]
    assert all(one.scores and "scores.json" in one.files for one in kept)


def test_on_another_version_nothing_counts_as_measured(trained: Trained) -> None:
    new = trained.continued("sft-000002", {}, latest_version=True)
    assert new.version == 2
    for one in trained.records.checkpoints.of_job(new.id):
        assert (one.scores, one.samples, list(one.files)) == ({}, (), ["adapter_config.json"])


@pytest.mark.parametrize(
    ("checkpoint", "steps", "changes"),
    [
        ("sft-000004", (3, 5), {"sft_steps": 7, "grpo_steps": 5}),
        ("sft-000002", (3, 0), {"sft_steps": 5, "grpo_steps": 0}),
        ("grpo-000002", (0, 5), {"sft_steps": 4, "grpo_steps": 7}),
    ],
)
def test_so_many_steps_more(checkpoint: str, steps: tuple[int, int], changes: dict[str, int], trained: Trained) -> None:
    start = trained.records.checkpoints.get(trained.job.id, checkpoint)
    assert more_steps(RECIPE, start, *steps) == changes
    assert trained.continued(checkpoint, changes).recipe == {**RECIPE.to_json(), **changes}


@pytest.mark.parametrize(
    ("checkpoint", "changes", "words"),
    [
        ("base", {}, "has learnt nothing yet"),
        ("sft-000004", {"sft_steps": 6, "lora_rank": 8}, "lora_rank cannot change"),
        ("sft-000004", {"sft_steps": 6, "base": "janus-pro-1b"}, "base cannot change"),
        ("grpo-000002", {"sft_steps": 6, "grpo_steps": 8}, "cannot go back to learning the basics"),
        ("grpo-000002", {}, "nothing more to train.*grpo_steps above 2"),
        ("sft-000004", {"grpo_steps": 0}, "nothing more to train.*sft_steps above 4"),
        ("sft-000004", {"sft_steps": 3}, "nothing more to train"),
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
