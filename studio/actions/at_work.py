"""Where somebody is typing: of what is not finished there, like a question without its answer yet, nothing is said.

The page is drawn anew while they type (a new row is kept, the next field is entered). The place is the one that their
tab typed in last, until they go to another step or page, or type somewhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.core.problems import Problem
from studio.actions import typed
from studio.actions.drafts import is_written

_ANY = "0" * 32
"""In place of a character's id: the draft is its own."""
Written = tuple[str, str]
"""The name of a place and the digest of what was typed there."""


@dataclass(frozen=True)
class AtWork:
    """The part of a character that somebody is writing."""

    field: str = ""
    """As problems name it: `persona`, `facts[4]`, `interactions[2]`; "" for none."""

    def finished(self, found: Iterable[Problem]) -> list[Problem]:
        """The problems without those of something that is not finished there."""
        return [item for item in found if not (item.is_unfinished and self._is_at(item.field))]

    def _is_at(self, field: str) -> bool:
        return bool(self.field) and (field == self.field or field.startswith((f"{self.field}.", f"{self.field}[")))


NOWHERE = AtWork()


def last_written(draft: Mapping[str, Any], tab: str) -> Written | None:
    """What a tab typed last into a draft."""
    written: Mapping[str, Mapping[str, str]] = draft.get("written", {})
    names = [name for name, last in written.items() if last.get("tab") == tab]
    return (names[-1], str(written[names[-1]].get("digest", ""))) if names else None


def at_work(draft: Mapping[str, Any], written: Written | None) -> AtWork:
    """The part of the draft that this is in; `NOWHERE` for what was left, or taken out."""
    kind, _, rest = (written or ("", ""))[0].partition("-")
    place = typed.place_of(f"{kind}-{_ANY}-{rest}")
    if place is None:
        return NOWHERE
    if place.kind == "text":
        return AtWork(place.parts[0])
    if place.kind == "fact":
        rows = [fact.get("id") for fact in draft.get("facts", ()) if is_written(fact)]
        return AtWork(f"facts[{rows.index(place.parts[0])}]") if place.parts[0] in rows else NOWHERE
    for number, turns in enumerate(draft.get("interactions", ())):
        if any(turn.get("id") == place.parts[0] for turn in turns):
            return AtWork(f"interactions[{number}]")
    return NOWHERE
