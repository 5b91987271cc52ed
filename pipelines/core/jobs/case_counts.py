"""How many cases the scorecard measures a model on, by effort: the scorecard counts by it, and so does who says how
long measuring takes."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.core.jobs.recipe import Effort


@dataclass(frozen=True)
class CaseCounts:
    """How many cases a model is measured on, where the held-out split has as many."""

    drawings: int
    """Images drawn of held-out captions, at least; each caption is drawn equally often."""
    questions: int
    """Multiple-choice questions, at most; those of a longer split are taken evenly from all of it."""


CASES: dict[Effort, CaseCounts] = {
    "quick": CaseCounts(8, 20),
    "standard": CaseCounts(60, 40),
    "thorough": CaseCounts(60, 40),
}
"""Ten drawings put a tenth of likeness inside the noise; `quick` has minutes for everything and says its intervals."""
