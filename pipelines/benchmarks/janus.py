"""`bench_janus`: a full-size Janus loads, learns three steps of each stage and draws a picture, in how much memory.

On a CPU every position of the full size costs half a second, so there the character is terse, rows are short and
hold no pictures, replies have few words and one picture is drawn; on a GPU the steps are those of `standard`. What is
shown is that everything runs at full size and what it takes; rates are `bench_machine`'s business.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pipelines.benchmarks.machine import Bench, settings_of
from pipelines.benchmarks.peak_memory import peak_memory
from pipelines.benchmarks.random_bases import RANDOM_BASES
from pipelines.core.jobs.recipe import Recipe

STEPS = 3
LIMIT_GB = 24.0
"""What the full-size small model has to stay within on a CPU."""
CPU_ROW, CPU_WORDS = 192, 6
"""Positions of a row, and ids of a reply, on a CPU."""


def bench_janus(base: str = "random-1b", steps: int = STEPS) -> dict[str, Any]:
    """Seconds of each part, losses' health and peak memory; `ours` is the peak, `plain` what is allowed."""
    recipe, plan = settings_of(base, "quick")
    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        recipe = _small_enough_for_a_cpu(recipe)
    seconds: dict[str, float] = {}

    def note(part: str, spent: float) -> None:
        seconds[part] = round(spent, 2)
        print(f"{part}: {spent:.1f} s, {peak_gb():.1f} GB at most", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as name:
        bench = Bench(base, Path(name), recipe, plan, terse=not on_gpu)

        def peak_gb() -> float:
            return peak_memory(bench.device) / 1e9

        for part, spent in bench.seconds.items():
            note(part, spent)
        rows = bench.sft_rows(steps)
        for step in range(steps):
            parts = plan.sft.parts
            own = rows[step * parts : (step + 1) * parts]
            note(f"sft {step + 1}", bench.timed(lambda own=own: bench.sft_step(own))[0])
        for step in range(steps):
            began = time.perf_counter()
            rollouts = bench.sample(step, recipe.max_new_tokens, draws=on_gpu)
            prompts = bench.rollout_prompts(step)
            bench.timed(lambda r=rollouts, p=prompts: bench.grpo_step(r, p))
            note(f"grpo {step + 1}", time.perf_counter() - began)
        prompt = bench.sample(0, 1, False, 1, 2).prompt_ids[0]
        spent, codes = bench.timed(
            lambda: bench.model.sample_images([[*prompt, bench.model.spec.boi_id]], generator=None).codes
        )
        note("picture", spent)
        spent, pixels = bench.timed(lambda: bench.model.decode_images(codes))
        note("decode", spent)
        whole = all(math.isfinite(float(weight.sum())) for weight in bench.trained)
        moved = sum(float(weight.abs().sum()) for key, weight in bench.student.named_parameters() if "lora_B" in key)
        peak = peak_gb()
    return {
        "name": "janus",
        "ours": peak,
        "plain": LIMIT_GB,
        "unit": "GB at most",
        "ratio_median": LIMIT_GB / peak,
        "ratios": [LIMIT_GB / peak],
        "base": RANDOM_BASES.get(base, base),
        "seconds": seconds,
        "learnt": whole and moved > 0,
        "picture": list(pixels.shape),
        "planned_gb": plan.need.total / 1e9,
        "dtype": str(bench.model.dtype),
    }


def _small_enough_for_a_cpu(recipe: Recipe) -> Recipe:
    return replace(
        recipe,
        sft_row_max_tokens=CPU_ROW,
        task_shares={"dialogue": 0.5, "fact": 0.5},
        grpo_prompts_per_step=1,
        grpo_group_size=2,
        max_new_tokens=CPU_WORDS,
        reward_weights={"reply": 1.0},
    )
