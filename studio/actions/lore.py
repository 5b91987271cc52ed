"""The lorebook of a character in step 2: all of its entries shown, those that the creator chooses taught.

Entries are named by a hash of what they say, since their places may have changed in another tab.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pipelines.core.formats.import_notes import notes_from
from pipelines.core.formats.lorebook import LoreEntry
from pipelines.core.formats.teach_lore import LoreUse, added_book, lore_of, lore_words, taught_as, teach
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.upload_process import read_apart
from studio.actions.drafts import Draft, change, character_of, content_hash, short_id
from studio.actions.upload_readers import plain_name, read_book
from studio.context import AppContext

MAX_BOOK_BYTES = 8 * 2**20


@dataclass(frozen=True)
class LoreView:
    """One entry as the page shows it."""

    id: str
    entry: LoreEntry
    words: str
    """What it says, with names for macros."""
    taught: LoreUse
    """ "keep" while nothing is learned of it."""


def lore_views(draft: Draft) -> list[LoreView]:
    """All entries, those first that are in every prompt of the program that made them; each content once."""
    character, _ = character_of(draft)
    entries = {content_hash(asdict(entry)): entry for entry in lore_of(character.extensions)}
    views = [
        LoreView(id, entry, lore_words(character, entry), taught_as(character, entry)) for id, entry in entries.items()
    ]
    return sorted(views, key=lambda view: not (view.entry.constant and view.entry.enabled))


def take(context: AppContext, id: str, entries: Sequence[str], use: LoreUse) -> None:
    """Make facts or persona of the entries with these ids; those that are learned already stay as they are."""

    def edit(draft: Draft) -> None:
        chosen = [view.entry for view in lore_views(draft) if view.id in entries and view.taught == "keep"]
        character, _ = character_of(draft)
        taught = teach(character, chosen, use, Counter())
        draft["persona"] = taught.persona
        fresh = [fact for fact in taught.facts if fact not in character.facts]
        draft.setdefault("facts", []).extend({**asdict(fact), "id": short_id()} for fact in fresh)

    change(context, id, edit)


def upload(context: AppContext, id: str, name: str, data: bytes) -> list[Problem]:
    """Add the lorebook of a file of its own; returns notes. CharacterProblems for anything else."""
    name = plain_name(name)
    if len(data) > MAX_BOOK_BYTES:
        mend = "Take entries out that are not needed."
        raise CharacterProblems([Problem(name, f"{name} is larger than {MAX_BOOK_BYTES >> 20} MB.", mend)])
    book, notes = read_apart(read_book, data, name, file=name)
    mended: Counter[str] = Counter()

    def edit(draft: Draft) -> None:
        character, _ = added_book(character_of(draft)[0], book, "keep", mended)
        draft["extensions"] = json.loads(json.dumps(character.extensions))

    change(context, id, edit)
    return notes + notes_from(mended, name)
