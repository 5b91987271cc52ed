"""What each step of `gpu_check` does; the measuring is that of `understudy bench gpu` (`machine.py`).

    for part in work_of("random-1b 16 bits")(context): ...       a dict for each part, as soon as it is found

Memory plans are checked as they would be on a card of their size: the device's allocator is held to that size, and the
most it took stands beside what the plan said.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipelines.benchmarks.bench_character import BUNDLED
from pipelines.benchmarks.machine import (
    Bench,
    device_shares,
    measure_grpo,
    measure_scorecard,
    measure_sft,
    projected_minutes,
    settings_of,
)
from pipelines.benchmarks.peak_memory import forget_peak, peak_memory, wait
from pipelines.benchmarks.random_bases import RANDOM_BASES
from pipelines.core.child_process import tied_to_parent
from pipelines.core.jobs.memory_plan import CONTEXT, GIB, REWARD_MODEL_BYTES, MemoryPlan, need_of, plan_for
from pipelines.core.jobs.model_specs import LARGE
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.versions import installed
from pipelines.models.decoding import static_decode
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.device_memory import device_memory, free_gpu_memory, is_out_of_memory
from pipelines.models.hub_weights import MODELS
from pipelines.models.janus_random_weights import SIZES, write_layout
from pipelines.rewards.judge import load_judge

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes", "celery", "sqlalchemy", "numpy")
CARDS_GB = {16: (24, 40, 80), 4: (16, 24)}
"""Bits of the base model -> cards whose plans are checked."""
TOY_STEPS = {
    "sft_steps": 2,
    "sft_save_every": 2,
    "grpo_steps": 1,
    "grpo_save_every": 1,
    "grpo_group_size": 2,
    "grpo_prompts_per_step": 1,
    "max_new_tokens": 12,
    "sft_row_max_tokens": 4096,
}
Part = dict[str, Any]


@dataclass(frozen=True)
class StepContext:
    """What a step is given."""

    toy: bool
    """Toy sizes."""
    folder: Path
    """Its own, empty; removed when it has ended."""
    dollars: float = 0.0
    """Price of an hour of the card."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")


Work = Callable[[StepContext], Iterator[Part]]


def work_of(name: str) -> Work:
    """What the step of that name does; KeyError for an unknown one."""
    kind, _, rest = name.partition(" ")
    if kind == "pytest":
        return partial(run_tests, rest)
    if kind == "run":
        return partial(run_worker, rest)
    if kind in RANDOM_BASES:
        return partial(measure_base, kind, int(rest.split()[0]))
    return {"devices": devices, "rewards": rewards, "recorded": recorded, "starter": starter, "collective": collective}[
        kind
    ]


def devices(context: StepContext) -> Iterator[Part]:
    """Cards, driver side and versions."""
    cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    yield {
        "part": "devices",
        "cards": [{"name": card.name, "gb": round(card.total_memory / 1e9, 1)} for card in cards],
        "cuda": torch.version.cuda,
        "cores": os.cpu_count(),
        "versions": installed(PACKAGES),
    }


def run_tests(file: str, context: StepContext) -> Iterator[Part]:
    """The tests of a file that need a GPU; RuntimeError when one fails."""
    import pytest

    counts = {"passed": 0, "failed": 0, "skipped": 0}

    class Counter:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.when == "call" or report.outcome != "passed":
                counts[report.outcome] += 1

    status = pytest.main(["-p", "no:cacheprovider", "-m", "gpu", str(ROOT / file)], plugins=[Counter()])
    yield {"part": "tests", **counts}
    if status != pytest.ExitCode.OK:
        raise RuntimeError(f"pytest ended with {status!r}")


def rewards(context: StepContext) -> Iterator[Part]:
    """The starter's critic on the processor and on the device: how far apart are its scores at most?"""
    judge = load_judge("starter-toy" if context.toy else "starter")
    pixels = torch.rand(16, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    texts = [f"Mira, happy, in a red hoodie, place {number}" for number in range(len(pixels))]
    found = {}
    for device in (torch.device("cpu"), context.device):
        judge.to(device)  # type: ignore[attr-defined]
        with torch.no_grad():
            features = judge.encode_images(pixels)
            found[device] = [judge.match(features, texts).cpu(), judge.likeness(features, features).cpu()]
    here, there = found[torch.device("cpu")], found[context.device]
    apart = max(float((mine - other).abs().max()) for mine, other in zip(here, there, strict=True))
    yield {"part": "critic", "apart": apart, "as_planned": apart < 1e-3}


@contextmanager
def static_shapes(used: bool) -> Iterator[None]:
    """Inside, a GPU draws pictures from a recorded step, or with growing caches as a processor always does."""
    before = static_decode.is_faster_on
    static_decode.is_faster_on = lambda device: used and before(device)
    try:
        yield
    finally:
        static_decode.is_faster_on = before


def recorded_against_plain(model: Any, prompt: list[int], count: int) -> Part:
    """Seconds of `count` pictures by a recorded step and by single ones, and the share of equal codes."""
    seconds, codes = {}, {}
    for used in (True, False):
        with static_shapes(used):
            for _ in range(2):  # the first one is a warm-up
                wait(model.device)
                began = time.perf_counter()
                sampling = Sampling(guidance_scale=5.0, image_temperature=0.0)
                codes[used] = model.sample_images([prompt], sampling, num_return_sequences=count).codes
                wait(model.device)
                seconds[used] = time.perf_counter() - began
    equal = float((codes[True] == codes[False]).float().mean())
    return {"recorded_s": seconds[True], "plain_s": seconds[False], "equal_codes": equal, "pictures": count}


def recorded(context: StepContext) -> Iterator[Part]:
    """A recorded step (CUDA graph) against plain ones, at toy size in fp32: the codes must be the same."""
    from pipelines.models.janus import toy_janus

    model, tokenizer = toy_janus()
    model = model.to(context.device)
    found = recorded_against_plain(model, [*tokenizer("Draw yourself.")["input_ids"], model.spec.boi_id], 4)
    yield {"part": "recorded", **found, "as_planned": found["equal_codes"] == 1.0}


def starter(context: StepContext) -> Iterator[Part]:
    """Rates of the starter: stage 1, practice, sampling."""
    base = "starter-toy" if context.toy else "starter"
    recipe, plan = (
        settings_of(base)
        if context.toy
        else (Recipe.for_effort("starter", "standard"), plan_for(base, Recipe(), 80 * GIB))
    )
    bench = Bench(base, context.folder, recipe, plan)
    yield {"part": "load", "seconds": bench.seconds}
    yield {"part": "sft", **measure_sft(bench, 1)}
    yield {"part": "practice", **measure_grpo(bench, 1, _words(bench, context))}
    yield {"part": "memory", "peak_gb": peak_memory(bench.device) / 1e9}


def _words(bench: Bench, context: StepContext) -> int:
    return 6 if context.toy else bench.recipe.max_new_tokens


def plans_for(preset: str, recipe: Recipe, bits: int) -> list[tuple[int, MemoryPlan]]:
    """(GB of a card, its plan) for the cards on which the base model has so many bits, each way once."""
    name, memory = device_memory()
    if preset not in LARGE:
        return [(0, replace(plan_for(preset, recipe, memory, on_gpu=bool(name)), bits=bits))]
    found: list[tuple[int, MemoryPlan]] = []
    for gigabytes in CARDS_GB[bits]:
        plan = plan_for(preset, recipe, gigabytes * GIB)
        known = [(other.sft, other.grpo) for _, other in found]
        if plan.fits and plan.bits == bits and (plan.sft, plan.grpo) not in known and gigabytes * 0.9 * GIB < memory:
            found.append((gigabytes, plan))
    # No card of these wants so few bits for this base: its 4-bit form is measured in the way of the smallest.
    return found or [(24, replace(plan_for(preset, recipe, 24 * GIB), bits=bits))]


def measure_base(base: str, bits: int, context: StepContext) -> Iterator[Part]:
    """A base model with random weights: load, both stages under the plan of each card, pictures, projection."""
    preset = RANDOM_BASES[base]
    recipe, _ = settings_of(base)
    plans = plans_for(preset, recipe, bits)
    bench = Bench(base, context.folder, recipe, plans[0][1])
    yield {"part": "load", "seconds": bench.seconds, "peak_gb": peak_memory(bench.device) / 1e9, "bits": bits}
    found: Part = {"load_s": bench.seconds["load"]}
    for gigabytes, plan in plans:
        bench.plan = plan
        with allocator_held_to(gigabytes, bench.device):
            for part in _stages(bench, gigabytes, context):
                found = {**part, **found}  # the projection is for the smallest card
                yield part
    if not bench.model.spec.latent_width:  # codes are drawn one by one, latents all at once
        prompt = [*bench.sample(0, 1, False, 1, 2).prompt_ids[0], bench.model.spec.boi_id]
        yield {"part": "recorded", **recorded_against_plain(bench.model, prompt, 2 if context.toy else 8)}
    if "sft_step_s" in found and "grpo_step_s" in found:
        found["scorecard_s"] = measure_scorecard(bench)
        yield {"part": "projection", **_projection(preset, recipe, found, context.dollars)}
        yield {"part": "shares", **device_shares(bench, found)}


def _stages(bench: Bench, gigabytes: int, context: StepContext) -> Iterator[Part]:
    ways: dict[str, Callable[[], dict[str, float]]] = {
        "sft": lambda: measure_sft(bench, 1),
        "practice": lambda: measure_grpo(bench, 1, _words(bench, context)),
    }
    for stage, measure in ways.items():
        free_gpu_memory()
        forget_peak(bench.device)
        part: Part = {"part": f"{stage} {gigabytes} GB".removesuffix(" 0 GB"), "plan": bench.plan.words}
        try:
            part |= measure()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            part["out_of_memory"] = str(error)[:200]
        if "pictures_per_s" in part:
            part["gpu_s_per_picture"] = 1 / part["pictures_per_s"]
        part["peak_gb"] = peak_memory(bench.device) / 1e9
        yield part | _planned(bench, "sft" if stage == "sft" else "grpo", part["peak_gb"])
        bench.optimizer.zero_grad(set_to_none=True)


def _planned(bench: Bench, stage: str, peak_gb: float) -> Part:
    # What the plan expects of the allocator: the device's own share is outside of it.
    preset = bench.recipe.base
    if preset not in LARGE:
        return {}
    plan, on_gpu = bench.plan, bench.device.type == "cuda"
    way = plan.sft if stage == "sft" else plan.grpo
    need = need_of(LARGE[preset], bench.recipe, stage, plan.bits, way, on_gpu)
    planned = (need.total - CONTEXT - _judges(bench.recipe, stage)) / 1e9
    return {"planned_gb": planned, "share_of_planned": peak_gb / planned}


def _judges(recipe: Recipe, stage: str) -> float:
    # Bytes of the pretrained judges, in the plan of a practice step and not loaded here.
    return REWARD_MODEL_BYTES if stage == "grpo" and recipe.effort != "quick" else 0.0


@contextmanager
def allocator_held_to(gigabytes: int, device: torch.device) -> Iterator[None]:
    """Inside, the device's allocator gives no more than a card of that size has beside its judges (0: all)."""
    if device.type != "cuda" or not gigabytes:
        yield
        return
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(
        min(1.0, (gigabytes * GIB - CONTEXT - REWARD_MODEL_BYTES) / total), device
    )
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def _projection(preset: str, measured: Recipe, found: Part, dollars: float) -> Part:
    projected: Part = {"dollars_an_hour": dollars}
    for effort in ("quick", "standard"):
        recipe = Recipe.for_effort(preset, effort) if preset in LARGE else measured
        minutes = projected_minutes(recipe, measured, found)
        projected |= {f"{effort}_minutes": minutes, f"{effort}_dollars": minutes / 60 * dollars}
    return projected


def collective(context: StepContext) -> Iterator[Part]:
    """A sum over all cards by NCCL; gloo and one process where there is none."""
    from torch import distributed

    cards = torch.cuda.device_count()
    backend = "nccl" if cards and distributed.is_nccl_available() else "gloo"
    processes = max(1, cards if backend == "nccl" else 1)
    rendezvous = f"file://{context.folder / 'rendezvous'}"
    torch.multiprocessing.start_processes(  # type: ignore[no-untyped-call]
        sum_over_processes,
        (backend, rendezvous, processes),
        nprocs=processes,
        start_method="spawn" if backend == "nccl" else "fork",
    )
    yield {"part": "collective", "backend": backend, "processes": processes}


def sum_over_processes(rank: int, backend: str, rendezvous: str, processes: int) -> None:
    """One process of `collective`; ValueError when the sum is wrong."""
    from torch import distributed

    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    distributed.init_process_group(backend, init_method=rendezvous, rank=rank, world_size=processes)
    given = torch.full((2**20,), float(rank + 1), device=device)
    distributed.all_reduce(given)
    wanted = processes * (processes + 1) / 2
    distributed.destroy_process_group()
    if not bool((given == wanted).all()):
        raise ValueError(f"the sum over {processes} processes by {backend} is {float(given[0])}, not {wanted}")


def run_worker(base: str, context: StepContext) -> Iterator[Part]:
    """A whole `quick` training through the queue by the real worker, of the starter or of random weights."""
    preset = RANDOM_BASES.get(base, base)
    environment = {**os.environ, "UNDERSTUDY_HOME": str(context.folder / "home"), "PYTHONPATH": str(ROOT)}
    environment["UNDERSTUDY_MODELS"] = str(context.folder / "models")
    if base in RANDOM_BASES and not context.toy:  # found where a published checkpoint of one's own would lie
        folder = context.folder / "models" / MODELS[preset].repository.split("/")[1]
        write_layout(folder, SIZES[base.removeprefix("random-")])
        free_gpu_memory()
    if context.toy and base == "starter":
        preset = "starter-toy"
    understudy = [sys.executable, "-m", "pipelines.cli"]
    overrides = [word for name, value in TOY_STEPS.items() for word in ("--set", f"{name}={value}")]
    character = sorted(BUNDLED.glob("*/character.yaml"))[0].parent
    train = [*understudy, "train", str(character), "--queue", "--base", preset, "--json"]
    train = tied_to_parent([*train, *(overrides if context.toy else [])])
    began = time.perf_counter()
    up = subprocess.Popen(tied_to_parent([*understudy, "up", "--only", "train-worker"]), env=environment, cwd=ROOT)
    try:
        done = subprocess.run(train, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    finally:
        up.terminate()
        try:
            up.wait(20)
        except subprocess.TimeoutExpired:
            up.kill()
    if done.returncode:
        raise RuntimeError(f"the training ended with status {done.returncode}: {done.stdout[-300:]}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    yield {
        "part": "run",
        "base": preset,
        "minutes": (time.perf_counter() - began) / 60,
        "training_s": result["seconds"],
        "stages": result["stages"],
        "checkpoints": len(result["checkpoints"]),
    }
