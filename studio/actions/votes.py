"""Counting votes: which checkpoint is preferred, and how sure that is.

Ties and "both bad" are shown but decide nothing. The interval is Wilson's for a share, which stays honest for few votes
and for shares of 0 and 1: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.core.jobs.job import Vote
from studio.context import AppContext

Z_95 = 1.959964
"""Standard deviations that hold 95 % of a normal distribution."""


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
    """95 % interval of the first one's share of the decided votes."""
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


def wilson(wins: int, votes: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's interval of a share; (0, 1) without votes."""
    if not votes:
        return 0.0, 1.0
    share, zz = wins / votes, z * z
    middle = (share + zz / (2 * votes)) / (1 + zz / votes)
    reach = z * math.sqrt(share * (1 - share) / votes + zz / (4 * votes * votes)) / (1 + zz / votes)
    # At the ends rounding errors would miss 0 and 1.
    return max(0.0, middle - reach) if wins else 0.0, min(1.0, middle + reach) if wins < votes else 1.0


def tallies(votes: Iterable[Vote], blind_only: bool = False) -> list[Tally]:
    """One tally for each pair of checkpoints, the one with the most votes first."""
    pairs: dict[tuple[str, str], list[Vote]] = {}
    for vote in votes:
        if vote.blind or not blind_only:
            pairs.setdefault((min(vote.left, vote.right), max(vote.left, vote.right)), []).append(vote)
    found = [_tally(*pair, own) for pair, own in pairs.items()]
    return sorted(found, key=lambda one: -(one.decided + one.ties + one.both_bad))


def _tally(one: str, other: str, votes: list[Vote]) -> Tally:
    winners = [vote.left if vote.choice == "left" else vote.right for vote in votes if vote.choice in ("left", "right")]
    if winners.count(other) > winners.count(one):
        one, other = other, one
    wins, decided = winners.count(one), len(winners)
    choices = [vote.choice for vote in votes]
    return Tally(
        one,
        other,
        wins,
        decided - wins,
        choices.count("tie"),
        choices.count("both_bad"),
        sum(vote.blind for vote in votes),
        *wilson(wins, decided),
    )


def votes_of(context: AppContext, character: str) -> list[Vote]:
    """All votes that were given on a character."""
    return context.records.chats.votes(owner=context.owner, character=character)


def pairs_as_lines(context: AppContext, character: str) -> str:
    """Votes with a winner as JSON lines: prompt, chosen and rejected reply, as preference training takes them."""
    pairs = context.records.chats.pairs(owner=context.owner, character=character)
    return "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs)
