"""Counting votes: which checkpoint is preferred, and how sure that is.

Ties and "both bad" are shown but decide nothing. The interval is Wilson's for a share (`intervals.py`), which stays
honest for few votes and for shares of 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipelines.core.intervals import wilson
from pipelines.core.jobs.job import Vote


@dataclass(frozen=True)
class Tally:
    """All votes between two checkpoints."""

    first: str
    """`JOB:NAME`; the preferred one of the two."""
    second: str
    wins: int
    """Of the first."""
    losses: int
    ties: int
    both_bad: int
    blind: int
    """How many of all these votes were given without knowing the names."""
    low: float
    """95 % interval of the first one's share of the decided votes; 0 to 1 without any."""
    high: float

    @property
    def decided(self) -> int:
        """Votes for one of the two."""
        return self.wins + self.losses

    @property
    def share(self) -> float | None:
        """The first one's share of the decided votes; None when there are none."""
        return self.wins / self.decided if self.decided else None

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves no doubt that the first one is preferred."""
        return self.low > 0.5


def tallies(votes: Iterable[Vote], blind_only: bool = False) -> list[Tally]:
    """One tally for each pair of checkpoints, the one with the most votes first."""
    pairs: dict[tuple[str, str], list[Vote]] = {}
    for vote in votes:
        if vote.blind or not blind_only:
            pairs.setdefault((min(vote.left, vote.right), max(vote.left, vote.right)), []).append(vote)
    found = [_tally(*pair, own) for pair, own in pairs.items()]
    return sorted(found, key=lambda one: -(one.decided + one.ties + one.both_bad))


def duels(votes: Iterable[Vote]) -> list[tuple[str, str]]:
    """(winner, loser) of each vote that chose one of two."""
    return [
        (vote.left, vote.right) if vote.choice == "left" else (vote.right, vote.left)
        for vote in votes
        if vote.choice in ("left", "right")
    ]


def tally_pair(first: str, second: str, decided: Sequence[tuple[str, str]]) -> Tally:
    """The tally of two checkpoints from (winner, loser) pairs; `first` stays first, whoever is preferred."""
    wins, losses = decided.count((first, second)), decided.count((second, first))
    low, high = wilson(wins, wins + losses) if wins + losses else (0.0, 1.0)
    return Tally(first, second, wins, losses, 0, 0, 0, low, high)


def _tally(one: str, other: str, votes: list[Vote]) -> Tally:
    decided = duels(votes)
    if decided.count((other, one)) > decided.count((one, other)):
        one, other = other, one
    found = tally_pair(one, other, decided)
    choices = [vote.choice for vote in votes]
    return Tally(
        one,
        other,
        found.wins,
        found.losses,
        choices.count("tie"),
        choices.count("both_bad"),
        sum(vote.blind for vote in votes),
        found.low,
        found.high,
    )
