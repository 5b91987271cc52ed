"""Characters of Character.AI in the shape of a Character Card.

Its site hands out a character as JSON (`{"character": {...}}`, with its chats `{"info": {"character": {...}},
"histories": ...}`): name, title, description, greeting, definition. The definition is free text (Character Book,
"Definition", book.character.ai/character-book/character-attributes/definition): what stands before the first line of a
speaker describes the character, the rest is dialogue, parted by END_OF_DIALOG, with `{{random_user_1}}` for anybody.
"""

from __future__ import annotations

import re
from typing import Any

from pipelines.core.formats.json_text import text_of
from pipelines.core.formats.speaker_labels import SpeakerLabels, SpeakerNames

_END = re.compile(r"^[ \t]*END_OF_DIALOG(?:UE)?[ \t]*$", re.MULTILINE)
_KEYS = ("definition", "greeting", "title", "description")


def character_ai_card(value: dict[str, Any]) -> dict[str, Any] | None:
    """The fields of a V1 card from a character of Character.AI; None when it is none."""
    info = value.get("info")
    outer = info if isinstance(info, dict) else value
    found = outer.get("character")
    if not isinstance(found, dict):
        found = value if "definition" in value and not isinstance(value.get("data"), dict) else None
    if found is None or not any(isinstance(found.get(key), str) for key in _KEYS):
        return None
    name = text_of(found, "name") or text_of(found, "participant__name")
    told, dialogue = split_definition(text_of(found, "definition"), name)
    about = [text_of(found, "title"), text_of(found, "description"), told]
    return {
        "name": name,
        "description": "\n".join(dict.fromkeys(text for text in about if text)),
        "first_mes": text_of(found, "greeting"),
        "mes_example": dialogue,
        "creator": text_of(found, "user__username"),
    }


def split_definition(definition: str, name: str) -> tuple[str, str]:
    """What a definition tells about the character, and its dialogue, with `<START>` before each conversation."""
    blocks = [block.strip() for block in _END.split(definition) if block.strip()]
    labels = SpeakerLabels.of_blocks(SpeakerNames(name), blocks)
    told, dialogues = [], []
    for block in blocks:
        start = _dialogue_start(block, labels)
        told += [block[:start].strip()] if block[:start].strip() else []
        dialogues += [block[start:].strip()] if block[start:].strip() else []
    return "\n".join(told), "".join(f"<START>\n{dialogue}\n" for dialogue in dialogues)


def _dialogue_start(block: str, labels: SpeakerLabels) -> int:
    """Where dialogue begins: at the user's or the character's first line, or at who it answers.

    "Likes: tea" above it is a description, although it looks like a speaker.
    """
    before, parts = labels.split(block)
    spoken = [part.speaker in ("user", "character") for part in parts]
    if True not in spoken:
        return len(block)
    first = spoken.index(True)
    if first and parts[first].speaker == "character" and labels.others[parts[first - 1].label] > 1:
        first -= 1
    at = len(before)
    for part in parts[:first]:
        at = block.index(part.words, at) + len(part.words)
    return at
