"""What a part of the benchmark answers: each score with its interval, its cases, the same of real drawings, its goal.

A `Score` is one figure, a `PartResult` all of a part; `score_table` shows them to people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.core.intervals import Interval, bootstrap, share_interval


@dataclass(frozen=True)
class Score:
    """One figure of a part."""

    value: float
    interval: Interval
    """95 %."""
    cases: int
    """Independent cases: people, prompts or replies, not drawings of one of them."""
    real: float | None = None
    """The same reading of real drawings, or of replies by the author; None where there is no such thing."""
    goal: float | None = None
    at_most: bool = False
    """Whether the goal is met from below."""

    @property
    def met(self) -> bool | None:
        """Whether the value reaches the goal; None without one."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return {
            "score": round(self.value, 4),
            "interval": [round(end, 4) for end in self.interval],
            "cases": self.cases,
            "real": None if self.real is None else round(self.real, 4),
            "goal": self.goal,
            "goal_is": "at most" if self.at_most else "at least",
            "met": self.met,
        }


@dataclass(frozen=True)
class PartResult:
    """What a part found."""

    part: str
    cases: int
    scores: dict[str, Score]
    sheets: tuple[str, ...] = ()
    """Files to look at, relative to the output folder."""
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return {
            "part": self.part,
            "cases": self.cases,
            "scores": {name: score.to_json() for name, score in self.scores.items()},
            "sheets": list(self.sheets),
            "notes": list(self.notes),
            "settings": self.settings,
        }


def share(
    drawn: Sequence[Sequence[bool]],
    real: Sequence[Sequence[bool]] | None = None,
    goal: float | None = None,
    at_most: bool = False,
) -> Score:
    """The share of readings that are true; the readings of one case stand together."""
    flat = [float(reading) for case in drawn for reading in case]
    same = [float(reading) for case in real or () for reading in case]
    return Score(
        float(np.mean(flat)),
        share_interval(drawn),
        sum(1 for case in drawn if len(case)),
        float(np.mean(same)) if same else None,
        goal,
        at_most,
    )


def mean(
    drawn: Sequence[Sequence[float]],
    real: Sequence[Sequence[float]] | None = None,
    goal: float | None = None,
    at_most: bool = False,
) -> Score:
    """The mean of all readings, with a bootstrap over cases."""
    same = [reading for case in real or () for reading in case]
    return Score(
        float(np.mean([reading for case in drawn for reading in case])),
        bootstrap(drawn),
        sum(1 for case in drawn if len(case)),
        float(np.mean(same)) if same else None,
        goal,
        at_most,
    )


def score_table(results: Sequence[PartResult]) -> list[list[str]]:
    """Rows for people, the heading first."""
    rows = [["part", "score", "measured", "95 %", "cases", "real", "goal", ""]]
    for result in results:
        for name, score in result.scores.items():
            low, high = score.interval
            sign = "<=" if score.at_most else ">="
            rows.append(
                [
                    result.part,
                    name,
                    f"{score.value:.3g}",
                    f"{low:.3g} to {high:.3g}",
                    str(score.cases),
                    "" if score.real is None else f"{score.real:.3g}",
                    "" if score.goal is None else f"{sign} {score.goal:g}",
                    {None: "", True: "met", False: "missed"}[score.met],
                ]
            )
    return rows
