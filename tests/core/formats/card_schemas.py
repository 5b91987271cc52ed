"""JSON schemas of Character Cards V2 and V3, after the TypeScript types of the two published specifications.

V2: github.com/malfoyslastname/character-card-spec-v2, `spec_v2.md`. V3: github.com/kwaroran/character-card-spec-v3,
`SPEC_V3.md`. Beside the types they hold what V3 says in words: addresses, endings and types of assets, one main icon.
`errors_of` validates; with `is_own` no field may stand in a card that the specification does not name.
"""

from __future__ import annotations

import copy
from typing import Any

from jsonschema import Draft202012Validator

TEXT, TEXTS, OBJECT, NUMBER = (
    {"type": "string"},
    {"type": "array", "items": {"type": "string"}},
    {"type": "object"},
    {"type": "number"},
)
TRUTH = {"type": "boolean"}
V1_TEXTS = ("name", "description", "personality", "scenario", "first_mes", "mes_example")
V2_TEXTS = (*V1_TEXTS, "creator_notes", "system_prompt", "post_history_instructions", "creator", "character_version")

ENTRY: dict[str, Any] = {
    "type": "object",
    "required": ["keys", "content", "extensions", "enabled", "insertion_order"],
    "properties": {
        "keys": TEXTS,
        "content": TEXT,
        "extensions": OBJECT,
        "enabled": TRUTH,
        "insertion_order": NUMBER,
        "case_sensitive": TRUTH,
        "name": TEXT,
        "priority": NUMBER,
        "id": {"type": ["number", "string"]},  # V3's type says number, its words say string
        "comment": TEXT,
        "selective": TRUTH,
        "secondary_keys": TEXTS,
        "constant": TRUTH,
        "position": {"enum": ["before_char", "after_char"]},
        "use_regex": TRUTH,
    },
}
BOOK: dict[str, Any] = {
    "type": "object",
    "required": ["extensions", "entries"],
    "properties": {
        "name": TEXT,
        "description": TEXT,
        "scan_depth": NUMBER,
        "token_budget": NUMBER,
        "recursive_scanning": TRUTH,
        "extensions": OBJECT,
        "entries": {"type": "array", "items": ENTRY},
    },
}
V2_DATA: dict[str, Any] = {
    "type": "object",
    "required": [*V2_TEXTS, "alternate_greetings", "tags", "extensions"],
    "properties": {
        **dict.fromkeys(V2_TEXTS, TEXT),
        "alternate_greetings": TEXTS,
        "tags": TEXTS,
        "extensions": OBJECT,
        "character_book": BOOK,
    },
}
ASSET: dict[str, Any] = {
    "type": "object",
    "required": ["type", "uri", "name", "ext"],
    "properties": {
        "type": {"type": "string", "pattern": "^(icon|background|user_icon|emotion|other|x_.+)$"},
        "uri": {"type": "string", "pattern": "^(https?://|data:[^,]*;base64,|embeded://|ccdefault:$)"},
        "name": TEXT,
        "ext": {"type": "string", "pattern": "^[a-z0-9]+$"},
    },
}
MAIN_ICON = {"type": "object", "properties": {"type": {"const": "icon"}, "name": {"const": "main"}}}
V3_DATA: dict[str, Any] = copy.deepcopy(V2_DATA)
V3_DATA["required"].append("group_only_greetings")
V3_DATA["properties"]["character_book"]["properties"]["entries"]["items"]["required"].append("use_regex")
V3_DATA["properties"] |= {
    "assets": {"type": "array", "items": ASSET, "contains": MAIN_ICON, "minContains": 0, "maxContains": 1},
    "nickname": TEXT,
    "creator_notes_multilingual": {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z]{2}$"},
        "additionalProperties": TEXT,
    },
    "source": TEXTS,
    "group_only_greetings": TEXTS,
    "creation_date": NUMBER,
    "modification_date": NUMBER,
}


def card_schema(version: int, is_own: bool = False) -> dict[str, Any]:
    """The schema of a whole card; `is_own` allows only fields that the specification names."""
    data = copy.deepcopy(V3_DATA if version == 3 else V2_DATA)
    if is_own:
        data["additionalProperties"] = False
    return {
        "type": "object",
        "required": ["spec", "spec_version", "data"],
        "properties": {
            "spec": {"const": f"chara_card_v{version}"},
            "spec_version": {"const": f"{version}.0"},
            "data": data,
        },
        "additionalProperties": not is_own,
    }


def errors_of(card: Any, version: int, is_own: bool = False) -> list[str]:
    """What in a card is not as the specification of that version has it."""
    found = Draft202012Validator(card_schema(version, is_own)).iter_errors(card)
    return [f"{error.json_path}: {error.message[:200]}" for error in found]
