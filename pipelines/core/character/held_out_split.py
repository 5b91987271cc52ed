"""A held-out split for a character that came without one: the same every time, taken out of the training data.

Conversations and pictures that are held out are no longer trained on. Facts stay in training: the questions ask
whether they were learned, with other facts' answers as the wrong options.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from pipelines.core.character.character import (
    Character,
    Fact,
    ImagePart,
    Interaction,
    Message,
    MessagePart,
    MultipleChoice,
    TestSplit,
)
from pipelines.core.character.image_set_check import MIN_IMAGES
from pipelines.core.character.validate_dialogues import normalized_words

HOLD_OUT_EVERY = 8
"""One conversation and one picture in this many is held out."""
HOLD_OUT_MIN_IMAGES = MIN_IMAGES + 1
"""From this many pictures on one is held out, so that enough stay to train on."""
MAX_CHOICES = 20
"""Most multiple-choice questions."""
OPTION_COUNT = 4
"""Options of a question, the right one among them."""


def hold_out(character: Character) -> tuple[Character, TestSplit]:
    """The character without what is held out, and the split; deterministic.

    Every 8th conversation, every 8th picture (the last one of 6 or 7), and up to 20 multiple-choice questions made from
    the facts when they have four different answers. Held-out pictures keep lying in `images/`.
    A picture that the creator chose as a reference is never held out; the nearest one before it takes its place.
    A training conversation that shows a held-out picture keeps its words and scene without the picture.
    """
    held_dialogues = {
        number for number in range(len(character.interactions)) if number % HOLD_OUT_EVERY == HOLD_OUT_EVERY - 1
    }
    held_images = _held_images(character)
    test_images = tuple(image for number, image in enumerate(character.images) if number in held_images)
    hidden = {image.file for image in test_images}
    training = replace(
        character,
        images=tuple(image for number, image in enumerate(character.images) if number not in held_images),
        interactions=tuple(
            _without_images(item, hidden)
            for number, item in enumerate(character.interactions)
            if number not in held_dialogues
        ),
    )
    split = TestSplit(
        dialogues=tuple(item for number, item in enumerate(character.interactions) if number in held_dialogues),
        choices=choices_from_facts(character.facts),
        images=test_images,
    )
    return training, split


def _held_images(character: Character) -> set[int]:
    """Indices of the images that are held out."""
    count = len(character.images)
    wanted = [number for number in range(count) if number % HOLD_OUT_EVERY == HOLD_OUT_EVERY - 1]
    if not wanted and count >= HOLD_OUT_MIN_IMAGES:
        wanted = [count - 1]
    held: set[int] = set()
    for number in wanted:
        before = (n for n in range(number, -1, -1) if n not in held)
        free = next((n for n in before if character.images[n].file not in character.references), None)
        held |= set() if free is None else {free}
    return held


def choices_from_facts(facts: Sequence[Fact]) -> tuple[MultipleChoice, ...]:
    """Multiple-choice questions from facts, spread over all of them; () with fewer than four different answers."""
    usable = [fact for fact in facts if fact.question.strip() and fact.answer.strip()]
    if len({normalized_words(fact.answer) for fact in usable}) < OPTION_COUNT:
        return ()
    step = max(1.0, len(usable) / MAX_CHOICES)
    picked = [usable[int(number * step)] for number in range(min(len(usable), MAX_CHOICES))]
    return tuple(_choice_from_fact(fact, usable) for fact in picked)


def _choice_from_fact(fact: Fact, facts: Sequence[Fact]) -> MultipleChoice:
    """Wrong options are answers to the most similar questions (who, where, how many), then of the nearest length."""
    right = normalized_words(fact.answer)
    asked = set(normalized_words(fact.question).split())

    def dissimilarity(other: Fact) -> tuple[bool, int, int, str]:
        words = normalized_words(other.question).split()
        opening = words[:1] != normalized_words(fact.question).split()[:1]
        return opening, -len(asked & set(words)), abs(len(other.answer) - len(fact.answer)), other.question

    wrong: dict[str, str] = {}
    for other in sorted(facts, key=dissimilarity):
        answer = normalized_words(other.answer)
        if answer != right and normalized_words(other.question) != normalized_words(fact.question):
            wrong.setdefault(answer, other.answer)
    options = list(wrong.values())[: OPTION_COUNT - 1]
    # From the question's hash: the right answer's index is spread evenly over questions, and never moves.
    place = hashlib.sha256(fact.question.encode()).digest()[0] % (len(options) + 1)
    options.insert(place, fact.answer)
    return MultipleChoice(fact.question, tuple(options), place)


def _without_images(interaction: Interaction, hidden: set[str]) -> Interaction:
    return tuple(_without_image_parts(turn, hidden) for turn in interaction)


def _without_image_parts(turn: Message, hidden: set[str]) -> Message:
    parts: tuple[MessagePart, ...] = tuple(
        part for part in turn.parts if not (isinstance(part, ImagePart) and part.image in hidden)
    )
    return turn if parts == turn.parts else replace(turn, parts=parts)
