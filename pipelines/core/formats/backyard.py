"""Characters of Backyard AI (formerly Faraday) in the shape of a Character Card.

A Backyard archive (`.byaf`) is a zip of `manifest.json`, `characters/ID/character.json`, its `images/`, and
`scenarios/*.json`; defined in specs/v1 and schemas/v1 of github.com/ahoylabs/byaf. Older exports are a PNG with the
character as base64 of JSON in its EXIF user comment (src/character-image there). What the first scenario says counts;
the greetings of others are kept as other greetings. Chats become conversations, answers that were made again rejected
ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipelines.core.formats.chat_logs import scenario_chat
from pipelines.core.formats.import_notes import refuse, tell
from pipelines.core.formats.json_text import dicts_of, parse_json, text_of
from pipelines.core.formats.turn_fields import RawRecord
from pipelines.core.problems import left_out

MANIFEST = "manifest.json"
_MACROS = (
    (re.compile(r"#\{user\}:", re.IGNORECASE), "{{user}}:"),
    (re.compile(r"#\{character\}:", re.IGNORECASE), "{{char}}:"),
    (re.compile(r"(?<!\{)\{user\}(?!\})", re.IGNORECASE), "{{user}}"),
    (re.compile(r"(?<!\{)\{character\}(?!\})", re.IGNORECASE), "{{char}}"),
)
_TURN = re.compile(r"^\s*(?:\{\{(?:user|char)\}\}|<(?:user|bot)>)\s*:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class BackyardArchive:
    """What an archive holds."""

    card: dict[str, Any]
    """A V3 card whose assets are addressed inside the archive."""
    chats: tuple[RawRecord, ...]


def is_backyard_file(path: str) -> bool:
    """Whether a file of an archive belongs to a Backyard archive."""
    return path == MANIFEST or path.startswith(("characters/", "scenarios/"))


def read_backyard_archive(files: Mapping[str, bytes], file: str, mended: Counter[str]) -> BackyardArchive | None:
    """The character of an unpacked archive; None when its manifest is none of Backyard's.

    Raises:
        CharacterProblems: the manifest or the character cannot be read.
    """
    manifest = _json(files, MANIFEST, file, mended)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("characters"), list):
        return None
    paths = [path for path in manifest["characters"] if isinstance(path, str)]
    listed = manifest.get("scenarios")
    scenarios = [_json(files, path, file, mended) for path in _texts(listed)]
    character = _json(files, paths[0], file, mended) if paths else None
    if not isinstance(character, dict):
        refuse(file, "is a Backyard archive without its character", "Export it again from Backyard.")
    for path in paths[1:]:
        other = _json(files, path, file, mended)
        named = text_of(other, "displayName") or text_of(other, "name") if isinstance(other, dict) else ""
        tell(mended, left_out("other characters in it were not read"), named or path)
    told = [scenario for scenario in scenarios if isinstance(scenario, dict)]
    for scenario in told[1:]:
        if (narrative := text_of(scenario, "narrative")) and narrative != text_of(told[0], "narrative"):
            tell(
                mended,
                left_out("scenes of other scenarios were left out; their greetings and chats were read"),
                narrative,
            )
    author = manifest.get("author")
    card = _card(character, told, author if isinstance(author, dict) else {})
    backgrounds = [path for scenario in told if (path := text_of(scenario, "backgroundImage"))]
    card["assets"] = _assets(character, str(PurePosixPath(paths[0]).parent), backgrounds)
    chats = [scenario_chat(scenario.get("messages")) for scenario in told]
    return BackyardArchive(
        {"spec": "chara_card_v3", "spec_version": "3.0", "data": card}, tuple(chat for chat in chats if chat.turns)
    )


def backyard_export_card(value: dict[str, Any]) -> dict[str, Any] | None:
    """The fields of a card from an older export (`aiName`, `aiPersona`); None when it is none."""
    found = value.get("character")
    if not isinstance(found, dict) or not ("aiPersona" in found or "aiName" in found):
        return None
    character = {"name": found.get("aiName"), "displayName": found.get("aiDisplayName")}
    character |= {"persona": found.get("aiPersona"), "loreItems": found.get("loreItems")}
    scenario = {
        "narrative": found.get("scenario"),
        "formattingInstructions": found.get("basePrompt"),
        "firstMessages": [{"text": found.get("firstMessage")}],
        "exampleMessages": [{"text": found.get("customDialogue")}],
    }
    return _card(character, [scenario], {})


def _card(character: Mapping[str, Any], scenarios: list[dict[str, Any]], author: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a V3 card; `name` there is what the character is called, `displayName` the whole name."""
    first = scenarios[0] if scenarios else {}
    name = text_of(character, "displayName") or text_of(character, "name")
    greetings = [_first_message(scenario) for scenario in scenarios]
    data: dict[str, Any] = {
        "name": name,
        "nickname": "" if text_of(character, "name") == name else text_of(character, "name"),
        "description": _resolved(text_of(character, "persona")),
        "scenario": _resolved(text_of(first, "narrative")),
        "first_mes": greetings[0] if greetings else "",
        "alternate_greetings": [greeting for greeting in greetings[1:] if greeting],
        "mes_example": "\n".join(dict.fromkeys(_examples(scenario) for scenario in scenarios)).strip(),
        "system_prompt": _resolved(text_of(first, "formattingInstructions")),
        "creator": text_of(author, "name"),
        "creator_notes": text_of(author, "backyardURL"),
    }
    book = [
        {
            "keys": [key.strip() for key in text_of(item, "key").split(",") if key.strip()],
            "content": _resolved(text_of(item, "value")),
            "extensions": {},
            "enabled": True,
            "insertion_order": number,
            "use_regex": False,
        }
        for number, item in enumerate(dicts_of(character.get("loreItems")))
    ]
    return data | ({"character_book": {"entries": book, "extensions": {}}} if book else {})


def _first_message(scenario: Mapping[str, Any]) -> str:
    return next((_resolved(text_of(said, "text")) for said in dicts_of(scenario.get("firstMessages"))), "")


def _examples(scenario: Mapping[str, Any]) -> str:
    """The examples of a scenario as `<START>` blocks; what has no speaker is the character's."""
    texts = [_resolved(text_of(said, "text")) for said in dicts_of(scenario.get("exampleMessages"))]
    return "\n".join(f"<START>\n{text if _TURN.search(text) else f'{{{{char}}}}: {text}'}" for text in texts if text)


def _assets(character: Mapping[str, Any], folder: str, backgrounds: list[str]) -> list[dict[str, str]]:
    """The pictures of an archive as a card lists them; a label says what varies."""
    assets: list[dict[str, str]] = []
    for image in dicts_of(character.get("images")):
        if path := text_of(image, "path"):
            kind, name = ("emotion", text_of(image, "label")) if assets else ("icon", "main")
            assets.append({"type": kind, "name": name, "ext": "png", "uri": f"embeded://{folder}/{path}"})
    scenes = [{"type": "background", "name": "", "ext": "png", "uri": f"embeded://{path}"} for path in backgrounds]
    return assets + scenes


def _json(files: Mapping[str, bytes], path: str, file: str, mended: Counter[str]) -> Any:
    if path in files:
        try:
            return parse_json(files[path].decode("utf-8-sig", "replace"), file)
        except ValueError:
            mended[left_out("parts that are not JSON were left out")] += 1
    return None


def _resolved(text: str) -> str:
    """The text with the macros that cards have."""
    for pattern, macro in _MACROS:
        text = pattern.sub(macro, text)
    return text


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
