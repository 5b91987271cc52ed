"""The steps of `gpu_check` in the order of what they are worth, with their limits; imports no torch.

Limits are for a rented H100: what is late in the list gets what the earlier ones leave of the minutes. Base models with
random weights come from `RANDOM_BASES`, so that a family that is added there is checked too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.benchmarks.random_bases import RANDOM_BASES

ROOT = Path(__file__).resolve().parents[2]
TOY_BASE = "random-toy"


@dataclass(frozen=True)
class Step:
    """One step as the runner sees it; `gpu_steps.work_of` has what it does."""

    name: str
    limit_s: float
    """It is ended when it takes longer, on a GPU."""
    needs_gpu: bool = False
    """Left out without one."""


def gpu_test_files() -> list[str]:
    """Files of tests with a part that needs a GPU, as paths from the root; [] where the tests are not installed."""
    found = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(path.relative_to(ROOT)) for path in found if "@pytest.mark.gpu" in path.read_text(encoding="utf-8")]


def steps(toy: bool) -> list[Step]:
    """All steps, the most valuable first."""
    large = [TOY_BASE] if toy else [base for base in RANDOM_BASES if base != TOY_BASE]
    first, *others = large
    return [
        Step("devices", 60),
        *(Step(f"pytest {file}", 60) for file in gpu_test_files()),
        Step("rewards", 60),
        Step("recorded", 60),
        Step("starter", 90),
        Step(f"{first} 16 bits", 150),
        Step("run starter", 180),
        Step(f"{first} 4 bits", 90, needs_gpu=True),
        *(Step(f"{base} {bits} bits", 180, needs_gpu=bits == 4) for base in others for bits in (16, 4)),
        Step("collective", 40),
        *([] if toy else [Step(f"run {first}", 300)]),
    ]
