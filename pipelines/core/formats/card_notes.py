"""What the creator is told about the parts of a card that are kept for export but not taught.

Lorebook, other greetings and instructions: nothing of a card goes without a word.
"""

from __future__ import annotations

from typing import Any

from pipelines.core.formats.import_notes import note
from pipelines.core.problems import Problem


def unused_notes(data: dict[str, Any], file: str) -> list[Problem]:
    """Notes on lorebook, other greetings and instructions of a card's data."""
    notes = []
    book = data.get("character_book")
    entries = book.get("entries") if isinstance(book, dict) else None
    if isinstance(entries, (list, dict)) and entries:  # some programs write an object of numbered entries
        notes.append(
            note(
                file,
                f"The card's lorebook ({len(entries)} entries) is kept for export, but not taught.",
                "Write what the character should know as facts: a question and a short answer.",
            )
        )
    for key, what in (("alternate_greetings", "other greetings"), ("group_only_greetings", "greetings for groups")):
        count = len(data[key]) if isinstance(data.get(key), list) else 0
        if count:
            message = f"{count} {what} are kept for export, but not taught."
            notes.append(note(file, message, "Put one into the greeting, or begin conversations with them."))
    texts = (data.get(key) for key in ("system_prompt", "post_history_instructions"))
    if any(isinstance(text, str) and text.strip() for text in texts):
        notes.append(note(file, "The card's instructions to the model are kept for export, but not taught."))
    return notes
