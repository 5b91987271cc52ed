"""The five scores: what they are made of, what they rest on, and when one is withheld."""

from __future__ import annotations

import pytest

from pipelines.core.score_axes import LEAST, WANTED, overall, scorecard, trusted
from pipelines.core.score_names import AXIS_NAMES

SCORES = {
    "likeness": 0.6,
    "reply_perplexity": 30.0,
    "facts_accuracy": 0.5,
    "caption_match": 0.4,
    "reply_image_match": 0.6,
    "variety": 0.2,
    "training_image_similarity": 0.1,
}
BASE = {"reply_perplexity": 100.0}
ENOUGH = {what: least for axis in LEAST.values() for what, least in axis.items()}


def test_values_and_intervals() -> None:
    measurement = {"counts": ENOUGH, "intervals": {"likeness": [0.55, 0.66]}}
    card = {axis.key: axis for axis in scorecard(SCORES, BASE, measurement)}
    assert list(card) == list(AXIS_NAMES)
    assert card["voice"].value == pytest.approx(0.7) and card["image_text_match"].value == pytest.approx(0.5)
    assert card["likeness"].shown == "60 (55 to 66)" and card["voice"].shown == "70"
    assert overall(SCORES, BASE, measurement) == pytest.approx((0.6 + 0.7 + 0.5 + 0.5) / 4)
    assert scorecard({"likeness": 0.6})[1].shown == "-"


@pytest.mark.parametrize("axis", list(LEAST))
def test_one_less_than_the_least_withholds(axis: str) -> None:
    what = next(iter(LEAST[axis]))
    measurement = {"counts": {**ENOUGH, what: LEAST[axis][what] - 1}, "intervals": {axis: [0.1, 0.9]}}
    card = {one.key: one for one in scorecard(SCORES, BASE, measurement)}
    assert card[axis].value is None and card[axis].interval is None and card[axis].withheld == WANTED[axis]
    assert set(trusted(SCORES, measurement["counts"])) < set(SCORES)


def test_without_counts_nothing_is_withheld() -> None:
    assert all(axis.value is not None and not axis.withheld for axis in scorecard(SCORES, BASE))
    assert trusted(SCORES, {}) == SCORES
