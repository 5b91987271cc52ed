"""Card data as the published specifications of V2 and V3 have it, whatever another program wrote into a field.

An imported card's unknown and unused parts are written back on export, so what is wrong in them would make our export
invalid: a lorebook whose entries are an object, numbers for positions, a date in words. `valid_data` gives every field
its type. What cannot be meant moves to the extensions beside it, under `UNFIT_KEY`, so that nothing is lost; doing it
again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

UNFIT_KEY = "understudy_unfit"
"""Key in `extensions` for values that the specification does not allow where they stood."""
_UNFIT = object()


def valid_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """The `data` of a card with every field of the type that the specifications give; unknown fields stay."""
    return _fitted(data, _FIELDS, data.get("extensions"), {})


def _fitted(
    entries: Mapping[str, Any],
    kinds: Mapping[str, Callable[[Any], Any]],
    extensions: Any,
    defaults: Mapping[str, Any],
) -> dict[str, Any]:
    """The entries with those of known kinds fitted; what does not fit is under `UNFIT_KEY` of the extensions."""
    fitted: dict[str, Any] = dict(defaults)
    kept = dict(extensions) if isinstance(extensions, dict) else {}
    unfit = dict(kept[UNFIT_KEY]) if isinstance(kept.get(UNFIT_KEY), dict) else {}
    if extensions is not None and not isinstance(extensions, dict):
        unfit["extensions"] = extensions
    for key, value in entries.items():
        if key == "extensions":
            continue
        found = kinds[key](value) if key in kinds else value
        if found is not _UNFIT:
            fitted[key] = found
        elif value not in (None, "", [], {}):
            unfit[key] = value
    if unfit:
        kept[UNFIT_KEY] = unfit
    if "extensions" in entries or unfit or "extensions" in defaults:
        fitted["extensions"] = kept
    return fitted


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return str(value) if is_number else _UNFIT


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, list) and all(_text(item) is not _UNFIT for item in value):
        return [_text(item) for item in value]
    return _UNFIT


def _lines(value: Any) -> Any:
    """A list of texts; a single one is not split, since greetings and addresses hold commas."""
    return [value] if isinstance(value, str) and value else _texts(value) if isinstance(value, list) else _UNFIT


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        return _UNFIT
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    return value if isinstance(value, (int, float)) else _UNFIT


def _id(value: Any) -> Any:
    return value if isinstance(value, str) or _number(value) is value else _UNFIT


def _truth(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    words = {"true": True, "false": False, "1": True, "0": False}
    return words.get(str(value).strip().lower(), _UNFIT)


def _position(value: Any) -> Any:
    return value if value in ("before_char", "after_char") else _UNFIT


def _by_language(value: Any) -> Any:
    if not isinstance(value, dict):
        return _UNFIT
    return value if all(len(key) == 2 and isinstance(text, str) for key, text in value.items()) else _UNFIT


def _entry(value: Any, place: int) -> Any:
    if not isinstance(value, dict):
        return _UNFIT
    found = dict(value)
    for theirs, ours in _ENTRY_NAMES:
        if theirs in found and ours not in found:
            found[ours] = found.pop(theirs)
    if "disable" in found and "enabled" not in found and isinstance(found["disable"], bool):
        found["enabled"] = not found.pop("disable")
    missing = {"keys": [], "content": "", "enabled": True, "insertion_order": place, "use_regex": False}
    return _fitted(found, _ENTRY_FIELDS, found.get("extensions"), {**missing, "extensions": {}})


def _entries(value: Any) -> Any:
    listed = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(listed, list):
        return _UNFIT
    found = [_entry(item, place) for place, item in enumerate(listed)]
    return [item for item in found if item is not _UNFIT]


def _book(value: Any) -> Any:
    if not isinstance(value, dict):
        return _UNFIT
    return _fitted(value, _BOOK_FIELDS, value.get("extensions"), {"extensions": {}, "entries": []})


_ENTRY_FIELDS: dict[str, Callable[[Any], Any]] = {
    "keys": _texts,
    "secondary_keys": _texts,
    "content": _text,
    "enabled": _truth,
    "insertion_order": _number,
    "case_sensitive": _truth,
    "use_regex": _truth,
    "constant": _truth,
    "selective": _truth,
    "name": _text,
    "comment": _text,
    "priority": _number,
    "id": _id,
    "position": _position,
}
_ENTRY_NAMES = (
    *(("key", "keys"), ("keysecondary", "secondary_keys"), ("order", "insertion_order")),
    *(("keywords", "keys"), ("entry", "content")),
)
"""The names that SillyTavern's world files and Agnai's books have for the same things."""
_BOOK_FIELDS: dict[str, Callable[[Any], Any]] = {
    "name": _text,
    "description": _text,
    "scan_depth": _number,
    "token_budget": _number,
    "recursive_scanning": _truth,
    "entries": _entries,
}
_FIELDS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        ("creator_notes", "system_prompt", "post_history_instructions", "creator", "character_version", "nickname"),
        _text,
    ),
    "tags": _texts,
    "alternate_greetings": _lines,
    "group_only_greetings": _lines,
    "source": _lines,
    "creation_date": _number,
    "modification_date": _number,
    "creator_notes_multilingual": _by_language,
    "character_book": _book,
}
