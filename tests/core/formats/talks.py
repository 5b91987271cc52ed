"""Conversations for tests of readers: records as other programs write them, and how a result is compared."""

from __future__ import annotations

import json

from pipelines.core.character.character import Interaction
from pipelines.core.formats.chat_formats import Conversations, read_conversations


def lines(interactions: tuple[Interaction, ...]) -> list[list[str]]:
    """Each conversation as `u:words` and `c:words`."""
    return [[f"{turn.role[0]}:{turn.text}" for turn in talk] for talk in interactions]


def sharegpt(*turns: tuple[str, str], **more: object) -> dict[str, object]:
    return {"conversations": [{"from": speaker, "value": words} for speaker, words in turns], **more}


def messages(*turns: tuple[str, object], **more: object) -> dict[str, object]:
    return {"messages": [{"role": speaker, "content": words} for speaker, words in turns], **more}


def read(value: object, name: str = "Tola Brask") -> Conversations:
    """What is read of a JSON value, or of a text, for a character of that name."""
    return read_conversations(value if isinstance(value, str) else json.dumps(value), "talks.json", name)


def said(found: Conversations) -> str:
    """All notes in one text."""
    return " ".join(f"{note.said} {note.mend}" for note in found.notes)
