"""`understudy jobs clone` and `continue`: the changes on the command line become those of a new job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main
from pipelines.core.jobs.job import Checkpoint, Job, new_id
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.records import open_records
from pipelines.core.settings import Settings

RECIPE = Recipe.for_effort("starter", "quick", sft_steps=4, sft_save_every=4)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Id of a finished training; its character has been published again since."""
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "home"))
    settings = Settings.from_environment()
    records = open_records(settings.database_url)
    character = records.characters.create(settings.owner, {"name": "Mira"})
    for persona in ("A pilot.", "A baker."):
        records.characters.publish(character.id, {"name": "Mira", "persona": persona})
    job = Job(new_id(), "train", settings.owner, character.id, 1, RECIPE.to_json(), status="succeeded")
    records.jobs.add(job)
    for stage, step in (("base", 0), ("sft", 4)):
        name = f"{stage}-{step:06d}" if step else stage
        key = f"adapters/{job.id}/{name}" if step else ""
        records.checkpoints.put(Checkpoint(job.id, name, stage, step, "starter", adapter_key=key))
    records.close()
    return job.id


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main([*words, "--json"]) == 0, capsys.readouterr().err
    told: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return told


def test_clone_and_continue(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    cloned = answer(capsys, "jobs", "clone", trained[:8], "--set", "seed=7")["job"]
    assert (cloned["parent"], cloned["version"], cloned["recipe"]) == (trained, 1, {**RECIPE.to_json(), "seed": 7})
    assert answer(capsys, "jobs", "clone", trained, "--latest-version")["job"]["version"] == 2
    words = ("jobs", "continue", f"{trained[:8]}:sft-000004", "--set", "sft_steps=6")
    continued = answer(capsys, *words)["job"]
    assert (continued["status"], continued["recipe"]) == ("queued", {**RECIPE.to_json(), "sft_steps": 6})
    today = answer(capsys, "jobs", "clone", trained, "--new-defaults")["job"]["recipe"]
    assert today == Recipe.for_effort("starter", "quick", seed=RECIPE.seed).to_json()


def test_what_is_kept_from_then_is_said(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "clone", trained, "--set", "grpo_steps=1"]) == 0
    said = capsys.readouterr().out
    assert "kept from then: sft_steps 4 (today 84); --new-defaults takes today's" in said and "grpo_steps" not in said


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (("continue", ":sft-000004", "--set", "sft_steps=0", "--set", "grpo_steps=0"), 1, "nothing to train"),
        (("continue", ":base"), 1, "has learnt nothing yet"),
        (("continue", ""), 2, "name a checkpoint"),
        (("continue", ":sft-000009"), 1, "has no checkpoint"),
        (("clone", "", "--set", "sft_steps=0", "--set", "grpo_steps=0"), 1, "nothing to train"),
        (("show", "", "--latest-version"), 2, "go with clone and continue"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    words: tuple[str, ...], status: int, reason: str, trained: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verb, suffix, *rest = words
    assert main(["jobs", verb, f"{trained}{suffix}", *rest]) == status
    assert reason in capsys.readouterr().err
