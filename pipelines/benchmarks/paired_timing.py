"""Measuring ours against the plain way: in pairs, alternating, so that a busy machine slows both alike.

What is measured stands in the benchmark of each name; here is only how two measurements become a ratio.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any


def compare(
    name: str,
    unit: str,
    ours: Callable[[], float],
    plain: Callable[[], float],
    repeats: int,
    more_is_faster: bool = True,
) -> dict[str, Any]:
    """Measure both `repeats` times after one of each that is not counted.

    `ours` and `plain` run once and return a number in `unit`. Ratios are above 1 when ours is faster: ours / plain for
    rates (`more_is_faster`), plain / ours for durations. Which of the two goes first alternates.
    """
    ours(), plain()
    found: list[tuple[float, float]] = []
    for turn in range(repeats):
        if turn % 2:
            second = plain()
            found.append((ours(), second))
        else:
            found.append((ours(), plain()))
    ratios = [mine / other if more_is_faster else other / mine for mine, other in found]
    return {
        "name": name,
        "ours": median(mine for mine, _ in found),
        "plain": median(other for _, other in found),
        "unit": unit,
        "ratio_median": median(ratios),
        "ratios": ratios,
    }
