"""What an importer says: a refusal, a note about one thing, and counted notes about what was changed or left out.

Readers count each kind of change in a `Counter` under a sentence for the creator; `notes_from` makes warnings of it.
"""

from __future__ import annotations

from collections import Counter
from typing import NoReturn

from pipelines.core.problems import CharacterProblems, Problem


def refuse(file: str, message: str, mend: str) -> NoReturn:
    """Raise `CharacterProblems` with one problem about the file; `message` goes on after the file's name."""
    raise CharacterProblems([Problem(file, f"{file} {message}.", mend)])


NOTHING_TO_DO = "Nothing to do, unless it matters to you."
_MENDS = {
    "left out: no line begins": "Begin each turn with {{user}}: or {{char}}:, or with a name and a colon.",
    "turns of an unknown speaker": "If one of them is the character, call it by its whole name in the file.",
    "somebody else speaks": "If one of them is the character, call it by its whole name in the file.",
    "lines were taken as part": "If somebody else says them, take them out of the reply.",
    "turns without words": "Put the words under `content`.",
    "lines that are not JSON": "Look at those lines if they matter: each must be one whole JSON object.",
    "conversations with other characters": "Import them into the folders of those characters.",
    "pictures that are listed": "Correct their names under `images:`, or put the files in.",
    "answers that the file marks as bad": "Nothing to do: they are never learned.",
    "an adapter came with it and was left out": "Train the character here; `understudy character import` keeps it.",
}
"""What to do about a kind of change, by how its sentence begins."""


def note(file: str, message: str, mend: str = NOTHING_TO_DO) -> Problem:
    """A warning about something that was changed, left out or only kept for export; `message` is a whole sentence."""
    return Problem(file, message, mend, "warning")


def notes_from(mended: Counter[str], file: str, mend: str = NOTHING_TO_DO) -> list[Problem]:
    """One note for each kind of change that a reader counted, with its count and what to do about it."""
    return [
        note(
            file,
            f"{sentence} ({count} x).",
            next((told for begins, told in _MENDS.items() if sentence.startswith(begins)), mend),
        )
        for sentence, count in mended.items()
    ]
