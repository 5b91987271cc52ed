"""What an importer says: a refusal, a note about one thing, and counted notes about what was changed or left out.

Readers count each kind of change in a `Mended` under a sentence for the creator, and `tell` keeps some of the lines or
pictures in question with it; `notes_from` makes warnings of both.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, NoReturn

from pipelines.core.problems import CharacterProblems, Problem

MAX_EXAMPLES = 3
"""Lines or pictures that are kept of each kind of change."""
EXAMPLE_CHARS = 160


class Mended(Counter[str]):
    """How often something was changed or left out (sentence -> count), with examples of it."""

    def __init__(self, *counted: Any) -> None:
        self.examples: dict[str, list[str]] = {}
        super().__init__(*counted)

    def update(self, *counted: Any, **more: int) -> None:
        """As of a `Counter`; examples of another `Mended` come along."""
        super().update(*counted, **more)
        for other in counted:
            for sentence, examples in (other.examples if isinstance(other, Mended) else {}).items():
                kept = self.examples.setdefault(sentence, [])
                kept += [example for example in examples if example not in kept][: MAX_EXAMPLES - len(kept)]

    def __add__(self, other: Counter[str]) -> Mended:  # type: ignore[override]
        both = Mended()
        both.update(self)
        both.update(other)
        return both


def tell(mended: Counter[str], sentence: str, example: str) -> None:
    """Count one change, and keep the line or the name of the picture that it is about."""
    mended[sentence] += 1
    shown = " ".join(example.split())
    if not isinstance(mended, Mended) or not shown:
        return
    kept = mended.examples.setdefault(sentence, [])
    if len(kept) < MAX_EXAMPLES:
        kept.append(shown if len(shown) <= EXAMPLE_CHARS else f"{shown[:EXAMPLE_CHARS].rstrip()} …")


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
    examples = mended.examples if isinstance(mended, Mended) else {}
    return [
        replace(
            note(
                file,
                f"{sentence} ({count} x).",
                next((told for begins, told in _MENDS.items() if sentence.startswith(begins)), mend),
            ),
            examples=tuple(examples.get(sentence, ())),
        )
        for sentence, count in mended.items()
    ]
