"""Votes between two checkpoints, counted."""

from __future__ import annotations

import pytest

from pipelines.core.jobs.job import Vote, new_id
from pipelines.core.vote_counts import duels, tallies, tally_pair


def test_tallies_turn_the_better_one_to_the_front() -> None:
    def given(left: str, right: str, choice: str, blind: bool = False) -> Vote:
        return Vote(new_id(), "c", 1, left, right, choice, blind)  # type: ignore[arg-type]

    three = [given("a", "b", "right"), given("b", "a", "left", True), given("a", "b", "left"), given("b", "a", "tie")]
    [tally] = tallies([*three, given("a", "b", "both_bad")])
    assert (tally.first, tally.second, tally.wins, tally.losses) == ("b", "a", 2, 1)
    assert (tally.ties, tally.both_bad, tally.blind, tally.share) == (1, 1, 1, pytest.approx(2 / 3))
    assert not tally.is_clear
    [blind] = tallies(three, blind_only=True)
    assert blind.decided == 1
    [only_ties] = tallies([given("a", "b", "tie")])
    assert only_ties.share is None
    assert (only_ties.low, only_ties.high) == (0.0, 1.0)


def test_a_pair_keeps_its_order() -> None:
    decided = duels([Vote(new_id(), "c", 1, "a", "b", "right")] * 6)
    assert decided == [("b", "a")] * 6
    assert tally_pair("b", "a", decided).is_clear and not tally_pair("a", "b", decided).is_clear
