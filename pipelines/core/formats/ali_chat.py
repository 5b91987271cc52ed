"""Conversations inside the description of a card (Ali:Chat), with `<START>` before them or without.

Other programs send the description with every prompt, so that its conversations teach the voice; here they are learned
and only the rest describes the character.
"""

from __future__ import annotations

import re

from pipelines.core.character.macros import is_character_macro, is_user_macro
from pipelines.core.formats.label_lines import label_lines

_TAIL = re.compile(r"\n[^\S\n]*\n(?=[^\S\n]*\[)|\n(?=[^\S\n]*\[[^\[\]\n]*[:=][^\[\]\n]*\][^\S\n]*(?:\n|\Z))")
"""Where a description goes on behind the last reply: at notes in brackets."""


def split_description(text: str) -> tuple[str, str]:
    """What describes the character, and the conversations.

    Without `<START>`, lines of both `{{user}}:` and `{{char}}:` begin the conversations; the paragraph of the last of
    them ends them.
    """
    described, start, told = text.partition("<START>")
    if start:
        talk, tail = _without_tail(told)
        return _joined(described, tail), f"{start}{talk}"
    lines = [line for line in label_lines(text, ()) if is_user_macro(line.label) or is_character_macro(line.label)]
    asked = [line for line in lines if is_user_macro(line.label)]
    if not asked or len(asked) == len(lines):
        return text, ""
    first, last = lines[0], lines[-1]
    end = last.end + len(text[last.end :].partition("\n\n")[0])
    talk, tail = _without_tail(text[first.start : end])
    return _joined(text[: first.start], tail, text[end:]), f"<START>\n{talk}"


def _without_tail(talk: str) -> tuple[str, str]:
    lines = label_lines(talk, ())
    last = lines[-1].end if lines else len(talk)
    cut = _TAIL.search(talk, last)
    return (talk[: cut.start()], talk[cut.end() :]) if cut else (talk, "")


def _joined(*parts: str) -> str:
    return "\n".join(part.strip() for part in parts if part.strip())
