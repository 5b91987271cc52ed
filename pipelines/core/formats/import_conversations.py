"""Files of conversations into the folder of a character that is there, and telling them from characters.

Conversations that the character has already are left out, and answers that were not chosen are kept among its
extensions.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from pipelines.core.character.character import Character, Interaction
from pipelines.core.character.character_folder import read_character, write_character
from pipelines.core.character.text_pictures import with_clean_texts
from pipelines.core.decode_text import decode_text
from pipelines.core.formats.card_fields import nickname_of
from pipelines.core.formats.card_files import MAX_TEXT_BYTES, read_bytes
from pipelines.core.formats.chat_formats import Conversations, read_conversations, with_rejected
from pipelines.core.formats.import_notes import Mended, notes_from, refuse
from pipelines.core.formats.json_text import parse_json
from pipelines.core.problems import Problem, left_out
from pipelines.core.words import normalized_words

CONVERSATION_SUFFIXES = (".json", ".jsonl", ".ndjson", ".txt", ".md", ".log")
"""Endings of files that are read as conversations for a character that is there."""

MAX_LINES = 200_000
"""Most lines of a file of conversations: 8 MB of them as people write them have 140,000."""


def refuse_endless(text: str, file: str) -> None:
    """Refuses a text by its lines, before any of them is read; CharacterProblems."""
    if text.count("\n") > MAX_LINES:
        refuse(file, f"has more than {MAX_LINES:,} lines", "Split it, and send the best part.")


def holds_conversations(source: Path, data: bytes) -> bool:
    """Whether a file is conversations rather than a card; a list may hold either."""
    suffix = source.suffix.lower()
    if suffix != ".json" and suffix in CONVERSATION_SUFFIXES:
        return True
    if not re.match(rb"\s*\[", data):
        return re.match(rb"\s*\{\s*\"(conversations?|messages)\"", data) is not None
    try:
        listed = parse_json(decode_text(data, source.name)[0], source.name)
    except ValueError:
        return False
    cards = [item for item in listed if isinstance(item, dict) and {"spec", "char_name", "first_mes"} & set(item)]
    return not listed or len(cards) < len(listed)


def add_conversations(source: Path, folder: Path) -> list[Problem]:
    """Adds the conversations of a file to the character of a folder, those it has already left out."""
    character = read_character(folder)
    if source.is_dir() or source.suffix.lower() not in CONVERSATION_SUFFIXES:
        refuse(
            folder.name,
            "holds a character already",
            f"Choose a new folder, or send conversations ({', '.join(CONVERSATION_SUFFIXES)}).",
        )
    found = _conversations(source, character)
    known = {_duplicate_key(interaction) for interaction in character.interactions}
    new = []
    for interaction in found.interactions:
        if _duplicate_key(interaction) not in known:
            known.add(_duplicate_key(interaction))
            new.append(interaction)
    mended: Counter[str] = Mended()
    if len(new) < len(found.interactions):
        mended[left_out("conversations that are there already were left out")] += len(found.interactions) - len(new)
    character = replace(character, interactions=character.interactions + tuple(new))
    extensions = with_rejected(character.extensions, found.rejected)
    write_character(with_clean_texts(replace(character, extensions=extensions)), folder)
    return found.notes + notes_from(mended, source.name)


def _conversations(source: Path, character: Character) -> Conversations:
    """The conversations of a file, whichever of the known forms it has."""
    data = read_bytes(source, source.name)
    if len(data) > MAX_TEXT_BYTES:
        refuse(source.name, f"is larger than {MAX_TEXT_BYTES >> 20} MB", "Split it.")
    text, notes = decode_text(data, source.name)
    refuse_endless(text, source.name)
    found = read_conversations(text, source.name, character.name, nickname_of(character.extensions))
    return replace(found, notes=notes + found.notes)


def _duplicate_key(interaction: Interaction) -> tuple[str, ...]:
    return tuple(normalized_words(message.text) for message in interaction)
