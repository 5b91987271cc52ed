"""Scores of the bench with their intervals and goals."""

from __future__ import annotations

import pytest

from pipelines.starter_build.bench.readings import Score, mean, score_table, share


def test_a_score_says_whether_it_reaches_its_goal() -> None:
    right = share([[True], [True], [False], []], [[True]], goal=0.6)
    assert (right.value, right.cases, right.real, right.met) == (pytest.approx(2 / 3), 3, 1, True)
    assert share([[False]], goal=0.1, at_most=True).met is True and share([[True]], goal=0.1, at_most=True).met is False
    assert mean([[1.0, 2.0], [3.0]]).value == 2 and mean([[1.0]]).met is None
    assert Score(0.5, (0.25, 0.75), 4, 0.9, 0.6).to_json() == {
        "score": 0.5,
        "interval": [0.25, 0.75],
        "cases": 4,
        "real": 0.9,
        "goal": 0.6,
        "goal_is": "at least",
        "met": False,
    }
    assert score_table([])[0][0] == "part"
