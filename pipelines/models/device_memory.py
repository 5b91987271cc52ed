"""The memory plan for the device of this process, and what a run records about the weights it found.

`pipelines.core.jobs.memory_plan` decides; asking the device takes torch, so that is here.
"""

from __future__ import annotations

import gc
import os
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import psutil
import torch

from pipelines.core.command_line import install_as_typed
from pipelines.core.jobs.memory_plan import MemoryPlan, plan_for, smaller_plan
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import RunError, read_json, write_json


def device_memory() -> tuple[str, float]:
    """(name, bytes of memory) of the GPU; ("", bytes of the machine) without one."""
    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(torch.cuda.current_device())
        return found.name, float(found.total_memory)
    return "", float(psutil.virtual_memory().total)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device or the machine had no memory left; torch has no type of its own for the machine's."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def plan_for_this_device(recipe: Recipe, savings: int = 0) -> MemoryPlan:
    """How this run is made to fit the device of this process, `savings` steps smaller. RunError when it cannot be."""
    name, memory = device_memory()
    plan = plan_for(recipe.base, recipe, memory, on_gpu=bool(name), gpus=int(os.environ.get("WORLD_SIZE", "1")))
    if not plan.fits:
        raise RunError(
            f"{recipe.base} {plan.words}, and {name or 'this machine'} has {memory / 1e9:.1f} GB. Choose a smaller "
            "base model, lower grpo_group_size, grpo_prompts_per_step or sft_row_max_tokens, or use a larger machine."
        )
    return smaller_plan(plan, savings)


def check_bits(name: str, bits: int) -> None:
    """ValueError where a base model of that name cannot be kept in so many bits here."""
    if bits not in (4, 16):
        raise ValueError(f"bits is {bits}: a base model is kept in 16 or in 4 bits")
    if bits == 4 and not torch.cuda.is_available():
        raise ValueError(f"{name} in 4 bits needs a GPU; without one use bits=16, or the base model 'starter'")
    if bits == 4 and find_spec("bitsandbytes") is None:
        raise ValueError(f"{name} in 4 bits needs bitsandbytes: {install_as_typed('four-bit')}")


def reply_bits(base: str) -> int:
    """Bits of a base model that only generates or is evaluated on this device."""
    name, memory = device_memory()
    return plan_for(base, Recipe.for_effort(base, "quick"), memory, on_gpu=bool(name), replying=True).bits


def free_gpu_memory() -> None:
    """After a stage: trainer and model are a reference cycle, and torch keeps freed GPU memory for the process."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def record_weights(run_dir: Path, base: str, plan: MemoryPlan) -> None:
    """Write into `run.json` which published weights were found and how they fit the device; nothing for other bases."""
    # Imported here: the small base models need nothing of the hub.
    from pipelines.models.hub_weights import MODELS, fetch

    if base not in MODELS or os.environ.get("RANK", "0") != "0":
        return
    run = read_json(run_dir / "run.json")
    found = fetch(base)
    weights = {"repository": MODELS[base].repository, "revision": found.revision, "bits": plan.bits}
    ways = {"sft": asdict(plan.sft), "grpo": asdict(plan.grpo)}
    if run.get("weights") != weights or run.get("ways") != ways:
        write_json(run_dir / "run.json", run | {"weights": weights, "ways": ways})
