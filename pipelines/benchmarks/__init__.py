"""`understudy bench`: ours against the plain library path, same model, data and machine, as ratios in one run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Each is imported when it is run: a benchmark loads the libraries that it measures.


def _sft(base: str, repeats: int) -> dict[str, Any]:
    from pipelines.benchmarks.sft import bench_sft

    return bench_sft(base, repeats)


def _sample(base: str, repeats: int) -> dict[str, Any]:
    from pipelines.benchmarks.sample import bench_sample

    return bench_sample(base, repeats)


def _grpo(base: str, repeats: int) -> dict[str, Any]:
    from pipelines.benchmarks.grpo import bench_grpo

    return bench_grpo(base, repeats)


def _reply(base: str, repeats: int) -> dict[str, Any]:
    from pipelines.benchmarks.reply import bench_reply

    return bench_reply(base, repeats)


def _gpu(base: str, repeats: int) -> dict[str, Any]:
    from pipelines.benchmarks.machine import bench_machine

    return bench_machine("random-1b" if base == "starter" else base, repeats)


def _janus(base: str, repeats: int) -> dict[str, Any]:
    from pipelines.benchmarks.janus import bench_janus

    return bench_janus("random-1b" if base == "starter" else base, repeats)


BENCHMARKS: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "sft": _sft,
    "sample": _sample,
    "grpo": _grpo,
    "reply": _reply,
    "gpu": _gpu,
    "janus": _janus,
}
"""By the name given to `understudy bench`; called as `BENCHMARKS[name](base, repeats)`."""
