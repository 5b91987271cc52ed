"""Who speaks: names before a colon at the start of a line, in any of the ways in which people write them.

`SpeakerNames` knows the names of one card. `SpeakerLabels` reads all of a text first and decides which other names are
people (`speaker_evidence.py`), since what somebody else says must never become the character's words. A line like
"Closed: come back late." inside a reply stays there; the notes name it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from pipelines.core.character.macros import is_character_macro, is_user_macro, resolve_macros
from pipelines.core.character.names import split_title
from pipelines.core.formats.blank_lines import is_blank
from pipelines.core.formats.label_lines import LabelLine, label_key, label_lines, one_speaker_a_line
from pipelines.core.formats.label_words import (
    CHARACTER_LABELS,
    NARRATOR_LABELS,
    PARTICLES,
    PRONOUN_LABELS,
    USER_LABELS,
)
from pipelines.core.formats.speaker_evidence import Evidence, Speaker, begins_small

_GROUP = re.compile(r"\s*(?:[,/&+\u3001]|\b(?:and|und|y|et|e)\b)\s*", re.IGNORECASE)
_TITLE = re.compile(r"\s*\(|\s+[-\u2013\u2014~]\s+")
"""What parts a name from a title, beside a bar: "Tola - The Clock Mender"."""
MAX_SAMPLED = 2_000_000
"""Characters of a text that are searched for a name written small."""


@dataclass(frozen=True)
class SpeakerNames:
    """The names behind the macros of one card."""

    name: str
    nickname: str = ""
    """V3 only: stands for `{{char}}` instead of the name."""

    def resolve_in_speech(self, text: str, mended: Counter[str] | None = None) -> str:
        """The text of a turn or greeting: `{{char}}` becomes the name, `{{user}}` becomes "you"."""
        return resolve_macros(text, self.nickname or self.name, "you", mended)

    def resolve_in_description(self, text: str, mended: Counter[str] | None = None) -> str:
        """The text of a description or scenario: `{{char}}` becomes the name, `{{user}}` becomes "the user"."""
        return resolve_macros(text, self.nickname or self.name, "the user", mended)

    def members(self) -> tuple[str, ...]:
        """The people of a card of several ("Tola & Ben"); the first is the one that is learned."""
        return tuple(part for part in _GROUP.split(self.name) if part)

    def is_whole_name(self, label: str) -> bool:
        """Whether the label is the name or the nickname."""
        return bool(label.strip()) and _squeezed(label) in {_squeezed(name) for name in (self.name, self.nickname)}

    def is_character(self, label: str) -> bool:
        """Whether the label is the character's name, nickname, first or last name."""
        label = label_key(label)
        if self.is_whole_name(label):
            return True
        called, words = _called(self.name)
        if label == called or (len(label) > 1 and label in words):
            return True
        # A single letter would match too much; names without spaces are called by either end.
        ends = len(label) > 1 and not label.isascii() and not label.islower() and " " not in self.name
        whole = self.name.casefold()
        return ends and label.upper() == label.lower() and (whole.startswith(label) or whole.endswith(label))

    def is_companion(self, label: str) -> bool:
        """Whether the label is one of the others on a card of several people."""
        return label.strip().casefold() in {name.casefold() for name in self.members()[1:]}


@dataclass(frozen=True)
class Labelled:
    """The words behind one label."""

    speaker: Speaker
    label: str
    words: str
    aside: str = ""
    """A stage direction that stood beside the label."""
    is_role: bool = False
    """The label is what assistants are called, and no name."""
    is_after_blank: bool = False
    """An empty line stands before the label."""


@dataclass
class SpeakerLabels:
    """Which labels of a text are speakers, found once over all its conversations."""

    names: SpeakerNames
    kinds: dict[str, Speaker] = field(default_factory=dict)
    """`label_key` of a label -> who speaks, for labels that the card does not tell."""
    doubtful: Counter[str] = field(default_factory=Counter)
    """Labels that were left inside a turn."""
    others: Counter[str] = field(default_factory=Counter)
    """Labels of people who are neither the user nor the character."""
    user: str = ""
    """The name that was taken for the user's, "" when the text says so itself."""
    _known: dict[str, Speaker | None] = field(default_factory=dict, repr=False)
    _read: dict[str, list[LabelLine]] = field(default_factory=dict, repr=False)
    """Label lines of the texts that were read first, since each is asked for again."""
    unheard: frozenset[str] = frozenset()
    """Common words ("You", "Bot") that are no speakers here: the user is called otherwise, or their words go on."""

    @classmethod
    def of_blocks(cls, names: SpeakerNames, blocks: Sequence[str]) -> SpeakerLabels:
        """Reads plain text, where a label is all that says who speaks; the blocks are of `one_speaker_a_line`."""
        found = cls(names)
        lined = [(block, found._lines(block)) for block in blocks]
        labels = [line.label for _, lines in lined for line in lines]
        if any(found._told(label) == "user" and label[:1] in "{<" for label in labels):
            found.unheard = PRONOUN_LABELS
        evidence = Evidence("\n".join(blocks)[:MAX_SAMPLED])
        for block, lines in lined:
            evidence.add(block, lines, [found._told(line.label) for line in lines])
        found.unheard |= evidence.continued(USER_LABELS | CHARACTER_LABELS)
        for key, seen in evidence.unknown(found._told):
            if evidence.is_person(seen):
                found.kinds[key] = "other"
                found.others[seen.label] = seen.count
            elif seen.is_worth_telling:
                found.doubtful[seen.label] = seen.count
        found._choose_user([lines for _, lines in lined])
        return found

    @classmethod
    def of_turns(
        cls,
        names: SpeakerNames,
        replies: Sequence[str],
        asked: Sequence[str] = (),
        people: Mapping[str, Speaker] | None = None,
    ) -> SpeakerLabels:
        """Reads the turns of a data set, where a record says who speaks and a label may say it again.

        `replies` are the character's turns, `asked` the user's; `people` are the other names that records hold. A label
        inside a reply is somebody else where it is one of them, where the character's own label answers it, where both
        begin replies, or where it is written like a name with a sentence behind it.
        """
        keys = {label_key(name): speaker for name, speaker in (people or {}).items()}
        found = cls(names, {key: speaker for key, speaker in keys.items() if key not in PRONOUN_LABELS})
        found.unheard = PRONOUN_LABELS
        evidence = Evidence("\n".join(replies)[:MAX_SAMPLED], is_told_by_records=True)
        for reply in replies:
            text = one_speaker_a_line(reply)
            lines = found._lines(text)
            if lines:
                evidence.add(text, lines, [found.kind(line.label) for line in lines])
        found.unheard |= evidence.continued(USER_LABELS | CHARACTER_LABELS)
        found._choose_asker(asked, evidence)
        for key, seen in evidence.unknown(found.kind):
            if evidence.is_person(seen):
                found.kinds[key] = "other"
        return found

    def _choose_asker(self, asked: Sequence[str], evidence: Evidence) -> None:
        """One name that begins most of the user's turns is the user's."""
        openers = Counter(line.label for words in asked if (line := self._opening(words)) is not None)
        unknown = {label: count for label, count in openers.items() if self.kind(label) is None}
        keys = {label_key(label) for label in unknown}
        count = sum(unknown.values())
        often = count > 1 or (count and evidence.own_openers)
        if len(keys) == 1 and often and count * 2 > len(asked) and evidence.may_name(next(iter(unknown))):
            self.user = next(iter(unknown))
            self.kinds[label_key(self.user)] = "user"

    def _opening(self, words: str) -> LabelLine | None:
        """The label that a turn begins with."""
        line = next(iter(self._lines(words.lstrip()[:200])), None)
        return line if line is not None and line.start == 0 else None

    def without_own_label(self, words: str) -> str:
        """A user's turn without the label before it that says so again."""
        line = self._opening(words)
        if line is None or self.kind(line.label) != "user" or begins_small(words.lstrip()[line.end :]):
            return words
        return words.lstrip()[line.end :]

    def split_reply(self, reply: str) -> list[Labelled]:
        """A reply of a data set by its speakers: all of it is the character's unless labels say otherwise."""
        before, parts = self.split(one_speaker_a_line(reply))
        whole = [Labelled("character", "", reply)]
        opens = not before.strip()
        if not parts or (opens and parts[0].speaker == "narrator"):
            return whole
        kept: list[Labelled] = [] if opens else [Labelled("character", "", before.rstrip("[*_# \t"))]
        is_foreign = opens
        is_named = any(part.speaker == "character" and not part.is_role for part in parts)
        for part in parts:
            # "Bot:" and "Scene:" inside the character's words may well be some of them.
            weak = part.speaker == "narrator" or (part.is_role and not is_named)
            if kept and weak and not is_foreign:
                last = kept[-1]
                kept[-1] = Labelled(last.speaker, last.label, f"{last.words}\n{part.label}: {part.words}", last.aside)
                continue
            is_foreign = is_foreign or part.speaker in ("user", "other")
            kept.append(part)
        return kept if len(kept) > 1 or opens else whole

    def _choose_user(self, sequences: Sequence[Sequence[LabelLine]]) -> None:
        """Where no line is marked as the user's: whoever is answered most often is the user."""
        if any(self._told(line.label) == "user" for lines in sequences for line in lines):
            return
        answered: Counter[str] = Counter()
        for lines in sequences:
            known = [(line.label, kind) for line in lines if (kind := self.kind(line.label)) in ("character", "other")]
            for (label, kind), (_, following) in pairwise(known):
                if kind == "other" and following == "character":
                    answered[label] += 1
        candidates = [label for label, _ in answered.most_common() if not self.names.is_companion(label)]
        if candidates:
            self.user = candidates[0]
            key = label_key(self.user)
            self.kinds[key] = "user"
            for label in [label for label in self.others if label_key(label) == key]:
                del self.others[label]

    def _told(self, label: str) -> Speaker | None:
        """Who speaks by the card and by common words alone; None for a name that was not told."""
        if label not in self._known:
            self._known[label] = _told_speaker(self.names, label)
        told = self._known[label]
        if told and self.unheard and label_key(label) in self.unheard and not self.names.is_character(label):
            return None
        return told

    def kind(self, label: str) -> Speaker | None:
        """Who speaks behind a label; None when it is no speaker but part of the words."""
        return self._told(label) or self.kinds.get(label_key(label))

    def split(self, text: str) -> tuple[str, list[Labelled]]:
        """The words before the first speaker of a text of `one_speaker_a_line`, and what each says, in order."""
        found = [(line, kind) for line in self._lines(text) if (kind := self.kind(line.label))]
        parts: list[Labelled] = []
        before = text[: found[0][0].start] if found else text
        for number, (line, kind) in enumerate(found):
            end = found[number + 1][0].start if number + 1 < len(found) else len(text)
            is_role = label_key(line.label) in CHARACTER_LABELS and not self.names.is_character(line.label)
            words = text[line.end : end]
            is_after_blank = is_blank(parts[-1].words if parts else before)
            parts.append(Labelled(kind, line.label, words, line.aside, is_role, is_after_blank))
        return before, parts

    def _lines(self, text: str) -> list[LabelLine]:
        """The lines that begin with a label; behind a list mark only those of a speaker who was told."""
        lines = self._read.get(text)
        if lines is None:
            lines = self._read[text] = label_lines(text, (self.names.name, self.names.nickname))
        return [line for line in lines if not line.is_listed or self.kind(line.label) is not None]


@lru_cache(maxsize=64)
def _called(name: str) -> tuple[str, frozenset[str]]:
    """A name without its title and the words it may be called by, lower case; of several people the first."""
    first = next((part for part in _GROUP.split(name) if part), name)
    called = _TITLE.split(split_title(first)[0], maxsplit=1)[0] or first
    words = (word.strip("\"'()").casefold() for word in re.split(r"[\s\u30fb\u00b7]+", called))
    return called.casefold().strip(), frozenset(words) - PARTICLES


@lru_cache(maxsize=4096)
def _squeezed(name: str) -> str:
    """A name as it is compared: without spaces and marks, which keys of other programs cannot hold ("Tola_Brask")."""
    key = label_key(name)
    return re.sub(r"[\W_]+", "", key) or key


@lru_cache(maxsize=4096)
def _told_speaker(names: SpeakerNames, label: str) -> Speaker | None:
    """Who speaks behind a label by the names and by common words alone; a long log asks for few labels many times."""
    plain = label_key(label)
    if is_user_macro(label) or (plain in USER_LABELS and not names.is_whole_name(label)):
        return "user"
    if is_character_macro(label) or names.is_character(label):
        return "character"
    if plain in NARRATOR_LABELS:
        return "narrator"
    if names.is_companion(label):
        return "other"
    return "character" if plain in CHARACTER_LABELS else None
