"""Which conversations are held out by themselves: few, evenly spread, with enough answers for a score to rest on.

Counted in answers, since one conversation may have one or twenty: `answers` says how many each of them has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

from pipelines.core.character.amounts import HELD_OUT_AT_MOST, TESTED_INTERACTIONS, TESTED_REPLIES
from pipelines.core.character.character import Character

HOLD_OUT_EVERY = TESTED_INTERACTIONS
"""One conversation and one picture in this many is held out."""
HOLD_OUT_MIN_DIALOGUES = 2
"""Of conversations that are held out."""

Item = TypeVar("Item")


def answers_of(character: Character) -> tuple[int, ...]:
    """How many answers each conversation has."""
    return tuple(sum(turn.role == "character" for turn in talk) for talk in character.interactions)


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """`count` of the items at even distances, none at the very edge; all where there are no more."""
    if count >= len(items):
        return list(items)
    return [items[int((number + 0.5) * len(items) / count)] for number in range(count)]


def kept_conversations(
    answers: Sequence[int], stay: Sequence[int] = (), learned: Collection[int] = ()
) -> tuple[int, ...]:
    """Places of the conversations that are held out; () below 8.

    One in 8 and at least two, since one would decide by chance; where these have too few answers, those with more, or
    up to one in 4. Those that `stay` are among them, unless only others have enough answers; where they are enough, one
    in 8 of what is new at most comes to them. The rest are none of `learned`, where there is another choice.
    """
    count = len(answers)
    if count < TESTED_INTERACTIONS:
        return ()
    stay = spread(stay, count // HELD_OUT_AT_MOST)
    found = [_first_tested(answers, kept, learned) for kept in ([stay, []] if stay else [[]])]
    least = next(_choices(answers, stay, learned))
    return tuple(sorted(next((places for places in found if places), least)))


def is_tested(answers: Sequence[int], kept: Collection[int]) -> bool:
    """Whether the score of how they sound can rest on these conversations."""
    return len(kept) >= HOLD_OUT_MIN_DIALOGUES and sum(answers[place] for place in kept) >= TESTED_REPLIES


def what_is_wanted(answers: Sequence[int], kept: Collection[int]) -> str:
    """What would let it be tested how they sound, for a creator; "" where what is kept is enough."""
    if is_tested(answers, kept):
        return ""
    if is_tested(answers, kept_conversations(answers)):
        wanted = f"{HOLD_OUT_MIN_DIALOGUES} conversations with {TESTED_REPLIES} answers in all are needed"
        return f"{wanted}; those kept for the test: {len(kept)} with {sum(answers[place] for place in kept)}."
    least = max(0, TESTED_INTERACTIONS - len(answers))
    more = max(1, least)
    while not is_tested([*answers, *[1] * more], kept_conversations([*answers, *[1] * more])):
        more += 1
    if more == least:
        return f"{more} more {'conversation makes' if more == 1 else 'conversations make'} it possible."
    if least:
        return f"{more} more conversations, or {least} more and longer ones, make it possible."
    return f"Longer conversations or {more} more make it possible."


def _first_tested(answers: Sequence[int], stay: Sequence[int], learned: Collection[int]) -> list[int]:
    """The first choice that has enough answers; [] where none has."""
    return next((places for places in _choices(answers, stay, learned) if is_tested(answers, places)), [])


def _choices(answers: Sequence[int], stay: Sequence[int], learned: Collection[int]) -> Iterator[list[int]]:
    """What may be kept beside those that stay, the best choice first: nothing learned, then few, then evenly spread."""
    count = len(answers)
    others = [place for place in range(count) if place not in stay]
    fresh = [place for place in others if place not in learned]
    least = max(HOLD_OUT_MIN_DIALOGUES, count // HOLD_OUT_EVERY, len(stay))
    if is_tested(answers, stay):  # a test that is large enough grows by what is new, not by the first new one
        least = min(least, len(stay) + len(fresh) // HOLD_OUT_EVERY)
    numbers = [number - len(stay) for number in range(least, count // HELD_OUT_AT_MOST + 1)]
    for number in numbers:
        if number <= len(fresh):
            for picked in _picks(fresh, number, answers):
                yield [*stay, *picked]
    if len(fresh) == len(others):
        return
    old = [place for place in others if place in learned]
    for number in numbers:
        first, pool = (fresh, old) if number > len(fresh) else ([], others)
        for picked in _picks(pool, number - len(first), answers):
            yield [*stay, *first, *picked]


def _picks(pool: Sequence[int], number: int, answers: Sequence[int]) -> Iterator[list[int]]:
    """So many of the pool: evenly spread, the longest of each stretch, the longest of all."""
    yield spread(pool, number)
    if number:
        edges = [round(part * len(pool) / number) for part in range(number + 1)]
        stretches = [pool[start:end] for start, end in pairwise(edges)]
        yield [_longest(stretch, answers) for stretch in stretches]
        yield sorted(pool, key=lambda place: -answers[place])[:number]


def _longest(stretch: Sequence[int], answers: Sequence[int]) -> int:
    """The one with the most answers, of equals the one nearest the middle."""
    middle = stretch[len(stretch) // 2]
    return max(stretch, key=lambda place: (answers[place], -abs(place - middle)))
