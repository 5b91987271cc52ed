"""Character files of other programs brought into the shape of a Character Card, before anything of it is read.

Known besides V1 to V3: Pygmalion and text-generation-webui (`char_name`, `context`), Agnai (`persona.attributes`),
Character.AI, older exports of Backyard, and a card inside a list. No field's type is trusted, and an empty field never
hides a filled one of the same name.
"""

from __future__ import annotations

from typing import Any

from pipelines.core.formats.backyard import backyard_export_card
from pipelines.core.formats.character_ai import character_ai_card
from pipelines.core.formats.chat_logs import chat_logs
from pipelines.core.formats.import_notes import refuse
from pipelines.core.formats.lorebook import is_lorebook

TEXT_FIELDS = (
    "name",
    "description",
    "personality",
    "scenario",
    "first_mes",
    "mes_example",
    "creator_notes",
    "system_prompt",
    "post_history_instructions",
    "creator",
    "character_version",
    "nickname",
)
_LISTED_FIELDS = ("description", "personality", "scenario", "creator_notes")
"""Texts that some programs write as a list of lines or as attributes."""
LIST_FIELDS = ("alternate_greetings", "tags", "group_only_greetings")
_OTHER_NAMES = {
    "char_name": "name",
    "char_persona": "description",
    "context": "description",
    "world_scenario": "scenario",
    "char_greeting": "first_mes",
    "greeting": "first_mes",
    "example_dialogue": "mes_example",
    "sampleChat": "mes_example",
}
"""Keys of Pygmalion, text-generation-webui and Agnai, and what a V1 card calls them."""
_OTHER_PARTS = {
    "alternateGreetings": "alternate_greetings",
    "systemPrompt": "system_prompt",
    "postHistoryInstructions": "post_history_instructions",
    "characterBook": "character_book",
}
"""Parts of Agnai that are not in a V1 card, and what a V2 card calls them."""


def as_card(value: Any, file: str) -> Any:
    """The value in the shape of a card, as far as it can be told to be one.

    Raises:
        CharacterProblems: a list of several cards, a chat, or a lorebook.
    """
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        if len(value) > 1:
            refuse(file, f"is a list of {len(value)} cards", "Send one card a file.")
        value = value[0]
    if not isinstance(value, dict):
        return value
    other = backyard_export_card(value) or character_ai_card(value)
    if other is not None:
        return _typed(other)
    _refuse_no_character(value, file)
    if isinstance(value.get("data"), dict):
        return {**value, "data": _typed(_filled(value["data"], value))}
    known = {**value, **_persona_texts(value)}
    if any(key in value for key in _OTHER_NAMES):
        meant = {new: value[old] for old, new in _OTHER_NAMES.items() if _text(value.get(old))}
        known = {
            **meant,
            **{key: item for key, item in known.items() if key not in _OTHER_NAMES and _filled_value(item)},
        }
    for old, new in _OTHER_PARTS.items():
        if _filled_value(known.get(old)) and not _filled_value(known.get(new)):
            known[new] = known.pop(old)
    return _typed(known)


def _refuse_no_character(value: dict[str, Any], file: str) -> None:
    """Refuses what has a name, as a card does, but is none."""
    told = any(_text(value.get(key)) for key in TEXT_FIELDS[1:])
    if chat_logs(value) or (isinstance(value.get("messages"), list) and not told):
        refuse(
            file,
            "is a chat, not a character",
            "Send the character's file; a chat can be added to the character afterwards.",
        )
    if is_lorebook(value) and not any(_text(value.get(key)) for key in ("personality", "scenario", "mes_example")):
        refuse(
            file,
            "is a lorebook, not a character",
            "Send the character's file; a lorebook can be added to the character afterwards.",
        )


def _filled(data: dict[str, Any], outside: dict[str, Any]) -> dict[str, Any]:
    """The data with empty texts taken from beside it, where older programs look for them."""
    missing = {key: outside[key] for key in TEXT_FIELDS if not _text(data.get(key)) and _text(outside.get(key))}
    return {**data, **missing}


def _typed(data: dict[str, Any]) -> dict[str, Any]:
    """The data with the types that the specifications give; what cannot be meant is left to the reader to tell."""
    typed = dict(data)
    for key in TEXT_FIELDS:
        if isinstance(typed.get(key), (int, float)) and not isinstance(typed[key], bool):
            typed[key] = str(typed[key])
        elif key in _LISTED_FIELDS and isinstance(typed.get(key), (list, dict)):
            typed[key] = _in_lines(typed[key]) or typed[key]
    examples = typed.get("mes_example")
    if isinstance(examples, list):
        typed["mes_example"] = "\n<START>\n".join(_text(block) for block in examples) or examples
    greetings = typed.get("first_mes")
    if isinstance(greetings, list):
        told = [_text(item) for item in greetings if _text(item)]
        others = typed.get("alternate_greetings")
        if told:
            typed["first_mes"] = told[0]
            typed["alternate_greetings"] = [*told[1:], *(others if isinstance(others, list) else [])]
    for key in LIST_FIELDS:
        if key in typed:
            listed = typed[key] if isinstance(typed[key], list) else [typed[key]]
            typed[key] = [_text(item) for item in listed if _text(item)]
    if "extensions" in typed and not isinstance(typed["extensions"], dict):
        typed["extensions"] = {}
    return typed


def _persona_texts(value: dict[str, Any]) -> dict[str, str]:
    """The description of an Agnai character, whose persona is a list of attributes; its own is about the character."""
    persona = value.get("persona")
    attributes = persona.get("attributes") if isinstance(persona, dict) else None
    if not isinstance(attributes, dict):
        return {}
    described = _in_lines(attributes)
    if not described:
        return {}
    about = "" if _text(value.get("creator_notes")) else _text(value.get("description"))
    return {"description": described, **({"creator_notes": about} if about else {})}


def _in_lines(value: list[Any] | dict[str, Any]) -> str:
    """The texts of a list, or the attributes of an object ("age: 34"), a line each; "" where there are none."""
    lines = []
    for key, items in value.items() if isinstance(value, dict) else [("text", item) for item in value]:
        if isinstance(items, dict):
            words = ", ".join(_in_lines(items).split("\n"))
        else:
            words = ", ".join(_text(item) for item in (items if isinstance(items, list) else [items]) if _text(item))
        if words:
            lines.append(words if key == "text" else f"{key}: {words}")
    return "\n".join(lines)


def _text(value: Any) -> str:
    """A text or number as text; "" for anything else."""
    is_plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return str(value).strip() if is_plain else ""


def _filled_value(value: Any) -> bool:
    return value not in (None, "", [], {})
