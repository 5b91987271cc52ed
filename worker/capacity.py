"""Whether a job fits this machine, checked before it starts: memory of the GPU or the machine, and disk space.

A job that cannot fit fails at once with the reason instead of after minutes. What it needs is estimated by
`pipelines.core.jobs.memory_plan`, as in training itself.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

from pipelines.core.command_line import install_as_typed
from pipelines.core.full_disk import lacking_space
from pipelines.core.jobs.memory_plan import plan_for
from pipelines.core.jobs.model_specs import NEEDED_PACKAGES
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.settings import Settings

GB = 1e9
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=uuid,name,memory.total,memory.free", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Device:
    """What this process computes on."""

    gpu: str
    """Names of the visible GPUs, "" without one."""
    gpus: int
    total_gb: float
    """Memory of the largest GPU, or of the machine (or of its container) without one."""
    free_gb: float


def find_device() -> Device:
    """The GPUs that this process may use, else the machine's memory."""
    found = _visible(_gpus())
    if found:
        names = ", ".join(name for _, name, _, _ in found)
        _, _, total_gb, free_gb = max(found, key=lambda gpu: gpu[3])
        return Device(names, len(found), total_gb, free_gb)
    memory = psutil.virtual_memory()
    total, free = float(memory.total), float(memory.available)
    limit, used = _container_limit()
    if limit < total:
        total, free = limit, min(free, limit - used)
    return Device("", 0, total / GB, free / GB)


def _gpus() -> list[tuple[str, str, float, float]]:
    """(uuid, name, total, free) of every NVIDIA GPU in units of 10^9 bytes; empty without the driver's program."""
    try:
        done = subprocess.run(NVIDIA_SMI, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    rows = [line.split(", ") for line in done.stdout.splitlines()] if done.returncode == 0 else []
    mib = 2**20 / GB
    return [(row[0], row[1], float(row[2]) * mib, float(row[3]) * mib) for row in rows if _are_numbers(row)]


def _are_numbers(row: list[str]) -> bool:
    return len(row) == 4 and all(cell.strip().replace(".", "", 1).isdigit() for cell in row[2:])


def _visible(found: list[tuple[str, str, float, float]]) -> list[tuple[str, str, float, float]]:
    """Those that CUDA_VISIBLE_DEVICES leaves, by number or by the start of their uuid."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return found
    kept = []
    for word in (part.strip() for part in named.split(",")):
        if word.isdigit() and int(word) < len(found):
            kept.append(found[int(word)])
        else:
            kept += [gpu for gpu in found if word and gpu[0].startswith(word)]
    return kept


def _container_limit() -> tuple[float, float]:
    """Bytes that a container of Linux may use and uses; no limit elsewhere."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = (folder / "memory.current").read_text(encoding="ascii").strip()
    except OSError:
        return float("inf"), 0.0
    return (float(limit), float(used)) if limit.isdigit() and used.isdigit() else (float("inf"), 0.0)


def refusal_reason(base: str, replying: bool, settings: Settings, here: Device | None = None) -> str:
    """Why a job on this base model cannot start here, with the mend; "" when it can."""
    here = here or find_device()
    recipe = Recipe.for_effort(base, "standard")
    whole, rest = (
        plan_for(base, recipe, gigabytes * GB, bool(here.gpu), replying, here.gpus)
        for gigabytes in (here.total_gb, here.free_gb)
    )
    what = "Answering with" if replying else "Training"
    where = f"the GPU ({here.gpu})" if here.gpu else "this machine"
    if not whole.fits:
        return (
            f"{what} {base} needs about {whole.need.total / GB:.0f} GB of memory and {where} has {here.total_gb:.1f} "
            "GB in all. Choose a smaller base model, or add a worker on a larger machine."
        )
    if not rest.fits:
        free = f"only {here.free_gb:.1f} of {here.total_gb:.1f} GB are free"
        return (
            f"{what} {base} needs about {rest.need.total / GB:.1f} GB of memory and {free} on {where}. Close other "
            "programs there, or wait until they are done, and resume the job."
        )
    if whole.bits == 4 and find_spec("bitsandbytes") is None:
        return (
            f"{what} {base} on {where} takes its base in 4 bits, and bitsandbytes is not installed there: "
            f"{install_as_typed('four-bit')} (the worker's image has it), or choose a smaller base model."
        )
    package, extra = NEEDED_PACKAGES.get(base, ("", ""))
    if package and find_spec(package) is None:
        return (
            f"{what} {base} needs {package}, which is not installed on {where}: {install_as_typed(extra)} (the "
            "worker's image has it), or choose another base model."
        )
    lacking = [] if replying else lacking_space(settings)
    return f"{lacking[0]} Then resume the job." if lacking else ""
