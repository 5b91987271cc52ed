"""Lorebooks: what a card or a file of its own tells about a character's world, entry by entry.

An entry is put into a prompt when one of its keys is said; a constant one always is. What is taught of it is decided in
`teach_lore.py`; here it is read. Known besides V2 and V3 books (`character_book`): SillyTavern's world info, RisuAI
(`type: risu`), Agnai (`kind: memory`) and NovelAI (`lorebookVersion`), as public/scripts/world-info.js of SillyTavern
reads them. V3's decorators `@@constant` and `@@dont_activate` count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_DECORATOR = re.compile(r"^@@+(?P<name>\w+)[^\n]*(?:\n|\Z)", re.MULTILINE)


@dataclass(frozen=True)
class LoreEntry:
    """One entry, whatever program wrote it."""

    title: str
    keys: tuple[str, ...]
    content: str
    """Without decorators; macros as they were."""
    constant: bool
    """It is in every prompt there, so it belongs to who the character is."""
    enabled: bool

    @property
    def topic(self) -> str:
        """What it is about: its title, else its first key."""
        return self.title or next(iter(self.keys), "")


def read_entries(book: Any) -> list[LoreEntry]:
    """The entries of a lorebook of any known form; [] for anything else."""
    if isinstance(book, dict) and book.get("spec") == "lorebook_v3":
        book = book.get("data")
    listed = book.get("entries", book.get("data")) if isinstance(book, dict) else None
    values = list(listed.values()) if isinstance(listed, dict) else listed if isinstance(listed, list) else []
    entries = [_entry(value) for value in values if isinstance(value, dict)]
    return [entry for entry in entries if entry.content]


def is_lorebook(value: Any) -> bool:
    """Whether a JSON value is a lorebook of its own."""
    if not isinstance(value, dict) or any(key in value for key in ("first_mes", "char_name")):
        return False
    told = value.get("type") == "risu" or value.get("spec") == "lorebook_v3"
    is_book = told or (isinstance(value.get("entries"), (list, dict)) and "spec" not in value)
    return is_book and bool(read_entries(value))


def _entry(value: Mapping[str, Any]) -> LoreEntry:
    text = _text(value, "content", "entry", "text")
    decorators = {match["name"].lower() for match in _DECORATOR.finditer(text)}
    off = value.get("enabled") is False or value.get("disable") is True or "dont_activate" in decorators
    always = any(value.get(key) is True for key in ("constant", "alwaysActive", "forceActivation"))
    return LoreEntry(
        _text(value, "comment", "name", "displayName"),
        tuple(_keys(value)),
        _DECORATOR.sub("", text).strip(),
        always or "constant" in decorators,
        not off,
    )


def _keys(value: Mapping[str, Any]) -> Iterable[str]:
    keys: Any = next((value[key] for key in ("keys", "key", "keywords") if value.get(key)), [])
    listed = keys.split(",") if isinstance(keys, str) else keys if isinstance(keys, list) else []
    return (str(key).strip() for key in listed if isinstance(key, (str, int)) and str(key).strip())


def _text(value: Mapping[str, Any], *keys: str) -> str:
    return next((value[key].strip() for key in keys if isinstance(value.get(key), str) and value[key].strip()), "")
