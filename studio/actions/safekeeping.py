"""What the training page says about saved states being safe: not sent yet, damaged and fetched again, stepped over.

Pure functions of a job, its events and the checkpoints whose rows are there; nothing is read from notes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from pipelines.core.events import Event
from pipelines.core.jobs.job import Job
from pipelines.core.run_folder import BASE, CHECKPOINTS, SCORES_FILE
from studio.labels import counted

PATIENCE_S = 60.0
"""So long the sending of a saved state may take before anything is said."""


def safekeeping_words(job: Job, events: Sequence[Event], kept: Collection[str], at: str = "") -> tuple[str, ...]:
    """Sentences for people, none where all is well. `kept`: names of checkpoints whose rows are there; `at`: the time
    now (UTC, ISO 8601), without it the time of the last event."""
    return tuple(filter(None, (_damage(events), _unsent(job, events, kept, at or (events[-1].time if events else "")))))


def _damage(events: Sequence[Event]) -> str:
    again = {name for event in events for name in event.payload.get("fetched_again", ())}
    over = {name for event in events for name in event.payload.get("stepped_over", ())}
    said = []
    if again:
        were = "was" if len(again) == 1 else "were"
        said.append(f"{counted(len(again), 'saved state')} {were} damaged on the worker's disk and fetched again.")
    if over:
        said.append(
            f"{counted(len(over), 'saved state')} could not be read any more: training went on from the one before. "
            "Have the worker's disk looked at."
        )
    return " ".join(said)


def _unsent(job: Job, events: Sequence[Event], kept: Collection[str], at: str) -> str:
    if job.status not in ("queued", "running", "stopping"):  # how it ended says the rest
        return ""
    saved: dict[str, str] = {}
    for event in events:
        for path in event.artifacts:
            if path.startswith(f"{CHECKPOINTS}/"):
                name = path.split("/")[1]
                if name != BASE or path.endswith(SCORES_FILE):
                    saved.setdefault(name, event.time)
    late = [name for name, time in saved.items() if name not in kept and _seconds(time, at) > PATIENCE_S]
    if not late:
        return ""
    one = len(late) == 1
    return (
        f"{counted(len(late), 'saved state')} {'is' if one else 'are'} so far on the worker's machine only, since the "
        f"object store does not take {'it' if one else 'them'}. {'It is' if one else 'They are'} sent again until "
        f"{'it is' if one else 'they are'} kept; training goes on meanwhile."
    )


def _seconds(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
