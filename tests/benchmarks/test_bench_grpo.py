"""The benchmarks of practice and sampling run on toys and keep their shape; ratios of toys mean nothing."""

from __future__ import annotations

import pytest

from pipelines.benchmarks.grpo import bench_grpo
from pipelines.benchmarks.paired_timing import compare
from pipelines.benchmarks.sample import bench_sample

KEYS = {"name", "ours", "plain", "unit", "ratio_median", "ratios"}


def test_compare_by_hand() -> None:
    ours, plain = iter([9.0, 2.0, 4.0, 3.0]), iter([9.0, 4.0, 4.0, 9.0])
    answer = compare("x", "s", lambda: next(ours), lambda: next(plain), 3, more_is_faster=False)
    assert (answer["ours"], answer["plain"], answer["unit"]) == (3.0, 4.0, "s")
    assert (answer["ratio_median"], answer["ratios"]) == (2.0, [2.0, 1.0, 3.0])
    rates = compare("y", "1/s", lambda: 6.0, lambda: 2.0, 1)
    assert rates["ratio_median"] == 3.0


WORDS = 24
"""Ids of a reply: the mark takes nine letters, and the look twelve."""


@pytest.mark.slow
def test_grpo_benchmark() -> None:
    answer = bench_grpo("starter-toy", repeats=1, words=WORDS)
    assert answer.keys() == KEYS and answer["unit"] == "s/step" and answer["ratio_median"] > 1


@pytest.mark.slow
@pytest.mark.parametrize("base", ["starter-toy", "janus-toy"])
def test_sample_benchmark(base: str) -> None:
    answer = bench_sample(base, repeats=1, words=WORDS)
    assert answer.keys() == {*KEYS, "pictures"} and answer["pictures"].keys() == KEYS
    assert answer["ours"] > 0 and answer["pictures"]["plain"] > 0
