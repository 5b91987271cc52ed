"""Holding the look of a picture to what was asked for, and keeping a reply's words out of it.

A look is sampled (`pipelines/inference/generate.py`), and a model with little training says anything there: its reply
once more, a sentence about itself, something else than was asked. What the person named in a direct request
(`pipelines/core/picture_requests.py`) must stand in it; the rest is kept where it reads as a caption of this character.
"""

from __future__ import annotations

import re

from pipelines.core.character.character import Character
from pipelines.core.words import normalized_words, words_of
from pipelines.data.reply_form import LOOK_PHRASES

PHRASE_WORDS = 8
"""Most words of a phrase in a look, unless the character's own captions have longer ones."""
PASSAGE_WORDS = 4
"""A phrase of so many words that the reply says too is the reply's, not the picture's."""
_SENTENCE_END = re.compile(r"[.!?\u2026](?=\s)|\n")
_SPOKEN = re.compile(
    r"[\"\u201c\u201d:*]|\b(?:i|me|my|you|your|we|us|our)\b|['\u2019](?:m|ll|ve|d|re)\b|\w[!?]", re.IGNORECASE
)
_WORN = re.compile(r"(?:wearing|dressed|clad)\b|in an? [\w-]+(?: [\w-]+)?$", re.IGNORECASE)
_PLACE = re.compile(r"(?:out |up |down |deep )?(?:in|on|at|under|by|near|inside|behind|beside|from)\b", re.IGNORECASE)
_UNMEANT = {"a", "an", "the", "in", "on", "at", "of", "with", "and", "is", "are", "wearing", "looking", "very", "being"}


def held_look(sampled: str, asked: str, said: str, character: Character) -> str:
    """The look that is drawn: `asked` for (caption's words, or ""), and of the `sampled` one what belongs to a picture.

    said: the words of the reply. A sampled look that has all that was asked for is kept as it is.
    """
    known = _known_phrases(character)
    kept = _of_a_picture(sampled, said, asked, known)
    if not asked:
        return ", ".join(kept)
    wanted = [phrase.strip() for phrase in asked.split(",") if phrase.strip()]
    if _meant(asked) <= _meant(", ".join(kept)):
        return ", ".join(kept)
    kinds = {_kind(phrase) for phrase in wanted}
    # In a field that was not named, what this character's captions say; of an own invention nothing is sure.
    added = [one for one in kept if one.lower() in known and _kind(one) and _kind(one) not in kinds]
    return ", ".join(sorted([*wanted, *added], key=_kind)[: max(LOOK_PHRASES, len(wanted))])


def _of_a_picture(sampled: str, said: str, asked: str, known: frozenset[str]) -> list[str]:
    if not any(_SENTENCE_END.search(f"{phrase} ") for phrase in known):
        sampled = _SENTENCE_END.split(f"{sampled} ", maxsplit=1)[0]
    reply = f" {normalized_words(said)} "
    longest = max([PHRASE_WORDS, *(len(phrase.split()) for phrase in known)])
    kept = []
    for phrase in (part.strip() for part in sampled.split(",")):
        words = normalized_words(phrase)
        if not words or words in asked.lower() or phrase.lower() in known:
            kept += [phrase] if words else []
            continue
        count = len(words.split())
        is_reply = count >= PASSAGE_WORDS and f" {words} " in reply
        if count <= longest and not is_reply and not _SPOKEN.search(phrase):
            kept.append(phrase)
    return kept


def _known_phrases(character: Character) -> frozenset[str]:
    return frozenset(
        phrase.strip().lower()
        for image in character.images
        for phrase in image.description.split(",")
        if phrase.strip()
    )


def _kind(phrase: str) -> int:
    """1 clothes, 2 a place, 0 anything else: also the order of a caption."""
    return 1 if _WORN.match(phrase) else 2 if _PLACE.match(phrase) else 0


def _meant(look: str) -> set[str]:
    return {word for word in words_of(look) if word not in _UNMEANT}
