"""Two processes on one machine (gloo) as `accelerate launch` starts them on GPUs: the numbers of one process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import set_seed

from pipelines.core.character.character_folder import read_character
from pipelines.core.jobs.memory_plan import StepStrategy
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import read_events
from pipelines.models.presets import load
from pipelines.rewards.judge import load_judge
from pipelines.train import prepare_run
from pipelines.training.grpo import make_trainer, run_grpo
from pipelines.training.sft import run_sft

ROOT = Path(__file__).resolve().parents[2]
RECIPE = Recipe(
    base="janus-toy",
    sft_steps=2,
    sft_save_every=2,
    sft_row_max_tokens=1600,
    sft_row_max_images=3,
    sft_learning_rate=5e-3,
    grpo_steps=2,
    grpo_save_every=2,
    grpo_group_size=3,
    grpo_prompts_per_step=2,
    grpo_replay_weight=0.0,
    grpo_learning_rate=5e-3,
    max_new_tokens=10,
)


def adapter(run_dir: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(run_dir / "checkpoints" / name / "adapter_model.safetensors")


def one_process(run_dir: Path) -> list[float]:
    """Both stages here; stage 1 reads the two processes' rows of a step one after the other. Gives the rewards."""
    character, said = read_character(run_dir / "character"), lambda event: None
    set_seed(RECIPE.seed)
    model, tokenizer = load("janus-toy")
    run_sft(
        model,
        tokenizer,
        character,
        replace(RECIPE, sft_row_max_tokens=3200, sft_row_images=2 * RECIPE.sft_row_images),
        run_dir,
        said,
        strategy=StepStrategy(False, 2),
    )
    set_seed(RECIPE.seed)
    model, tokenizer = load("janus-toy")
    student = PeftModel.from_pretrained(model, str(run_dir / "checkpoints" / "sft-000002"), is_trainable=True)
    trainer = make_trainer(student, tokenizer, character, RECIPE, run_dir, load_judge("janus-toy"), said)
    return list(run_grpo(trainer).rewards)


def two_processes(run_dir: Path, *words: str) -> subprocess.Popen[str]:
    """Both stages in two processes."""
    # What `accelerate launch` runs for several GPUs; for CPUs it would ask for MPI.
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "-m",
        "tests.training.both_stages",
        str(run_dir),
        *words,
    ]
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def assert_same(alone: Path, rewards: list[float], together: Path) -> None:
    """Two processes ended with the adapters and rewards of one."""
    for name in ("sft-000002", "grpo-000002"):
        mine, theirs = adapter(alone, name), adapter(together, name)
        moved = max(float(value.abs().max()) for key, value in mine.items() if "lora_B" in key)
        assert moved > 1e-3  # something was learnt
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            assert torch.allclose(value, theirs[key], atol=2e-4), f"{name} {key}"
    told = [event.metrics["reward"] for event in read_events(together) if "reward" in event.metrics]
    assert told == pytest.approx(rewards, abs=1e-4)
    steps = [event.step for event in read_events(together) if event.stage == "sft" and "loss" in event.metrics]
    assert steps == [1, 2]  # the main process alone tells the story


def test_two_processes_end_with_the_numbers_of_one(toy_character: Path, tmp_path: Path) -> None:
    alone, together, spread = (tmp_path / name for name in ("alone", "together", "spread"))
    for run_dir in (alone, together, spread):
        prepare_run(run_dir, toy_character, RECIPE)
    with two_processes(together) as launched, two_processes(spread, "sharded") as spreading:
        rewards = one_process(alone)
        for process in (launched, spreading):
            said = process.communicate(timeout=200)[0]
            assert process.returncode == 0, said[-3000:]
    for run_dir in (together, spread):
        assert_same(alone, rewards, run_dir)
    for rank in range(2):  # each kept half of the layers, in both stages, and the whole adapter
        stages = (spread / f"shares-{rank}.txt").read_text(encoding="utf-8").splitlines()
        for held, whole, trained in (map(int, line.split()) for line in stages):
            assert whole > 0 and held == pytest.approx(whole / 2, rel=0.1) and trained == 0
        assert len(stages) == 2
