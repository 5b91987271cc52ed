"""95 % intervals: Wilson's for shares of single readings, a bootstrap where several readings belong to one case.

Votes, scorecards and the bench of the starter take theirs here.
Five drawings of one person are not five independent readings, so cases are drawn with replacement and not drawings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Z = 1.959964
"""Standard normal quantile of 97.5 %."""
RESAMPLES = 2000
Interval = tuple[float, float]
Readings = npt.NDArray[np.float64]


def wilson(hits: float, count: int) -> Interval:
    """Wilson's score interval of a share of `hits` among `count` independent readings (Wilson 1927)."""
    if count < 1:
        raise ValueError("a share of no readings has no interval")
    share, z2 = hits / count, Z * Z
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap(
    cases: Sequence[Sequence[float]], statistic: Callable[[Readings], float] = lambda values: float(values.mean())
) -> Interval:
    """Percentiles 2.5 and 97.5 of a statistic of all readings, the cases drawn anew with replacement; seeded.

    cases: the readings of each case. Where all are equal, a bootstrap knows no spread: the interval is that one point.
    """
    rows = _rows(cases)
    if not rows:
        raise ValueError("no readings have no interval")
    return _percentiles(lambda rng: statistic(_drawn_anew(rows, rng)))


def mean_of_means_interval(groups: Sequence[Sequence[Sequence[float]]]) -> Interval:
    """Percentiles 2.5 and 97.5 of the mean of the groups' means, the cases of each group drawn anew; seeded.

    groups: cases with their readings; groups without readings are left out.
    """
    kept = [rows for rows in map(_rows, groups) if rows]
    if not kept:
        raise ValueError("no readings have no interval")
    return _percentiles(lambda rng: float(np.mean([_drawn_anew(rows, rng).mean() for rows in kept])))


def _rows(cases: Sequence[Sequence[float]]) -> list[Readings]:
    return [np.asarray(case, dtype=float) for case in cases if len(case)]


def _drawn_anew(rows: list[Readings], rng: np.random.Generator) -> Readings:
    return np.concatenate([rows[n] for n in rng.integers(0, len(rows), len(rows))])


def _percentiles(resampled: Callable[[np.random.Generator], float]) -> Interval:
    rng = np.random.default_rng(0)
    low, high = np.percentile([resampled(rng) for _ in range(RESAMPLES)], (2.5, 97.5))
    return float(low), float(high)


def share_interval(cases: Sequence[Sequence[bool]]) -> Interval:
    """Of the share of all readings that are true: Wilson's for one reading a case, else a bootstrap over cases.

    Where all readings agree the bootstrap would be a point, so Wilson's over the cases is taken.
    """
    kept = [case for case in cases if len(case)]
    readings = [reading for case in kept for reading in case]
    if len(kept) == len(readings) or len(set(readings)) == 1:
        return wilson(sum(readings) / len(readings) * len(kept), len(kept))
    return bootstrap([[float(reading) for reading in case] for case in kept])
