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


def note(file: str, message: str, mend: str = "Nothing to do, unless it matters to you.") -> Problem:
    """A warning about something that was changed, left out or only kept for export; `message` is a whole sentence."""
    return Problem(file, message, mend, "warning")


def notes_from(mended: Counter[str], file: str) -> list[Problem]:
    """One note for each kind of change that a reader counted, with its count."""
    return [note(file, f"{sentence} ({count} x).") for sentence, count in mended.items()]
