"""Problems: what is wrong with something that a creator wrote or uploaded, and how to mend it.

Readers and checks collect every problem before they report, so that all can be mended in one go.
Messages are plain words for creators: they name the file or field and say what is wrong; `mend` says what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

Severity = Literal["error", "warning"]
Outcome = Literal["left out", "changed", "kept"]
"""What became of something on an import or export; "kept" goes along for exports and scorecards, but is not learned."""
MAX_NAMED_UNKNOWN = 20
"""Unknown entries of one place that are named one by one."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or could be better."""

    field: str
    """Where: `persona`, `facts[2].answer` (counted from 0), `images/03.png`, `test.yaml: choices[0].answer`."""
    message: str
    """What is wrong; conversations, turns and facts are counted from 1 here."""
    mend: str
    """What to do about it."""
    severity: Severity = "error"
    """An error keeps the character from being trained; a warning does not."""
    examples: tuple[str, ...] = ()
    """Some of the lines or pictures that it is about, as they stand in the file."""
    outcome: Outcome | None = None
    """What became of it, where the problem is a note on an import or export."""
    count: int = 1
    """How often; the message does not say it."""
    files: tuple[str, ...] = ()
    """Pictures that were taken in and are what it is about, as the upload calls them."""
    subject: str = ""
    """The file that `message` begins with, so that files with the same fault can be told together; not in the JSON."""
    form_mend: str = ""
    """What to do about it on a page that has a field for it, "" where `mend` fits there too; not in the JSON."""
    is_unfinished: bool = False
    """Something has yet to be written there, so that nothing is wrong while somebody writes it; not in the JSON."""

    @property
    def said(self) -> str:
        """The message with how often, as it is printed: "empty turns were left out (3 x)."."""
        return self.message if self.count == 1 else f"{self.message.removesuffix('.')} ({self.count} x)."

    def to_json(self) -> dict[str, Any]:
        """`{"field", "message", "mend", "severity"}`; `outcome`, `examples`, `files` and `count` where they are set."""
        told: dict[str, Any] = {
            "field": self.field,
            "message": self.message,
            "mend": self.mend,
            "severity": self.severity,
        }
        more = {"outcome": self.outcome, "examples": list(self.examples), "files": list(self.files)}
        told |= {key: value for key, value in more.items() if value}
        return told if self.count == 1 else told | {"count": self.count}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Problem:
        """The problem of `to_json`, or of an older one without outcome, count and files."""
        values = dict(told)
        values |= {key: tuple(values[key]) for key in ("examples", "files") if key in values}
        return cls(**values)


def missing_entry(field: str, message: str, entry: str, how: str) -> Problem:
    """A warning that an entry of `character.yaml` is not there; `how` goes on after "Add it" and "Fill it in"."""
    mend, form_mend = f"Add `{entry}:`{how}", f"Fill it in{how}"
    return Problem(field, message, mend, "warning", form_mend=form_mend, is_unfinished=True)


class Change(str):
    """A kind of change that a reader counts: its sentence, which knows what became of the things it is about.

    It is a text, so that a `Counter[str]` of sentences holds it; a plain text in one stands for something changed.
    """

    outcome: Outcome
    mend: str
    """What to do about it; "" when there is nothing to do."""

    def __new__(cls, sentence: str, outcome: Outcome = "changed", mend: str = "") -> Change:
        """The sentence is without a full stop and without how often."""
        change = super().__new__(cls, sentence)
        change.outcome, change.mend = outcome, mend
        return change


def left_out(sentence: str, mend: str = "") -> Change:
    """Something that is not taken in."""
    return Change(sentence, "left out", mend)


def changed(sentence: str, mend: str = "") -> Change:
    """Something that is taken in, but not as it stood in the file."""
    return Change(sentence, "changed", mend)


def only_kept(sentence: str, mend: str = "") -> Change:
    """Something that is kept for exports or the scorecard, and not learned."""
    return Change(sentence, "kept", mend)


class CharacterProblems(Exception):
    """What was given cannot be used; `problems` lists everything found, warnings too."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        lines = []
        named: set[str] = set()  # files that a message has named: what follows about them need not say so again
        for item in self.problems:
            is_named = item.message.startswith(f"{item.field} ")
            named |= {item.field} if is_named else set()
            said = item.said if is_named or item.field not in named else item.said[:1].upper() + item.said[1:]
            lines.append(f"{'' if item.field in named else f'{item.field}: '}{said} {item.mend}")
        super().__init__("\n".join(lines))


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """Only the problems that keep a character from being trained."""
    return [problem for problem in problems if problem.severity == "error"]


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that `word` was probably meant to be; "" when none is near."""
    return _nearest(word[:200], tuple(known))


@lru_cache(maxsize=1024)
def _nearest(word: str, known: tuple[str, ...]) -> str:
    # Cached: a slip in an entry's name is usually made in every entry of a long list.
    names = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower().strip(), list(names), n=1, cutoff=0.6)
    return names[found[0]] if found else ""


def nearest_file(name: str, files: Iterable[str]) -> str:
    """The file that `name` was probably meant to be: another case, ending or count of zeros, or a slip in a long name.

    "" when none is near: 9.png is not a slip for 5.png.
    """

    def stem(file: str) -> str:
        bare = file.lower().rpartition(".")[0] or file.lower()
        return bare.lstrip("0").replace(" ", "_") or "0"

    names = list(files)
    same = [file for file in names if stem(file) == stem(name)]
    if same:
        return same[0]
    return nearest(name, [file for file in names if len(stem(file)) > 3])


def unknown_keys(keys: Iterable[str], known: Iterable[str], where: str, prefix: str = "") -> list[Problem]:
    """A warning for each key that nothing reads, with the nearest known key.

    `where` names the place in words ("fact 3"); `prefix` is put before the key to make the field.
    """
    names = list(known)
    strange = [key for key in keys if key not in names]
    found = []
    for key in strange[:MAX_NAMED_UNKNOWN]:
        guess = nearest(key, names)
        mend = f"Did you mean {guess!r}? Rename it" if guess else f"Known here: {', '.join(names)}. Rename it"
        message = f"{where} has an entry {key[:60]!r} that nothing reads, so it is left out."
        found.append(Problem(f"{prefix}{key[:60]}", message, f"{mend}, or take it out.", "warning", outcome="left out"))
    if len(strange) > MAX_NAMED_UNKNOWN:
        message = f"{where} has {len(strange) - MAX_NAMED_UNKNOWN} more entries that nothing reads."
        field = prefix.rstrip(".") or "character.yaml"
        found.append(Problem(field, message, "Rename them, or take them out.", "warning", outcome="left out"))
    return found
