"""Intervals with known values."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.core.intervals import bootstrap, share_interval, wilson


def test_wilson_of_known_shares() -> None:
    # The values that R's prop.test(correct = FALSE) gives.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    low, high = wilson(300, 300)
    assert high == 1 and low == pytest.approx(300 / (300 + 1.959964**2))
    assert wilson(0, 10)[0] == 0
    with pytest.raises(ValueError, match="no readings"):
        wilson(0, 0)


def test_bootstrap_has_the_width_that_theory_gives() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = bootstrap([[value] for value in values])
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    assert low < values.mean() < high and bootstrap([[value] for value in values]) == (low, high)
    assert bootstrap([[2.0, 2.0], []]) == (2, 2)
    assert bootstrap([[1.0], [4.0]], lambda readings: float(readings.max())) == (1, 4)


def test_readings_of_one_case_are_not_independent() -> None:
    single = [[True]] * 90 + [[False]] * 10
    assert share_interval(single) == wilson(90, 100)
    grouped = [[True] * 10] * 9 + [[False] * 10]  # ten people, one of whom is never recognised
    low, high = share_interval(grouped)
    assert low < wilson(90, 100)[0] - 0.05 and high == 1
    assert share_interval([[True] * 5] * 20) == wilson(20, 20)
    assert share_interval([[False, False], []]) == wilson(0, 1)
