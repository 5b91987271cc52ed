"""Empty lines as the ends of conversations, in a text that has no other mark between them.

Whoever writes a file of examples puts an empty line between one exchange and the next; a chat that was copied has one
between all of its lines, or none. So empty lines part where they stand before the user's lines and not before the
character's. What opens with the character, as chats do, or has a `<START>`, stays whole; either can be read the other
way, and is told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from pipelines.core.problems import changed

MAX_STRAYS = 10
"""Of so many parts one may be out of order: an answer behind an empty line, a question without one."""
_NUMBERED = (
    r"(?:example|conversation|dialog(?:ue)?|exchange|chat|sample|scene|talk|beispiel|gespr\u00e4ch|exemple|ejemplo|"
    r"dialogo|di\u00e1logo|conversaci\u00f3n)[ \t]*#?\d{1,4}"
)
TITLE = re.compile(_NUMBERED, re.IGNORECASE)
"""What conversations of a file are called where they are numbered: "Conversation 2"."""
TITLED = re.compile(
    rf"\n[ \t]*\n[ \t]*(?:#{{1,6}}[ \t]+[^\n]{{1,80}}|[*_#\[(]{{0,3}}{_NUMBERED}[.:)\]*_]{{0,3}})\s*\Z", re.IGNORECASE
)
"""The title of the next conversation behind the last words of one: that, or a heading ("## At the pier")."""
PARTED = changed(
    "empty lines were taken as the ends of conversations",
    "If all of it is one conversation, write <START> on a line before the first.",
)
NOT_PARTED = changed(
    "empty lines before the user's lines were taken as part of one conversation",
    "If they divide it, write <START> in place of each, or take the opening words and any other <START> out.",
)

T = TypeVar("T")


def is_blank(space: str) -> bool:
    """Whether what stands before a line ends with an empty line."""
    return space[len(space.rstrip()) :].count("\n") > 1


def part(
    turns: Sequence[T],
    roles: Sequence[str],
    is_after_blank: Sequence[bool],
    wanted: bool | None,
    is_marked: bool,
    told: Counter[str],
) -> list[list[T]]:
    """The conversations of a text, and in `told` where empty lines could mean either.

    roles: of each turn "user", "character", or anything else; is_after_blank: whether an empty line stands before it.
    wanted: whether empty lines part, None where the text itself has to say; is_marked: it has a mark of its own.
    """
    starts = _starts(roles, is_after_blank)
    if not starts:
        return [list(turns)]
    parts = is_marked is False and roles[0] != "character" if wanted is None else wanted
    told[PARTED if parts else NOT_PARTED] += len(starts)
    if not parts:
        return [list(turns)]
    return [list(turns[start:end]) for start, end in zip([0, *starts], [*starts, len(turns)], strict=True)]


def _starts(roles: Sequence[str], is_after_blank: Sequence[bool]) -> list[int]:
    """The places of turns that begin a conversation behind an empty line; [] where empty lines part nothing."""
    starts: list[int] = []
    strays = answered = 0
    has_said = has_answer = False  # in the part that is being read: an instruction alone is no conversation
    for place, (role, is_after) in enumerate(zip(roles, is_after_blank, strict=True)):
        if is_after and role == "character":
            strays += bool(place)
        elif is_after and has_said:
            starts.append(place)
            answered += has_answer
            has_said = has_answer = False
        has_said = has_said or role in ("user", "other", "character")
        has_answer = has_answer or role == "character"
    parts = len(starts) + 1
    answered += has_answer
    is_clear = answered > 1 and (strays + parts - answered) * MAX_STRAYS <= parts
    return starts if is_clear else []
