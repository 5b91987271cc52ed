"""Simple detectors of what is wrong with a reply's words, for counting.

They read text alone and know no character.
"""

from __future__ import annotations

import re
from collections import Counter

NGRAM, OFTEN = 4, 3
"""A run of so many words that comes so often is a repetition."""
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
