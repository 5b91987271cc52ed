"""What was uploaded and could not be used, kept in the draft until the next upload or until it was read.

So the reason stays in sight while the page draws itself anew, and outlives a refresh. Files that are refused for the
same reason are told together.

    refused   [{"message", "mend", "severity", "name"}], `name` being the file that `message` begins with, or ""
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.core.problems import Problem, Severity
from studio.actions.drafts import Draft, change
from studio.context import AppContext

MAX_KEPT = 200
MAX_NAMED = 4
"""Files of one reason that are named; the rest is counted."""


@dataclass(frozen=True)
class Refusal:
    """One reason, and the files that it is about."""

    message: str
    mend: str
    severity: Severity
    count: int


def keep_refused(draft: Draft, problems: Iterable[Problem]) -> None:
    """Keep what an upload was refused for, in place of what the one before was."""
    told = [
        {"message": one.said, "mend": one.mend, "severity": one.severity, "name": one.subject}
        for one in list(problems)[:MAX_KEPT]
    ]
    draft.pop("refused", None)
    if told:
        draft["refused"] = told


def refusals(draft: Draft) -> list[Refusal]:
    """What the last upload was refused for, one line a reason, worst first."""
    names: dict[tuple[str, str, Severity], list[str]] = {}
    for entry in draft.get("refused", []):
        rest = entry["message"].removeprefix(entry["name"]) if entry["name"] else entry["message"]
        names.setdefault((rest, entry["mend"], entry["severity"]), []).append(entry["name"])
    found = []
    for (rest, mend, severity), files in names.items():
        shown = ", ".join(files[:MAX_NAMED])
        if len(files) > MAX_NAMED:
            shown += f" and {len(files) - MAX_NAMED} more"
        # " is a HEIC picture; ..." of one file; of several the list stands before it.
        message = f"{shown}{rest}" if len(files) == 1 else f"{shown}: each{rest}"
        found.append(Refusal(message, mend, severity, len(files)))
    return sorted(found, key=lambda one: one.severity != "error")


def forget_refused(context: AppContext, id: str) -> None:
    """They were read."""
    change(context, id, lambda draft: draft.pop("refused", None))
