"""Example conversations as Character Cards write them: `<START>` blocks of `{{user}}:` and `{{char}}:` lines.

`read_blocks` turns such text into interactions, `write_blocks` is the way back (without scenes and pictures, for which
the form has no place), and `SpeakerNames` resolves names and macros. `settle_turns` brings the turns of any source
into the order that training needs (user first, character last); the formats of `chat_formats.py` use it too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipelines.core.character.character import Interaction, Role, message

DEFAULT_USER_LINE = "Hello."
"""What the user is taken to have said where a sample holds only the character's words."""

_START = re.compile(r"<start>", re.IGNORECASE)
_COMMENT = re.compile(r"\{\{(?://|comment:)[^{}]*\}\}", re.IGNORECASE)
_USER = re.compile(r"\{\{user\}\}|<user>", re.IGNORECASE)
_USER_POSSESSIVE = re.compile(rf"(?:{_USER.pattern})['\u2019]s\b", re.IGNORECASE)  # -> your
_CHARACTER = re.compile(r"\{\{char\}\}|<bot>|<char>", re.IGNORECASE)
_USER_PREFIX = r"\{\{user\}\}|<user>|user|you"
_CHARACTER_PREFIX = r"\{\{char\}\}|<bot>|<char>"


@dataclass(frozen=True)
class BlockTurn:
    """One turn as it stands in the source, before `settle_turns` makes a `Message` of it."""

    role: Role
    text: str
    scene: str = ""
    image: str = ""
    """File name of one picture; empty for none."""


@dataclass(frozen=True)
class SpeakerNames:
    """The names behind the macros of one card."""

    name: str
    nickname: str = ""
    """V3 only: stands for `{{char}}` instead of the name."""

    def resolve_in_speech(self, text: str) -> str:
        """The text of a turn or greeting: `{{char}}` becomes the name, `{{user}}` becomes "you"."""
        text = _USER_POSSESSIVE.sub("your", text)
        return self._resolve(text, "you")

    def resolve_in_description(self, text: str) -> str:
        """The text of a description or scenario: `{{char}}` becomes the name, `{{user}}` becomes "the user"."""
        return self._resolve(text, "the user")

    def _resolve(self, text: str, user: str) -> str:
        text = _COMMENT.sub("", text)
        text = _CHARACTER.sub(lambda _: self.nickname or self.name, text)
        return _USER.sub(user, text).strip()

    def prefix(self) -> re.Pattern[str]:
        """A pattern for `Name:` at the start of a line; the groups `user` and `character` say who speaks."""
        # Examples often use the first name alone; a single letter would match too much, unless it is the whole name.
        first = self.name.split()[0] if self.name.split() else ""
        names = {name for name in (self.name, self.nickname, first) if len(name) > 1 or name == self.name}
        literal = "|".join(re.escape(name) for name in sorted(names - {""}, key=len, reverse=True))
        character = f"{_CHARACTER_PREFIX}|{literal}" if literal else _CHARACTER_PREFIX
        return re.compile(
            rf"^[ \t]*(?:(?P<character>{character})|(?P<user>{_USER_PREFIX}))[ \t]*[:\uff1a][ \t]*",  # \uff1a: Chinese
            re.IGNORECASE | re.MULTILINE,
        )


def read_blocks(text: str, speakers: SpeakerNames) -> tuple[tuple[Interaction, ...], Counter[str]]:
    """Conversations of `<START>` blocks, and how often something had to be mended (sentence -> count).

    A turn runs to the next speaker's prefix at the start of a line, so it may span lines. Words before
    the first prefix of a block belong to nobody and are left out.
    """
    prefix = speakers.prefix()
    mended: Counter[str] = Counter()
    interactions = []
    for block in _START.split(text.replace("\r\n", "\n")):
        if not block.strip():
            continue
        found = list(prefix.finditer(block))
        if not found:
            mended["left out: no line begins with {{user}}: or {{char}}:"] += 1
            continue
        if block[: found[0].start()].strip():
            mended["words before the first speaker were left out"] += 1
        turns = []
        for match, following in zip(found, [*found[1:], None], strict=True):
            words = block[match.end() : following.start() if following else len(block)]
            turns.append(BlockTurn("character" if match["character"] else "user", speakers.resolve_in_speech(words)))
        settled = settle_turns(turns, mended)
        if settled:
            interactions.append(settled)
    return tuple(interactions), mended


def write_blocks(interactions: Iterable[Interaction]) -> str:
    """Interactions as `<START>` blocks with the macros for names; scenes and pictures are left out."""
    lines = []
    for interaction in interactions:
        lines.append("<START>")
        for turn in interaction:
            if turn.role != "system":
                speaker = "{{char}}" if turn.role == "character" else "{{user}}"
                lines.append(f"{speaker}: {turn.text}")
    return "\n".join(lines)


def settle_turns(turns: Iterable[BlockTurn], mended: Counter[str]) -> Interaction:
    """The turns as an interaction: user first, in turn, the character last; () if nothing is left.

    Each change is counted in `mended` under a sentence that the creator can read.
    """
    kept: list[BlockTurn] = []
    for turn in turns:
        text = turn.text.strip()
        if turn.role == "system":
            mended["system instructions were left out: persona and scenario take their place"] += 1
        elif not text:
            mended["empty turns were left out"] += 1
        elif kept and kept[-1].role == turn.role:
            mended["turns of the same speaker in a row were joined"] += 1
            last = kept[-1]
            joined = f"{last.text}\n{text}"
            kept[-1] = BlockTurn(turn.role, joined, last.scene or turn.scene, last.image or turn.image)
        else:
            kept.append(replace(turn, text=text))
    if kept and kept[-1].role == "user":
        mended["a last line of the user without a reply was left out"] += 1
        kept.pop()
    if not kept:
        mended["conversations in which the character says nothing were left out"] += 1
        return ()
    if kept[0].role == "character" and len(kept) > 1:
        mended["the character's opening words were left out: they belong in the greeting"] += 1
        kept = kept[1:]
    elif kept[0].role == "character":
        mended[f"only the character speaks: the user is taken to have said {DEFAULT_USER_LINE!r}"] += 1
        kept.insert(0, BlockTurn("user", DEFAULT_USER_LINE))
    return tuple(message(turn.role, turn.text, filter(None, [turn.image]), turn.scene) for turn in kept)
