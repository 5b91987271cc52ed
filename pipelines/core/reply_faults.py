"""Simple detectors of what is wrong with a reply's words, for counting.

Those in `FAULTS` read text alone and know no character; `leaks_prompt` compares a reply with the system prompt.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from pipelines.core.character.character import Character
from pipelines.core.character.system_prompt import PROMPT_LABELS, system_text

NGRAM, OFTEN = 4, 3
"""A run of so many words that comes so often is a repetition."""
LEAKED_WORDS = 9
"""So many words of the system prompt in a row are no chance, unless the character's own lines have them too."""
_WORD = re.compile(r"[\w'’]+")  # noqa: RUF001
_ENDS_WELL = re.compile(r"[.!?…~][\"'”’)*_]*\s*\Z")  # noqa: RUF001


def is_wordless(text: str) -> bool:
    """Whether there is not one word."""
    return _WORD.search(text) is None


def is_repetitive(text: str) -> bool:
    """Whether some four words in a row come three times."""
    words = [word.lower() for word in _WORD.findall(text)]
    runs = Counter(tuple(words[at : at + NGRAM]) for at in range(len(words) - NGRAM + 1))
    return max(runs.values(), default=0) >= OFTEN


def has_brackets(text: str) -> bool:
    """Whether a square bracket is left, as of a mark that people should not see."""
    return "[" in text or "]" in text


def is_unfinished(text: str) -> bool:
    """Whether the last sentence has no end; True for a reply without words."""
    return _ENDS_WELL.search(text) is None


FAULTS = {
    "without words": is_wordless,
    "repeated four words": is_repetitive,
    "square brackets": has_brackets,
    "unfinished sentence": is_unfinished,
}
"""Name of a score -> whether a text has that fault."""


def faults_of(text: str) -> list[str]:
    """The names of all faults that a text has."""
    return [name for name, has_fault in FAULTS.items() if has_fault(text)]


def leaks_prompt(text: str, character: Character) -> bool:
    """Whether a reply says the system prompt instead of answering: one of its labels, or a run of its words.

    What the character's own lines hold is theirs to say.
    """
    own = [turn.text for talk in character.interactions for turn in talk if turn.role == "character"]
    own += [character.greeting, *(fact.answer for fact in character.facts)]
    said = " ".join(text.lower().split())
    spoken = " ".join(" ".join(line.lower().split()) for line in own)
    if any(label in said and label not in spoken for label in PROMPT_LABELS):
        return True
    return bool((_runs([text]) & _runs([system_text(character)])) - _runs(own))


def _runs(texts: Iterable[str]) -> set[tuple[str, ...]]:
    """All runs of LEAKED_WORDS words."""
    found: set[tuple[str, ...]] = set()
    for text in texts:
        words = [word.lower() for word in _WORD.findall(text)]
        found |= {tuple(words[at : at + LEAKED_WORDS]) for at in range(len(words) - LEAKED_WORDS + 1)}
    return found
