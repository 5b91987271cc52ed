"""Who speaks: names before a colon at the start of a line, in any of the ways in which people write them.

`SpeakerNames` knows the names of one card. `SpeakerLabels` reads all of a text first and decides which other names are
people, since what somebody else says must never become the character's words. A line like "Closed: come back late."
inside a reply stays there: a name that was not told counts as a speaker only when it opens a conversation or
begins two lines or more, and the notes name it in either case.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from pipelines.core.character.macros import is_character_macro, is_user_macro, resolve_macros

Speaker = Literal["user", "character", "other", "narrator"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


USER_LABELS = _words(
    "user you human me ich du tú usuario utilisateur benutzer nutzer utente usuário gebruiker użytkownik пользователь "
    "ユーザー あなた 用户 用戶 使用者 玩家 你 사용자 المستخدم ผู้ใช้"
)
"""Words, lower case, before the user's lines."""
CHARACTER_LABELS = frozenset(("assistant", "gpt", "bot", "chatbot", "ai"))
"""Words, lower case, before the lines of whoever answers, in logs of assistants."""
NARRATOR_LABELS = _words(
    "narrator narration system ooc gm dm storyteller scene setting erzähler erzählerin narrador narradora narrateur "
    "narratore ナレーター ナレーション システム 旁白 系统 系統 내레이션 рассказчик"
)
"""Words, lower case, before lines that nobody says."""
_NOT_NAMES = _words(
    "mood location time date weather status health hp mp outfit clothes clothing thoughts position pose level "
    "inventory note notes ps warning example closed open name age gender answer question"
)
"""Words, lower case, before values inside a reply."""
_GROUP = re.compile(r"\s*(?:[,/&+\u3001]|\b(?:and|und|y|et|e)\b)\s*", re.IGNORECASE)
_COLON = r"[ \t]*[:\uff1a]"  # \uff1a: Chinese and Japanese
_LETTER = (
    r"[\w\u0300-\u036f\u0610-\u065f\u0900-\u0eff'\u2019.\u30fb-]"  # with the marks of Arabic, Indic and Thai letters
)
_NAME = rf"[^\W\d_]{_LETTER}*(?:[ \t]{_LETTER}+){{0,3}}"
_MACRO = r"\{\{[ \t]*\w+[ \t]*\}\}|<(?:user|bot|char)>"


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
        return bool(label.strip()) and label.strip().casefold() in {
            name.strip().casefold() for name in (self.name, self.nickname)
        }

    def is_character(self, label: str) -> bool:
        """Whether the label is the character's name, nickname, first or last name."""
        label = label.strip().casefold()
        if self.is_whole_name(label):
            return True
        first, *_ = self.members() or (self.name,)
        words = [word.strip("\"'()").casefold() for word in re.split(r"[\s\u30fb\u00b7]+", first)]
        # A single letter would match too much; names without spaces are called by either end.
        ends = len(label) > 1 and not label.isascii() and not label.islower() and " " not in self.name
        whole = self.name.casefold()
        caseless = label.upper() == label.lower()
        return (len(label) > 1 and label in words) or (
            ends and caseless and (whole.startswith(label) or whole.endswith(label))
        )

    def is_companion(self, label: str) -> bool:
        """Whether the label is one of the others on a card of several people."""
        return label.strip().casefold() in {name.casefold() for name in self.members()[1:]}


@dataclass(frozen=True)
class Labelled:
    """The words behind one label."""

    speaker: Speaker
    label: str
    words: str


@dataclass
class SpeakerLabels:
    """Which labels of a text are speakers, found once over all its conversations."""

    names: SpeakerNames
    kinds: dict[str, Speaker] = field(default_factory=dict)
    """Lower-case label -> who speaks, for labels that the card does not tell."""
    doubtful: Counter[str] = field(default_factory=Counter)
    """Labels that were left inside a turn."""
    others: Counter[str] = field(default_factory=Counter)
    """Labels of people who are neither the user nor the character."""
    user: str = ""
    """The name that was taken for the user's, "" when the text says so itself."""

    @classmethod
    def of_blocks(cls, names: SpeakerNames, blocks: Sequence[str]) -> SpeakerLabels:
        """Reads plain text, where a label is all that says who speaks."""
        found = cls(names)
        sequences = [[match["label"].strip() for match in found._matches(block)] for block in blocks]
        unknown: Counter[str] = Counter()
        openers: set[str] = set()
        for block, labels in zip(blocks, sequences, strict=True):
            unknown.update(label for label in labels if found._told(label) is None and not label[0].islower())
            first = next(iter(found._matches(block)), None)
            if first and not block[: first.start()].strip():
                openers.add(first["label"].strip())
        for label, count in unknown.items():
            if label.casefold() not in _NOT_NAMES and (count > 1 or label in openers):
                found.kinds[label.casefold()] = "other"
                found.others[label] = count
            else:
                found.doubtful[label] = count
        found._choose_user(sequences)
        return found

    @classmethod
    def of_turns(cls, names: SpeakerNames, replies: Sequence[str]) -> SpeakerLabels:
        """Reads the character's turns of a data set, where a record says who speaks and a label may say it again.

        Where the own label stands before some of them, other labels before two or more are other people.
        """
        found = cls(names)
        first = (next(iter(found._matches(reply.lstrip()[:200])), None) for reply in replies)
        openers = Counter(match["label"].strip() for match in first if match and match.start() == 0)
        if any(found._told(label) == "character" for label in openers):
            for label, count in openers.items():
                if found._told(label) is None and count > 1 and label.casefold() not in _NOT_NAMES:
                    found.kinds[label.casefold()] = "other"
        return found

    def split_reply(self, reply: str) -> list[Labelled]:
        """A reply of a data set by its speakers: all of it is the character's unless labels say otherwise."""
        before, parts = self.split(reply)
        if not before.strip() and parts and parts[0].speaker != "narrator":
            return parts
        # A model's log may run on into the user's next line; "You:" alone may well be part of the words.
        cut = [part for part in parts if part.speaker == "user" and part.label.casefold() != "you"]
        if not cut:
            return [Labelled("character", "", reply)]
        at = parts.index(cut[0])
        head = reply[: reply.rfind(cut[0].words)] if cut[0].words else reply
        return [Labelled("character", "", head[: head.rfind(cut[0].label)].rstrip("[*_# \t")), *parts[at:]]

    def _choose_user(self, sequences: Sequence[Sequence[str]]) -> None:
        """Where no line is marked as the user's: whoever is answered most often is the user."""
        if any(self._told(label) == "user" for labels in sequences for label in labels):
            return
        answered: Counter[str] = Counter()
        for labels in sequences:
            known = [label for label in labels if self.kind(label) in ("character", "other")]
            for label, following in pairwise(known):
                if self.kind(label) == "other" and self.kind(following) == "character":
                    answered[label] += 1
        candidates = [label for label, _ in answered.most_common() if not self.names.is_companion(label)]
        if candidates:
            self.user = candidates[0]
            self.kinds[self.user.casefold()] = "user"
            del self.others[self.user]

    def _told(self, label: str) -> Speaker | None:
        """Who speaks by the card and by common words alone; None for a name that was not told."""
        return _told_speaker(self.names, label)

    def kind(self, label: str) -> Speaker | None:
        """Who speaks behind a label; None when it is no speaker but part of the words."""
        return self._told(label) or self.kinds.get(label.casefold())

    def split(self, text: str) -> tuple[str, list[Labelled]]:
        """The words before the first speaker, and what each speaker says, in order."""
        found = [(match, kind) for match in self._matches(text) if (kind := self.kind(match["label"].strip()))]
        parts = []
        for number, (match, kind) in enumerate(found):
            end = found[number + 1][0].start() if number + 1 < len(found) else len(text)
            parts.append(Labelled(kind, match["label"].strip(), text[match.end() : end]))
        return text[: found[0][0].start()] if found else text, parts

    def _matches(self, text: str) -> Iterable[re.Match[str]]:
        return _pattern(self.names).finditer(text)


@lru_cache(maxsize=4096)
def _told_speaker(names: SpeakerNames, label: str) -> Speaker | None:
    """Who speaks behind a label by the names and by common words alone; a long log asks for few labels many times."""
    plain = label.casefold()
    if is_user_macro(label) or (plain in USER_LABELS and not names.is_whole_name(label)):
        return "user"
    if is_character_macro(label) or names.is_character(label):
        return "character"
    if plain in NARRATOR_LABELS:
        return "narrator"
    if names.is_companion(label):
        return "other"
    return "character" if plain in CHARACTER_LABELS else None


@lru_cache(maxsize=64)
def _pattern(names: SpeakerNames) -> re.Pattern[str]:
    """A label with its colon at the start of a line, perhaps in bold, in brackets or behind a `#`."""
    known = sorted({name for name in (names.name, names.nickname) if name}, key=len, reverse=True)
    label = "|".join([*map(re.escape, known), _MACRO, _NAME])
    return re.compile(
        rf"^[ \t]*(?:#+[ \t]*)?(?P<mark>\*\*|__|\*|_|)\[?(?P<label>{label})\]?"
        rf"(?:(?P=mark){_COLON}|{_COLON}(?P=mark))[ \t]*",
        re.IGNORECASE | re.MULTILINE,
    )
