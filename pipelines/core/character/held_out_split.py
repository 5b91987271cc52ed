"""A held-out split for a character that came without one: the same every time, taken out of the training data.

Conversations and pictures that are held out are no longer trained on. Facts stay in training: the questions ask
whether they were learned, with other facts' answers as the wrong options. What is held out is the creator's choice
(`Character.held_out`); for the rest `with_held_out` keeps what the version before held out, so that two trainings can
be compared, and spreads what is missing over what there is. A version is published with all of it named, so that the
split of a run never moves; one from before that names nothing, and keeps what it was trained with: every eighth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.core.character.amounts import HELD_OUT_AT_MOST, MIN_IMAGES
from pipelines.core.character.character import (
    Character,
    Fact,
    HeldOut,
    ImagePart,
    Interaction,
    Message,
    MessagePart,
    MultipleChoice,
    TestSplit,
)
from pipelines.core.character.held_out_conversations import HOLD_OUT_EVERY, answers_of, kept_conversations, spread
from pipelines.core.character.references import MOST_LOOKED_AT, ranked_references
from pipelines.core.words import comparable_words, normalized_words

HOLD_OUT_MIN_IMAGES = MIN_IMAGES + 1
"""From this many pictures on one is held out, so that enough stay to train on."""
MAX_CHOICES = 20
"""Most multiple-choice questions."""
OPTION_COUNT = 4
"""Options of a question, the right one among them."""


@dataclass(frozen=True)
class Tested:
    """Places and files in a character."""

    kept: HeldOut
    """What the latest version held out."""
    learned: HeldOut
    """Conversations and pictures that any of the versions learned."""


UNTESTED = Tested(HeldOut(), HeldOut())


def with_held_out(character: Character, tested: Tested = UNTESTED) -> Character:
    """The character with everything named that is held out: what the creator chose, then what an earlier version held
    out, the rest spread evenly.

    Conversations as `kept_conversations` has it; from 6 pictures on one in 8 and at least one, with a caption where
    there is one, since it is drawn from its caption, and never one of the best references, since a picture that is
    looked at tests nothing; up to 20 facts with a question and an answer.
    """
    chosen, before = character.held_out, tested.kept
    conversations, images, facts = chosen.conversations, chosen.images, chosen.facts
    if conversations is None:
        conversations = kept_conversations(
            answers_of(character), before.conversations or (), set(tested.learned.conversations or ())
        )
    if images is None:
        images = _kept_images(character, before.images or (), tested.learned.images or ())
    if facts is None:
        usable = _usable_facts(character.facts)
        stay = [place for place in before.facts or () if place in usable][:MAX_CHOICES]
        rest = spread([place for place in usable if place not in stay], MAX_CHOICES - len(stay))
        facts = tuple(sorted([*stay, *rest]))
    return replace(character, held_out=HeldOut(conversations, facts, images))


def _kept_images(character: Character, before: Sequence[str], learned: Sequence[str]) -> tuple[str, ...]:
    """Files of the pictures that are held out; see `with_held_out`."""
    files = [image.file for image in character.images]
    if len(files) < HOLD_OUT_MIN_IMAGES:
        return ()
    stay = [file for file in files if file in before and file not in character.references]
    stay = spread(stay, max(1, len(files) // HELD_OUT_AT_MOST))
    others = tuple(image for image in character.images if image.file not in stay)
    looked_at = {*character.references, *ranked_references(replace(character, images=others))[:MOST_LOOKED_AT]}
    free = [image for image in others if image.file not in looked_at]
    fresh = [image for image in free if image.file not in learned]
    number = max(0, max(1, len(files) // HOLD_OUT_EVERY) - len(stay))
    pools = [
        [image for image in pool if image.description or not is_described]
        for pool, is_described in ((fresh, True), (fresh, False), (free, True), (free, False))
    ]
    pool = next((pool for pool in pools if len(pool) >= number), free)
    kept = {*stay, *(image.file for image in spread(pool, number))}
    return tuple(file for file in files if file in kept)


def hold_out(character: Character) -> tuple[Character, TestSplit]:
    """The character without what is held out, and the split; deterministic.

    What `Character.held_out` names, as far as it is there; where it names nothing of a kind, what earlier versions held
    out: every 8th conversation, every 8th picture (the last one of 6 or 7), and up to 20 facts. Questions are made only
    when there are four different answers. Held-out pictures keep lying in `images/`. A picture that the creator chose
    as a reference is never held out. A training conversation that shows a held-out picture keeps its words and scene
    without the picture.
    """
    held = held_places(character)
    held_dialogues, held_files = set(held.conversations or ()), set(held.images or ())
    test_images = tuple(image for image in character.images if image.file in held_files)
    hidden = {image.file for image in test_images}
    training = replace(
        character,
        held_out=HeldOut(),
        images=tuple(image for image in character.images if image.file not in held_files),
        interactions=tuple(
            _without_images(item, hidden)
            for number, item in enumerate(character.interactions)
            if number not in held_dialogues
        ),
    )
    dialogues = tuple(item for number, item in enumerate(character.interactions) if number in held_dialogues)
    split = TestSplit(
        dialogues=dialogues,
        choices=choices_from_facts(character.facts, held.facts),
        images=test_images,
        input_images=_shown_in(dialogues, character.input_images),
    )
    return replace(training, input_images=_shown_in(training.interactions, character.input_images)), split


def held_places(character: Character) -> HeldOut:
    """What `hold_out` holds out; facts stay None where none are named."""
    chosen = character.held_out
    conversations, images = chosen.conversations, chosen.images
    if conversations is None:
        conversations = tuple(range(HOLD_OUT_EVERY - 1, len(character.interactions), HOLD_OUT_EVERY))
    if images is None:
        held = _held_images(character)
        images = tuple(image.file for number, image in enumerate(character.images) if number in held)
    else:
        images = tuple(file for file in images if file not in character.references)
    return HeldOut(conversations, chosen.facts, images)


def _shown_in(interactions: Sequence[Interaction], files: Sequence[str]) -> tuple[str, ...]:
    """Those of the files that a turn of the conversations shows."""
    shown = {file for interaction in interactions for turn in interaction for file in turn.images}
    return tuple(file for file in files if file in shown)


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


def choices_from_facts(facts: Sequence[Fact], chosen: Sequence[int] | None = None) -> tuple[MultipleChoice, ...]:
    """Multiple-choice questions from facts; () with fewer than four different answers.

    chosen: places of the facts that are asked about; None spreads up to 20 over all of them.
    """
    places = _usable_facts(facts)
    usable = [facts[place] for place in places]
    if len({normalized_words(fact.answer) for fact in usable}) < OPTION_COUNT:
        return ()
    if chosen is None:
        step = max(1.0, len(usable) / MAX_CHOICES)
        picked = [usable[int(number * step)] for number in range(min(len(usable), MAX_CHOICES))]
    else:
        picked = [facts[place] for place in places if place in set(chosen)]
    return tuple(_choice_from_fact(fact, usable) for fact in picked)


def _usable_facts(facts: Sequence[Fact]) -> list[int]:
    """Places of the facts that can be asked about."""
    return [place for place, fact in enumerate(facts) if fact.question.strip() and fact.answer.strip()]


def _choice_from_fact(fact: Fact, facts: Sequence[Fact]) -> MultipleChoice:
    """Wrong options are answers to the most similar questions (who, where, how many), then of the nearest length."""
    right = normalized_words(fact.answer)
    asked = set(comparable_words(fact.question))

    def dissimilarity(other: Fact) -> tuple[bool, int, int, str]:
        words = comparable_words(other.question)
        opening = words[:1] != comparable_words(fact.question)[:1]
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
