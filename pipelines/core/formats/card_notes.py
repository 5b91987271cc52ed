"""What the creator is told about the parts of a card that are kept for export but not taught.

Lorebook, other greetings and instructions: nothing of a card goes without a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pipelines.core.formats.import_notes import note
from pipelines.core.formats.lorebook import LoreEntry
from pipelines.core.problems import Problem

MAX_NAMED = 6
_KNOWN = frozenset(
    (
        *("name", "description", "personality", "scenario", "first_mes", "mes_example", "creator_notes", "nickname"),
        *("system_prompt", "post_history_instructions", "creator", "character_version", "creatorcomment"),
        *("spec", "spec_version", "avatar", "chat", "create_date", "creation_date", "modification_date", "source"),
        *("id", "_id", "uuid", "kind", "type", "userid", "createdat", "updatedat", "visualtype", "culture", "language"),
        *("url", "link", "image", "filename", "file", "version", "folder", "json_data", "owner", "author", "license"),
        *("licence", "created", "updated", "created_at", "updated_at", "visibility", "status", "title"),
    )
)
"""Texts of a card that are taught or told elsewhere, or say nothing about the character."""
_EXTENSION_TEXTS = (("depth_prompt", "prompt"), ("risuai", "additionalText"))
"""Texts inside extensions that their programs put into every prompt."""


def unused_notes(data: dict[str, Any], file: str) -> list[Problem]:
    """Notes on other greetings, instructions and unknown texts of a card's data."""
    notes = []
    for key, one, more in (
        ("alternate_greetings", "other greeting is", "other greetings are"),
        ("group_only_greetings", "greeting for groups is", "greetings for groups are"),
    ):
        count = len(data[key]) if isinstance(data.get(key), list) else 0
        if count:
            message = f"{count} {one if count == 1 else more} kept for export, but not taught."
            notes.append(note(file, message, "Put one into the greeting, or begin conversations with them.", "kept"))
    texts = (data.get(key) for key in ("system_prompt", "post_history_instructions"))
    if any(isinstance(text, str) and text.strip() for text in texts):
        notes.append(
            note(file, "The card's instructions to the model are kept for export, but not taught.", outcome="kept")
        )
    parts = [key for key, text in data.items() if key.lower() not in _KNOWN and _is_words(text)]
    extensions = data.get("extensions")
    for outer, inner in _EXTENSION_TEXTS:
        part = extensions.get(outer) if isinstance(extensions, dict) else None
        parts += [f"{outer}.{inner}"] if isinstance(part, dict) and _is_words(part.get(inner)) else []
    if parts:
        named = ", ".join(repr(part[:40]) for part in parts[:MAX_NAMED]) + (", ..." if len(parts) > MAX_NAMED else "")
        message = f"These texts of the card are kept for export, but not taught: {named}."
        notes.append(note(file, message, "Put into the persona or the looks what the character should know.", "kept"))
    return notes


def _is_words(value: Any) -> bool:
    """Whether a value is a text that says something: no number, date, address or path."""
    return isinstance(value, str) and re.search(r"[^\W\d_]{2}", value) is not None and "://" not in value


def lorebook_notes(entries: Sequence[LoreEntry], file: str) -> list[Problem]:
    """The note on a lorebook's entries of which nothing is taught; empty without any."""
    if not entries:
        return []
    topics = [entry.topic[:40] or "without a title" for entry in entries if entry.constant and entry.enabled]
    named = ", ".join(topics[:MAX_NAMED]) + (", ..." if len(topics) > MAX_NAMED else "")
    always = f"; {len(topics)} of them are in every prompt there: {named}" if topics else ""
    mend = "Write what the character should know as facts: a question and a short answer."
    if topics:
        mend = "Make facts or persona of these: `--lorebook facts`, or the lorebook in step 2 of the studio."
    size = "1 entry" if len(entries) == 1 else f"{len(entries)} entries"
    return [note(file, f"The card's lorebook ({size}) is kept for export, but not taught{always}.", mend, "kept")]
