"""The benchmark at toy size: real classes, random weights, pictures of 32 pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.starter_build.bench.bench_context import BenchContext
from pipelines.starter_build.bench.counts import Counts
from tests.toys import TOY_BASE

TOY_COUNTS = Counts(
    drawings=10,
    people=4,
    people_drawings=2,
    galleries=4,
    fewshot_people=2,
    fewshot_steps=2,
    fewshot_prompts=2,
    own_art=("rusk-halloway",),
    own_art_drawings=4,
    figures=4,
    characters=("quibb",),
    character_drawings=4,
    replies=6,
    recipe={"sft_steps": 2, "sft_save_every": 2, "grpo_steps": 0, "max_new_tokens": 24},
)


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., tuple[BenchContext, list[str]]]:
    """Makes a context that writes into the test's folder, with changed counts, and the list that gets what it says."""

    def make(**changes: Any) -> tuple[BenchContext, list[str]]:
        said: list[str] = []
        return BenchContext(tmp_path / "out", replace(TOY_COUNTS, **changes), TOY_BASE, say=said.append), said

    return make
