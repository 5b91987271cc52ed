"""Conversations that are uploaded or pasted for a character that is there: read, compared with the draft, and added.

Reading saves nothing: `import_review.py` shows what was read before `add_read` puts it into the draft.
"""

from __future__ import annotations

import json

from pipelines.core.character.character import Character, Interaction
from pipelines.core.character.serialize import character_to_entries
from pipelines.core.formats.card_fields import nickname_of
from pipelines.core.formats.chat_formats import Conversations, with_rejected
from pipelines.core.formats.import_notes import EXAMPLE_CHARS, MAX_EXAMPLES
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.upload_process import read_apart
from studio.actions.drafts import MAX_INTERACTIONS, Draft, change, character_of, entries_of, own_character, refuse_long
from studio.actions.interactions import Turns, speaker_of
from studio.actions.upload_readers import plain_name, read_talks
from studio.context import AppContext

PASTED = "The pasted text"
"""What pasted text is called in notes."""
MAX_DATA_BYTES = 8 * 2**20
"""Largest file of conversations that is taken; a thousand conversations are about 1 MB."""


def read_pasted(context: AppContext, id: str, text: str) -> Conversations:
    """The conversations of pasted text, not added yet; CharacterProblems for none."""
    refuse_long(text, MAX_DATA_BYTES, "pasted text")
    return _read(context, id, text, PASTED, "the character")


def read_file(context: AppContext, id: str, name: str, data: bytes) -> Conversations:
    """The conversations of a file of any known form, not added yet; CharacterProblems for none."""
    name = plain_name(name)
    if len(data) > MAX_DATA_BYTES:
        message = f"{name} is larger than {MAX_DATA_BYTES >> 20} MB."
        raise CharacterProblems([Problem(name, message, "Split it, and send the best part.")])
    return _read(context, id, data, name)


def _read(context: AppContext, id: str, text: bytes | str, source: str, nameless: str = "") -> Conversations:
    # `nameless` is put in the place of `{{char}}` while the character has no name.
    character, _ = character_of(own_character(context, id).draft)
    names = (character.name or nameless, nickname_of(character.extensions))
    return read_apart(read_talks, text, source, *names, file=source)


def fresh_of(draft: Draft, found: Conversations, source: str) -> tuple[list[Turns], list[Problem]]:
    """Those conversations that are not there yet, as many as there is room for, and notes on the others."""
    entries = [entries_of_talk(talk) for talk in found.interactions]
    known = {_same(turns) for turns in entries_of(draft).get("interactions", [])}
    fresh = [turns for turns in entries if _same(turns) not in known]
    room = max(MAX_INTERACTIONS - len(draft.get("interactions", [])), 0)
    notes = list(found.notes)
    if len(fresh) < len(entries):
        twice = [turns for turns in entries if _same(turns) in known]
        message = "conversations that are there already were left out."
        told = tuple(_opening(turns) for turns in twice[:MAX_EXAMPLES])
        notes.append(Problem(source, message, "", "warning", told, outcome="left out", count=len(twice)))
    if len(fresh) > room:
        message = f"{len(fresh) - room:,} conversations were left out: {MAX_INTERACTIONS:,} are the most."
        mend = "Take some out first, or send the best of them."
        notes.append(Problem(source, message, mend, "warning", outcome="left out"))
    return fresh[:room], notes


def entries_of_talk(talk: Interaction) -> Turns:
    """A conversation as the draft has it, without ids."""
    turns: Turns = character_to_entries(Character("", "", interactions=(talk,)))["interactions"][0]
    return turns


def taken_of(found: Conversations, fresh: list[Turns]) -> tuple[Interaction, ...]:
    """Those conversations of an upload that are taken in."""
    taken = {_same(turns) for turns in fresh}
    return tuple(talk for talk in found.interactions if _same(entries_of_talk(talk)) in taken)


def _same(turns: Turns) -> str:
    """Equal for equal conversations: comparing each with each takes minutes for a large file."""
    return json.dumps(turns, sort_keys=True)


def _opening(turns: Turns) -> str:
    words = next((str(turn[speaker_of(turn)]) for turn in turns if turn[speaker_of(turn)]), "")
    return " ".join(words.split())[:EXAMPLE_CHARS]


def add_read(context: AppContext, id: str, found: Conversations, source: str) -> tuple[int, list[Problem]]:
    """Add conversations that were read, and answers that were not chosen; returns how many, and notes."""
    added, notes = 0, list[Problem]()

    def edit(draft: Draft) -> None:
        nonlocal added, notes
        fresh, notes = fresh_of(draft, found, source)
        draft.setdefault("interactions", []).extend(fresh)
        added = len(fresh)
        if found.rejected:
            draft["extensions"] = with_rejected(draft.get("extensions") or {}, found.rejected)

    change(context, id, edit)
    return added, notes
