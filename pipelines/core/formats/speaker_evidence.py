"""Whether a label that nobody told is a person: what speaks for it in the whole of a text.

For it: it begins a conversation, the character answers it, it comes again, or it is written like a name (or is "old
man") with a sentence behind it. Against it: it is an ordinary word, which the text also writes small; numbers stand
behind it; its words go on in lower case; it stands in a list, or where the speaker before has said nothing yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipelines.core.formats.label_lines import LabelLine, label_key
from pipelines.core.formats.label_words import NOT_NAMES, OPENING_WORDS, PARTICLES, PEOPLE

Speaker = Literal["user", "character", "other", "narrator"]

LIST_LENGTH = 3
"""So many different labels in lines one behind the other are a list."""
MAX_NAME_WORDS = 4
"""Longer labels must begin a conversation or be answered."""
_FIRST = re.compile(r"\s*[^\s:\uff1a][^:\uff1a\n]{0,40}[:\uff1a][^:\uff1a\n]*\n?\Z")
_CODE = re.compile(r"[a-z]{3}[A-Z]|[\w-]-\w+-|\AE\.g\.?\Z|\AI\.e\.?\Z")
_SENTENCE = re.compile(r"[.!?\u2026\u3002\uff01\uff1f\"'\u201d\u2019\u00bb*)\]~]\W*\Z")
_QUOTED = '"\u201c\u201e\u00ab\u300c*('


def begins_small(words: str) -> bool:
    """Whether words go on in lower case, as behind a colon inside a sentence."""
    words = words.lstrip()[:40]
    letter = words[:1] if words[:1].isalpha() else next((letter for letter in words if letter.isalpha()), "")
    return letter.islower() and words[0] not in _QUOTED


def _is_value(words: str) -> bool:
    """Whether what stands behind a label is a number or a sign."""
    line = words.lstrip()[:80].partition("\n")[0].strip(" *_~`")
    if line[:1].isalpha():
        return False
    letters = sum(letter.isalpha() for letter in line)
    return bool(line) and (letters == 0 or (line[0].isdigit() and letters <= len(line) // 2 + 3))


@dataclass
class Seen:
    """One label that nobody told, wherever it stands in a text."""

    label: str
    count: int = 0
    openers: int = 0
    """Times it begins a conversation or a reply."""
    answered: int = 0
    """Times the character's own label comes next."""
    listed: int = 0
    """Times it stands in a list of other labels."""
    said: set[str] = field(default_factory=set)
    """The words behind it, of its first times: a list comes again as it was, people say something else."""
    after_nothing: int = 0
    """Times the speaker before has said nothing yet."""
    values: int = 0
    """Times a number stands behind it."""
    small: int = 0
    """Times the words behind it go on in lower case."""
    sentences: int = 0
    """Times a sentence stands behind it."""

    @property
    def words(self) -> list[str]:
        """Its words, lower case."""
        return [word.strip("'\u2019.#\"") for word in label_key(self.label).split()]

    @property
    def is_ordinary(self) -> bool:
        """Whether a word that names nobody stands in it."""
        words = [word for word in self.words if word not in PARTICLES]
        return not words or words[0] in OPENING_WORDS or any(word in NOT_NAMES for word in words)

    @property
    def is_capitalised(self) -> bool:
        """Whether it is written like a name."""
        words = self.label.split()
        names = [word for word in words if word.casefold() not in PARTICLES]
        return bool(names) and all(not word.lstrip("#@\"'")[:1].islower() for word in names) and names[0][:1].isupper()

    @property
    def is_worth_telling(self) -> bool:
        """Whether somebody may want to know that it was taken as part of a reply."""
        return len(self.words) <= MAX_NAME_WORDS and not self.label[0].islower() and self.values * 2 <= self.count


@dataclass
class Evidence:
    """What all lines with labels tell about those that nobody told."""

    text: str
    """The whole text, or its beginning."""
    is_told_by_records: bool = False
    """The records say who speaks already, so that labels must say more to be believed."""
    seen: dict[str, Seen] = field(default_factory=dict)
    own_openers: int = 0
    """Texts that begin with the character's own label."""
    told: int = 0
    small_told: int = 0
    """Turns of speakers who were told, and those of them that begin in lower case."""

    def add(self, text: str, lines: Sequence[LabelLine], kinds: Sequence[Speaker | None]) -> None:
        """Takes in a conversation or a reply; `kinds` are the speakers that were told."""
        if not lines:
            return
        ends = [line.start for line in lines[1:]] + [len(text)]
        said = [text[line.end : end] for line, end in zip(lines, ends, strict=True)]
        opens = not text[: lines[0].start].strip()
        self.own_openers += opens and kinds[0] == "character"
        before = text[: lines[0].start]
        if self.is_told_by_records and not opens:
            self.told += 1
            self.small_told += begins_small(before)
        listed = _in_lists(lines, kinds, said)
        is_after_nothing = False
        for number, (line, kind, words) in enumerate(zip(lines, kinds, said, strict=True)):
            if kind is not None:
                self.told += 1
                self.small_told += begins_small(words)
                is_after_nothing = not words.strip()
            seen = self.seen.get(key := label_key(line.label)) or self.seen.setdefault(key, Seen(line.label))
            seen.count += 1
            seen.small += begins_small(words)
            if kind is None:
                seen.openers += opens and number == 0
                seen.answered += number + 1 < len(lines) and kinds[number + 1] == "character"
                seen.listed += listed[number]
                seen.values += _is_value(words)
                if len(seen.said) < 2:
                    seen.said.add(words.strip())
                seen.sentences += words[:1] != "\n" and _SENTENCE.search(words[-8:].rstrip()) is not None
                seen.after_nothing += is_after_nothing
                is_after_nothing = is_after_nothing and "\n\n" not in words.rstrip(" ")

    def unknown(self, told: Callable[[str], Speaker | None]) -> Iterator[tuple[str, Seen]]:
        """The labels that nobody told."""
        return ((key, seen) for key, seen in self.seen.items() if told(seen.label) is None)

    def continued(self, labels: Collection[str]) -> set[str]:
        """Those of some labels whose words all go on in lower case, where what others say begins with a capital."""
        found = {key: seen for key, seen in self.seen.items() if key in labels and seen.small == seen.count}
        count = sum(seen.count for seen in found.values())
        others = self.told - count
        if not others:
            return set(found) if self.is_told_by_records else set()
        return set(found) if (self.small_told - count) * 2 <= others else set()

    def may_name(self, label: str) -> bool:
        """Whether a label can be somebody's name at all."""
        seen = Seen(label)
        return not seen.is_ordinary and len(seen.words) <= MAX_NAME_WORDS

    def is_person(self, seen: Seen) -> bool:
        """Whether a label is a speaker."""
        goes_on = seen.small * 2 > seen.count and self.small_told * 2 <= self.told
        if seen.is_ordinary or seen.values * 2 >= seen.count or seen.after_nothing or goes_on:
            return False
        has_no_case = seen.label.upper() == seen.label.lower()
        if seen.answered and (seen.openers or seen.count > 1 or has_no_case or not self.is_told_by_records):
            return True
        if seen.openers and (not self.is_told_by_records or (self.own_openers and seen.count > 1)):
            return True
        is_list = seen.listed == seen.count and not (seen.is_capitalised and len(seen.said) > 1)
        if is_list or len(seen.words) > MAX_NAME_WORDS:
            return False
        is_somebody = seen.is_capitalised or seen.words[-1] in PEOPLE or seen.words[0] in PEOPLE
        if seen.count > 1 and not self.is_told_by_records:
            return (is_somebody or len(seen.words) == 1) and not self._is_written_small(seen)
        is_code = _CODE.search(seen.label) is not None or len(label_key(seen.label)) < 2
        return is_somebody and bool(seen.sentences) and not is_code and not self._is_written_small(seen)

    def _is_written_small(self, seen: Seen) -> bool:
        """Whether the text has the label's words in lower case too, so that they are no name."""
        word = label_key(seen.label)
        if seen.words[-1] in PEOPLE or seen.words[0] in PEOPLE or not seen.label[0].isupper():
            return False
        return re.search(rf"(?<!\w){re.escape(word)}(?!\w|[ \t]*:)", self.text) is not None


def _in_lists(lines: Sequence[LabelLine], kinds: Sequence[Speaker | None], said: Sequence[str]) -> list[bool]:
    """For each line whether it stands among lines one behind the other of different labels that nobody told."""
    inside = [False] * len(lines)
    start = 0
    for number in range(len(lines) + 1):
        is_part = number < len(lines) and kinds[number] is None
        if is_part and "\n" not in said[number].strip():
            continue
        end = number + is_part
        run = range(start, end)
        # The first of a list may stand in the line of whoever speaks: "Tola: Flour: two cups."
        first = start > 0 and _FIRST.match(said[start - 1]) is not None
        if len({label_key(lines[place].label) for place in run}) + first >= LIST_LENGTH:
            for place in run:
                inside[place] = True
        start = number + 1
    return inside
