"""What an importer says: a refusal, a note about one thing, and counted notes about what was changed or left out.

Readers count each kind of change in a `Mended` under a sentence for the creator, and `tell` keeps some of the lines or
pictures in question with it; `notes_from` makes warnings of both. What became of the things is told with the sentence
(`left_out(...)`, `only_kept(...)` of `problems.py`); a plain sentence is of something that was changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NoReturn

from pipelines.core.problems import Change, CharacterProblems, Outcome, Problem

MAX_EXAMPLES = 3
"""Lines or pictures that are kept of each kind of change."""
EXAMPLE_CHARS = 160
MAX_NAMED_ROLES = 100


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


class RoleNeeded(CharacterProblems):
    """A source holds several characters and none was named; `roles` are their names with how much there is of each.

    `together`, where it makes sense, is the name of the choice to take all of them as one.
    """

    def __init__(self, file: str, roles: Counter[str], kind: str = "roles", together: str = "") -> None:
        self.roles = Counter(dict(roles.most_common()))
        listed = ", ".join(shown_role(name, roles) for name, _ in roles.most_common(MAX_NAMED_ROLES))
        message = f"{file} holds {len(roles)} {kind}: {listed}."
        self.together = together
        if together:
            self.roles[together] = roles.total()
        mend = "Choose one of them: each is a character of its own."
        super().__init__([Problem(file, message, mend)])

    @classmethod
    def of(cls, problems: Iterable[Problem], roles: Counter[str], together: str) -> RoleNeeded:
        """The same again, where it comes from another process."""
        found = cls.__new__(cls)
        CharacterProblems.__init__(found, problems)
        found.roles, found.together = roles, together
        return found


def chosen_role(file: str, roles: Counter[str], role: str, kind: str = "roles") -> str:
    """The one of several that is meant, spelled as it is there; RoleNeeded where none or no such was named."""
    wanted = role.strip().casefold()
    same = [name for name in roles if name.casefold() == wanted]
    if not same:
        raise RoleNeeded(file, roles, kind)
    return same[0]


def shown_role(name: str, roles: Counter[str]) -> str:
    """A name to choose, with how much there is of it where that differs between them."""
    return f"{name} ({roles[name]})" if max(roles.values()) > 1 else name


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
    raise CharacterProblems([Problem(file, f"{file} {message}.", mend, subject=file)])


def note(file: str, message: str, mend: str = "", outcome: Outcome = "changed") -> Problem:
    """A warning about something that was changed, left out or only kept; `message` is a whole sentence."""
    return Problem(file, message, mend, "warning", outcome=outcome)


def notes_from(mended: Counter[str], file: str) -> list[Problem]:
    """One note for each kind of change that a reader counted, with its count and what to do about it."""
    examples = mended.examples if isinstance(mended, Mended) else {}
    notes = []
    for sentence, count in mended.items():
        change = sentence if isinstance(sentence, Change) else Change(sentence)
        told = tuple(examples.get(sentence, ()))
        notes.append(Problem(file, f"{change}.", change.mend, "warning", told, outcome=change.outcome, count=count))
    return notes
