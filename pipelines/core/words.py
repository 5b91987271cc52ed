"""Words and sentences in any script, for checks and rewards that count or compare them.

Where a script writes spaces between words, they part them. Chinese, Japanese, Thai, Lao, Khmer and Burmese write none:
there every letter with the marks on it stands for itself, which compares texts as well as words do, and
`count_words` takes two of them for a word. Marks that belong to a letter (the vowels of Thai and Hindi) stay with it.
"""

from __future__ import annotations

import math
import re
import unicodedata
from itertools import pairwise
from typing import Any

LETTERS_PER_WORD = 2
"""Letters of a script without spaces that count as one word; Chinese and Japanese words have 1.5 to 2.5."""

# Combining marks that belong to the letter before: Latin, Cyrillic, Hebrew, Arabic, the scripts of India and its
# neighbours, Japanese voicing marks, zero-width joiners.
_MARKS = r"\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f"
_MARKS += r"\u0981-\u0983\u09bc-\u09cd\u0a01-\u0a4d\u0a81-\u0acd\u0b01-\u0b4d\u0b82-\u0bcd\u0c00-\u0c4d\u0c81-\u0ccd"
_MARKS += r"\u0d00-\u0d03\u0d3b-\u0d4d\u0dca-\u0ddf\u1ab0-\u1aff\u1dc0-\u1dff\u200c\u200d\u3099\u309a"
# Letters of scripts without spaces, each with the marks that may follow it.
_BARE = r"[\u3005-\u3007\u3041-\u3096\u309d-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
_BARE += r"\U00020000-\U0003ffff][\u3099\u309a\u30fc]*"
_THAI = r"[\u0e40-\u0e44\u0ec0-\u0ec4]?[\u0e01-\u0e30\u0e32\u0e33\u0e45\u0e81-\u0eb0\u0eb2\u0eb3\u0edc-\u0edf]"
_THAI += r"[\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece]*"
_KHMER = r"[\u1000-\u102a\u103f\u1050-\u1055\u1780-\u17b3](?:[\u102b-\u103e\u1056-\u1059\u17b4-\u17d3]|(?<=\u17d2).)*"
_LETTER = rf"(?:(?!{_BARE}|{_THAI}|{_KHMER})[^\W_])"
# Possessive (`*+`): else a place to go back to is kept for each letter, half a gigabyte for a "word" of four million.
_SPACED = rf"{_LETTER}(?:{_LETTER}|[{_MARKS}])*+"
_WORD = re.compile(rf"{_BARE}|{_THAI}|{_KHMER}|{_SPACED}")
_WORD_WITH_APOSTROPHE = re.compile(rf"{_BARE}|{_THAI}|{_KHMER}|{_SPACED}(?:['\u2019]{_SPACED})*")
_UNSPACED = re.compile(rf"{_BARE}|{_THAI}|{_KHMER}")
# Western, Arabic, Urdu and Indic marks end a sentence before a space, Chinese and Japanese ones always.
_SENTENCE_END = re.compile(
    r"(?<=[.!?\u2026\u061f\u06d4\u0964\u0965])[\"'\u201d\u2019\u00bb)]*\s+"
    r"|(?<=[\u3002\uff01\uff1f\uff61])(?![\u3002\uff01\uff1f\u300d\u300f\uff09\u201d])\s*"
)
QUESTION_MARKS = ("?", "\uff1f", "\u061f", "\u037e", "\u1367")
"""Marks of a question: Western, Chinese, Arabic, Greek, Ethiopic."""


_INVISIBLE = re.compile(
    r"[\s\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2800\u3164\ufeff]+"
)


CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")
"""Control characters and colours of terminals, which nobody sees or says; tabs and line feeds are none."""
COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal takes for a command, and what turns the direction of letters; halves of characters."""
_OLD_BREAKS = re.compile(r"[\x0b\x0c\x85]+")


def tidy_text(text: str) -> str:
    """The text with Unix line ends, without control characters and with half surrogates replaced."""
    if CONTROL.search(text):
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = CONTROL.sub("", _OLD_BREAKS.sub("\n", text))
    return whole_text(text)


def printable(text: str) -> str:
    """The text as a terminal may be given it: what would move its cursor or turn its letters around is spelled out."""
    return text if text.isprintable() else COMMANDS.sub(lambda found: ascii(found.group())[1:-1], text)


def whole_text(text: str) -> str:
    """The text with half surrogates, which UTF-8 cannot hold, replaced."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def whole_value(value: Any) -> Any:
    """A value of JSON or YAML whose texts have no half surrogates."""
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, list | tuple):
        return [whole_value(item) for item in value]
    if isinstance(value, dict):
        return {whole_text(key) if isinstance(key, str) else key: whole_value(item) for key, item in value.items()}
    return value


def visible(text: str) -> str:
    """A text without space around it; "" where everything in it is invisible, like zero-width spaces."""
    return "" if not _INVISIBLE.sub("", text) else text.strip()


def normalized_words(text: str) -> str:
    """A text as duplicates are compared: lower case, no punctuation, single spaces."""
    plain = unicodedata.normalize("NFC", text).casefold().replace("'", "").replace("\u2019", "")
    return " ".join(_WORD.findall(plain))


def words_of(text: str) -> list[str]:
    """Lower-case words, apostrophes inside them kept."""
    return _WORD_WITH_APOSTROPHE.findall(unicodedata.normalize("NFC", text).lower())


def count_words(text: str) -> int:
    """About how many words a text has; the letters of scripts without spaces count half a word each."""
    words = _WORD_WITH_APOSTROPHE.findall(text)
    bare = sum(_UNSPACED.fullmatch(word) is not None for word in words)
    return len(words) - bare + math.ceil(bare / LETTERS_PER_WORD)


def is_unspaced(word: str) -> bool:
    """Whether what `words_of` gave is one letter of a script without spaces."""
    return _UNSPACED.fullmatch(word) is not None


def comparable_words(text: str) -> list[str]:
    """Words for comparing texts by what they share: single letters say little, so neighbouring ones are paired."""
    return paired(normalized_words(text).split())


def paired(words: list[str]) -> list[str]:
    """The words, with each run of letters without spaces as its pairs of neighbours (a lone letter stays)."""
    found: list[str] = []
    run: list[str] = []
    for word in [*words, ""]:
        if word and is_unspaced(word):
            run.append(word)
            continue
        found += run if len(run) == 1 else [first + second for first, second in pairwise(run)]
        run = []
        found += [word] if word else []
    return found


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, each with its marks and without the space around it."""
    parts, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        parts.append(text[start : end.end()].strip())
        start = end.end()
    return [part for part in [*parts, text[start:].strip()] if part]


def cut_at_sentence(text: str, limit: int) -> str:
    """Whole sentences of the text, at most `limit` characters; a longer first sentence is cut at a word."""
    kept = ""
    for sentence in sentences_of(text):
        end = text.index(sentence, len(kept)) + len(sentence)
        if end > limit:
            break
        kept = text[:end]
    return kept or text[:limit].rsplit(" ", 1)[0]
