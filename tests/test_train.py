"""The whole recipe at toy size with real classes: files, order, what changed and what did not, and broken-off runs."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import pipelines.models.presets
from pipelines.core.checkpoint_sums import SUMS_FILE
from pipelines.core.events import STAGES, Event, Stopped
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.model_identity import TOY_REVISION
from pipelines.core.run_folder import (
    RunError,
    TrainerExit,
    adapters,
    clear_exit,
    read_events,
    read_exit,
    read_json,
    saved_for,
)
from pipelines.train import FAILED, STOPPED, main, prepare_run, recorder, stage_totals, stop_on_signals, train
from tests.toys import TOY_BASE, TOY_STEPS, write_toy

NAMES = ["base", "sft-000002", "sft-000004", "grpo-000001", "grpo-000002"]
"""Checkpoints of the toy run."""
SAMPLES = {f"{number:02d}.png" for number in range(1, 7)} | {"sheet.png"}  # two captions, four replies
STATE = {
    "adapter_config.json",
    "adapter_model.safetensors",
    "references",
    "references.safetensors",
    "README.md",
    "optimizer.pt",
    "sha256.json",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
    "scores.json",
    "samples",
}


def recipe(**changes: Any) -> Recipe:
    return Recipe.for_effort(TOY_BASE, "quick", **{**TOY_STEPS, **changes})


def values(run_dir: Path, stage: str, key: str) -> dict[int, float]:
    """The last reported value of every step."""
    return {e.step: e.metrics[key] for e in read_events(run_dir) if e.stage == stage and key in e.metrics}


def start(run_dir: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipelines.train", str(run_dir), "--events"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)


def wait_for(process: subprocess.Popen[str], stage: str, step: int) -> None:
    """Read events until that one comes."""
    assert process.stdout is not None
    for line in process.stdout:
        event = Event.from_line(line)
        if (event.stage, event.step) == (stage, step):
            return
    raise AssertionError(f"the trainer ended with {process.wait()} before {stage} {step}")


@dataclass(frozen=True)
class Watched:
    """A whole run and everything it did."""

    run_dir: Path
    result: dict[str, Any]
    events: list[Event]
    models: list[tuple[Any, dict[str, torch.Tensor]]]
    """Every model that was loaded, and a copy of its weights as they were then."""
    seconds: float
    """Of the processor: the machine may be busy with other things."""


@pytest.fixture(scope="module")
def watched(toy_character: Path, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """A run whose events and models are kept; not to be written to."""
    models: list[tuple[Any, dict[str, torch.Tensor]]] = []
    load = pipelines.models.presets.load

    def watched_load(preset: str, bits: int = 16) -> Any:
        model, tokenizer = load(preset, bits)
        models.append((model, {name: value.clone() for name, value in model.state_dict().items()}))
        return model, tokenizer

    run_dir, events = tmp_path_factory.mktemp("watched") / "run", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines.models.presets, "load", watched_load)
        began = time.process_time()
        prepare_run(run_dir, toy_character, recipe())
        result = train(run_dir, events.append)
        return Watched(run_dir, result, events, models, time.process_time() - began)


def test_the_whole_recipe_leaves_exactly_these_files_in_under_a_minute(watched: Watched) -> None:
    assert watched.seconds < 60
    run_dir, result = watched.run_dir, watched.result
    parts = {"run.json", "events.jsonl", "result.json", "character", "checkpoints"}
    assert {path.name for path in run_dir.iterdir()} == parts
    assert {path.name for path in (run_dir / "checkpoints").iterdir()} == set(NAMES)
    for name in NAMES:
        folder = run_dir / "checkpoints" / name
        there = {path.name for path in folder.iterdir()}
        expected = {"scores.json", "samples"} if name == "base" else STATE
        assert there - {"ref"} == expected, name  # practice keeps stage 1's adapter for the KL term
        assert {path.name for path in (folder / "samples").iterdir()} == SAMPLES
    assert result == read_json(run_dir / "result.json")
    assert [item["name"] for item in result["checkpoints"]] == NAMES
    assert result["best"] in NAMES[1:]
    assert result["stages"]["sft"]["steps"] == 4 and result["stages"]["grpo"]["steps"] == 2
    assert result["stages"]["sft"]["tokens"] > 0 and result["seconds"] > 0


def test_events_come_stage_by_stage_numbered_and_name_what_exists(watched: Watched) -> None:
    stages = [event.stage for event in watched.events]
    assert set(stages) == set(STAGES)
    # What stage 1 left is measured before stage 2 begins, so that there are pictures to look at meanwhile.
    order = [stage for stage, _ in itertools.groupby(stages)]
    assert order == ["prepare", "sft", "evaluate", "grpo", "evaluate", "save"]
    measured = [
        (event.step, event.total, event.payload["checkpoint"]) for event in watched.events if event.stage == "evaluate"
    ]
    assert measured == [(number, len(NAMES), name) for number, name in enumerate(NAMES, start=1)]
    chosen = {"best": watched.result["best"], "best_faults": watched.result["best_faults"]}
    assert watched.events[-1].payload == chosen
    assert watched.events == read_events(watched.run_dir)
    assert [event.sequence for event in watched.events] == list(range(len(watched.events)))
    for event in watched.events:
        assert all((watched.run_dir / path).exists() for path in event.artifacts)


def test_both_stages_change_the_adapter_and_nothing_else(watched: Watched) -> None:
    """Base weights stay equal to the bit."""
    adapter = {
        name: load_file(watched.run_dir / "checkpoints" / name / "adapter_model.safetensors") for name in NAMES[1:]
    }
    for name, weights in adapter.items():
        assert any(value.abs().max() > 0 for key, value in weights.items() if "lora_B" in key), name
    learnt, practised = adapter["sft-000004"], adapter["grpo-000002"]
    assert learnt.keys() == practised.keys()
    assert any(not torch.equal(learnt[key], practised[key]) for key in learnt)
    assert watched.models
    for model, before in watched.models:
        after = {name.replace("base_layer.", ""): value for name, value in model.state_dict().items()}
        for name, value in before.items():
            assert torch.equal(value, after[name]), name


def test_scores_and_card(toy_run: Path) -> None:
    """The names that scripts rely on, and a card that names the base model and no path of this machine."""
    for name in ("base", "sft-000004", "grpo-000002"):
        scores = read_json(toy_run / "checkpoints" / name / "scores.json")["scores"]
        expected = {
            "reply_perplexity",
            "facts_accuracy",
            "likeness",
            "training_image_similarity",
            "caption_match",
            "variety",
            "reply_image_match",
            "general_perplexity",
            "speaking",
            "prompt_leaking",
        }
        assert set(scores) == expected | ({"reward"} if name.startswith("grpo") else set())
        for key, value in scores.items():
            assert value > 0 if "perplexity" in key else 0 <= value <= 1, key
    folder = toy_run / "checkpoints" / "grpo-000002"
    config = read_json(folder / "adapter_config.json")
    assert (config["base_model_name_or_path"], config["revision"]) == (f"understudy/{TOY_BASE}", TOY_REVISION)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: peft\nbase_model: understudy/") and "# Ada: grpo-000002" in card
    assert "| looks like them |" in card and "| knows the facts |" not in card, "two questions are too little"
    for text in (card, json.dumps(config)):
        assert str(toy_run.parent) not in text and str(Path.home()) not in text.replace("/root/", "/")


def test_killed_anywhere_and_resumed(toy_run: Path, toy_character: Path, tmp_path: Path) -> None:
    """Killed in both stages and while checking; final losses, rewards and scores equal those of a run without a break.

    Tolerance 1e-6: same seeds, CPU, one thread; only the time stamps may differ.
    """
    run_dir = tmp_path / "run"
    prepare_run(run_dir, toy_character, recipe())
    for stage, step in (("sft", 3), ("grpo", 2)):
        process = start(run_dir)
        wait_for(process, stage, step)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not (run_dir / "result.json").exists()
    with (run_dir / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"stage": "sf')  # what a kill in the middle of a line leaves
    (run_dir / "checkpoints" / ".partial-grpo-000003").mkdir()

    def fail(event: Event) -> None:
        if event.stage == "evaluate":
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        train(run_dir, fail)
    assert not (run_dir / "result.json").exists()
    result = train(run_dir)
    whole = read_json(toy_run / "result.json")
    assert values(run_dir, "sft", "loss") == pytest.approx(values(toy_run, "sft", "loss"), abs=1e-6)
    for key in ("reward", "loss"):
        assert values(run_dir, "grpo", key) == pytest.approx(values(toy_run, "grpo", key), abs=1e-6)
    for ours, theirs in zip(result["checkpoints"], whole["checkpoints"], strict=True):
        assert ours["scores"] == pytest.approx(theirs["scores"], rel=1e-6, abs=1e-6), ours["name"]
    assert result["best"] == whole["best"]
    assert result["stages"]["sft"]["tokens"] == whole["stages"]["sft"]["tokens"]


def test_stop_keeps_and_resumes(toy_run: Path, toy_character: Path, tmp_path: Path) -> None:
    """A report that raises Stopped ends the step, keeps a checkpoint of it, and the run goes on to the same losses."""
    run_dir = tmp_path / "run"
    prepare_run(run_dir, toy_character, recipe())

    def stop_at(event: Event) -> None:
        if event.stage == "sft" and event.step == 1:
            raise Stopped

    with pytest.raises(Stopped):
        train(run_dir, stop_at)
    assert adapters(run_dir) == ["sft-000001"]
    assert saved_for(run_dir, "sft-000001") == "stop", "the recipe saves every second step"
    with pytest.raises(RunError, match="--resume"):
        train(run_dir, resume=False)

    def stop_at_last(event: Event) -> None:
        if event.stage == "sft" and event.step == 4:
            raise Stopped

    with pytest.raises(Stopped):
        train(run_dir, stop_at_last)
    assert values(run_dir, "sft", "loss") == pytest.approx(values(toy_run, "sft", "loss"), abs=1e-6)
    assert saved_for(run_dir, "sft-000004") == "plan", "a stop at a step that is saved anyway changes nothing"
    result = train(run_dir)
    assert [one["name"] for one in result["checkpoints"]] == NAMES, "what a stop saved is no candidate"
    assert result["best"] != "sft-000001" and not (run_dir / "checkpoints" / "sft-000001" / "scores.json").exists()
    assert all(one["measurement"]["counts"]["spoken_replies"] == 12 for one in result["checkpoints"])


def test_a_run_of_other_weights_is_not_gone_on_with(toy_run: Path, tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(toy_run, tmp_path / "run"))
    config = run_dir / "checkpoints" / "grpo-000002" / "adapter_config.json"
    config.write_text(json.dumps(read_json(config) | {"revision": "0000"}), encoding="utf-8")
    (config.parent / SUMS_FILE).unlink()  # or it would be taken for damaged
    assert train(run_dir) == read_json(run_dir / "result.json"), "a finished run opens as it did"
    (run_dir / "result.json").unlink()
    before = len(read_events(run_dir))
    assert main([str(run_dir)]) == FAILED
    left = read_exit(run_dir)
    assert left is not None
    assert left.reason.startswith("checkpoint grpo-000002 was trained on starter-toy of 0000: train again")
    assert len(read_events(run_dir)) == before


def test_signal_stops_with_an_honest_status(toy_character: Path, tmp_path: Path) -> None:
    """SIGTERM: exit status 3, a kept checkpoint and no result."""
    run_dir = tmp_path / "run"
    prepare_run(run_dir, toy_character, recipe(sft_steps=60, sft_save_every=60))
    process = start(run_dir)
    wait_for(process, "sft", 2)
    process.terminate()
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == STOPPED and read_exit(run_dir) == TrainerExit(STOPPED)
    last = max([2, *(Event.from_line(line).step for line in rest.splitlines())])
    assert adapters(run_dir) == [f"sft-{last:06d}"] and last < 60
    assert not (run_dir / "result.json").exists()


def test_second_signal_kills() -> None:
    script = (
        "import os, signal, time\nfrom pipelines.train import stop_on_signals\n"
        "with stop_on_signals() as asked:\n"
        "    os.kill(os.getpid(), signal.SIGINT); assert asked(); print('asked', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT); time.sleep(5); print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "asked\n" and done.returncode == -signal.SIGINT
    with stop_on_signals() as asked:
        assert not asked()


def test_a_complete_run_is_not_run_again(toy_run: Path) -> None:
    events: list[Event] = []
    assert train(toy_run, events.append) == read_json(toy_run / "result.json")
    assert events == []


def test_failures_are_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nothing")]) == FAILED
    assert "run.json does not exist" in capsys.readouterr().err and not (tmp_path / "nothing").exists()
    assert main([str(tmp_path)]) == FAILED
    left = read_exit(tmp_path)
    assert left is not None and left.status == FAILED and "run.json does not exist" in left.reason
    clear_exit(tmp_path)
    assert read_exit(tmp_path) is None


def test_missing_weights_are_told_in_the_run_folder(
    toy_character: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    prepare_run(run_dir, toy_character, Recipe.for_effort("janus-pro-1b", "quick"))
    (tmp_path / "models" / "Janus-Pro-1B").mkdir(parents=True)
    monkeypatch.setenv("UNDERSTUDY_MODELS", str(tmp_path / "models"))
    assert main([str(run_dir)]) == FAILED
    left = read_exit(run_dir)
    assert left is not None and left.reason.startswith("The base model is not there. ")
    assert left.reason in capsys.readouterr().err
    with pytest.raises(SystemExit) as usage:
        main([])
    assert usage.value.code == 2


def test_prepare_keeps_out_of_used_folders(toy_character: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        prepare_run(tmp_path, toy_character, recipe())


def test_prepare_sets_a_split_aside(tmp_path: Path) -> None:
    """Without test.yaml some conversations and pictures go to a held-out split, and training's copy lacks them."""
    source = write_toy(tmp_path / "ada")
    (source / "test.yaml").unlink()
    prepare_run(tmp_path / "run", source, recipe())
    copy = tmp_path / "run" / "character"
    kept = {path.name for path in (copy / "images").iterdir()}
    aside = {path.name for path in (copy / "test_images").iterdir()}
    assert kept | aside == {f"{number:02d}.png" for number in range(1, 7)} and len(aside) == 1 and not kept & aside
    run = read_json(tmp_path / "run" / "run.json")
    assert Recipe.from_json(run["recipe"]) == recipe()
    assert len(run["character"]["images"]) == 5


def test_spent_counts_every_attempt_and_each_step_once() -> None:
    def at(stage: str, second: int, step: int = 0, **metrics: float) -> Event:
        return Event(stage, step, 4, metrics, time=f"2026-01-01T00:00:{second:02d}+00:00")  # type: ignore[arg-type]

    events = [
        at("prepare", 0),
        at("sft", 3, 1, tokens=10),
        at("sft", 5, 2, tokens=20),
        # killed; the pause until the next attempt does not count, the repeated step's time does, its tokens do not
        at("prepare", 30),
        at("sft", 34, 2, tokens=20),
        at("grpo", 40, 1, tokens=5),
        at("evaluate", 47),
    ]
    assert stage_totals(events) == {
        "seconds": 22.0,
        "stages": {
            "sft": {"seconds": 9.0, "steps": 2, "tokens": 30},
            "grpo": {"seconds": 6.0, "steps": 1, "tokens": 5},
        },
    }


def test_recorder_numbers_on(tmp_path: Path) -> None:
    recorder(tmp_path, lambda event: None)(Event("prepare"))
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"half')
    recorder(tmp_path, lambda event: None)(Event("sft", 1))
    assert [(event.sequence, event.stage) for event in read_events(tmp_path)] == [(0, "prepare"), (1, "sft")]
