"""Conversations that are held out by themselves: enough answers, and three quarters left to learn from."""

from __future__ import annotations

import pytest

from pipelines.core.character.amounts import MORE_INTERACTIONS
from pipelines.core.character.held_out_conversations import is_tested, kept_conversations, what_is_wanted


@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        ([2] * 7, ()),
        ([2] * 8, (2, 6)),
        ([1] * 16, (2, 6, 10, 14)),
        ([1] * 20, (2, 7, 12, 17)),
        ([1] * 40, (4, 12, 20, 28, 36)),
        ([2, 2, 2, 2, 2, 2, 1, 1], (2, 5)),
        ([3, 2, 1, 1, 1, 1, 1, 1], (0, 6)),
    ],
)
def test_enough_answers_are_kept(answers: list[int], kept: tuple[int, ...]) -> None:
    assert kept_conversations(answers) == kept


@pytest.mark.parametrize("each", [1, 2, 3])
@pytest.mark.parametrize("count", range(8, 60))
def test_three_quarters_stay(count: int, each: int) -> None:
    kept = kept_conversations([each] * count)
    assert 2 <= len(kept) <= count / 4 and is_tested([each] * count, kept) == (each > 1 or count >= 16)


def test_what_is_said_is_the_rule() -> None:
    assert "8 of two answers each, or 16 of one, let the result be tested" in MORE_INTERACTIONS
    assert what_is_wanted([1] * 15, kept_conversations([1] * 15)) == "Longer conversations or 1 more make it possible."
    assert what_is_wanted([3] * 5, ()) == "3 more conversations make it possible."
    assert what_is_wanted([3] * 7, ()) == "1 more conversation makes it possible."
    assert what_is_wanted([1] * 5, ()) == "11 more conversations, or 3 more and longer ones, make it possible."
    chosen = what_is_wanted([1] * 16, [3])
    assert chosen == "2 conversations with 4 answers in all are needed; those kept for the test: 1 with 1."


@pytest.mark.parametrize(
    "answers", [[1] * n for n in range(16)] + [[1, 1, 3, 1, 1], [1, 0, 0, 0, 0, 0, 0, 0, 0], [3, 1]]
)
def test_so_many_more_make_it_possible_and_fewer_do_not(answers: list[int]) -> None:
    said = what_is_wanted(answers, kept_conversations(answers))
    more = next(int(word) for word in said.split() if word.isdigit())
    for extra in range(1, more + 1):
        together = [*answers, *[1] * extra]
        assert is_tested(together, kept_conversations(together)) == (extra == more)


def test_what_was_kept_stays_and_nothing_learned_is_added() -> None:
    assert kept_conversations([2] * 9, stay=(3, 7), learned={0, 1, 2, 4, 5, 6}) == (3, 7)
    assert kept_conversations([2] * 24, stay=(3, 7), learned=set(range(16))) == (3, 7, 20)
    assert kept_conversations([2] * 24, stay=(3, 7), learned=set(range(23))) == (3, 7), "a single new one is learned"
    assert kept_conversations([1] * 17, stay=(3, 7), learned=set(range(16))) == (3, 7, 9, 16), "no other choice"
    assert kept_conversations([2] * 8, stay=(0, 1, 2, 3)) == (1, 3), "three quarters stay to learn from"
    assert kept_conversations([2] * 5, stay=(3,)) == ()
    assert kept_conversations([1, 1, *[3] * 6], stay=(0, 1)) == (2, 6), "two answers are no test to stay with"
