"""A held-out split for a character whose creator wrote none: a few conversations and pictures training will not see.

What is taken depends only on the character, so the same folder always gives the same split. Multiple-choice
questions are made from the facts (which training must see to be able to know them): the right answer among three
answers to other questions.
"""

from __future__ import annotations

import random
from dataclasses import replace

from pipelines.core.characters import Character, Choice, TestSplit

SHARE = 0.15
"""Part of conversations and pictures that is held out."""
MOST_DIALOGUES, MOST_CHOICES = 20, 10


def hold_out(character: Character) -> tuple[Character, TestSplit]:
    """The character that training sees, and the split.

    At least four conversations and four pictures are left for training; with fewer, nothing of that kind is held out.
    """
    chosen = random.Random(f"held out {character.name}")
    dialogues = _taken(chosen, len(character.interactions), MOST_DIALOGUES)
    pictures = _taken(chosen, len(character.images), MOST_DIALOGUES)
    gone = {character.images[i].file for i in pictures}
    left = tuple(
        interaction
        for i, interaction in enumerate(character.interactions)
        if i not in dialogues and not any(gone & set(turn.pictures) for turn in interaction)
    )
    split = TestSplit(
        dialogues=tuple(character.interactions[i] for i in sorted(dialogues)),
        choices=_choices(character, chosen),
        images=tuple(character.images[i] for i in sorted(pictures)),
    )
    seen = replace(
        character, interactions=left, images=tuple(image for image in character.images if image.file not in gone)
    )
    return seen, split


def _taken(chosen: random.Random, count: int, most: int) -> set[int]:
    wanted = min(max(1, round(count * SHARE)), most, count - 4)
    return set(chosen.sample(range(count), wanted)) if wanted > 0 else set()


def _choices(character: Character, chosen: random.Random) -> tuple[Choice, ...]:
    answers = sorted({fact.answer for fact in character.facts})
    choices = []
    for fact in chosen.sample(character.facts, min(MOST_CHOICES, len(character.facts))):
        others = [answer for answer in answers if answer != fact.answer]
        if len(others) < 3:
            break
        options = [fact.answer, *chosen.sample(others, 3)]
        chosen.shuffle(options)
        choices.append(Choice(fact.question, tuple(options), options.index(fact.answer)))
    return tuple(choices)
