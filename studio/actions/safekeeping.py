"""What the training page says about a training that goes on by itself: tried again, saved states not sent, or damaged.

Pure functions of a job, its events and the checkpoints whose rows are there; nothing is read from notes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from pipelines.core.events import Event, RetryCause
from pipelines.core.jobs.job import Job
from pipelines.core.run_folder import BASE, CHECKPOINTS, SCORES_FILE
from studio.labels import counted

PATIENCE_S = 60.0
"""So long the sending of a saved state may take before anything is said."""
LIVE = ("queued", "running", "stopping")
CAUSES: dict[RetryCause, str] = {
    "memory": "ran out of memory and now takes smaller steps",
    "killed": "was ended by the worker's machine",
    "crashed": "crashed",
    "hung": "hung and was ended",
    "unkept": "could not send all its saved states",
    "records": "could not reach the records",
}


def safekeeping_words(job: Job, events: Sequence[Event], kept: Collection[str], at: str = "") -> tuple[str, ...]:
    """Sentences for people, none where all is well. `kept`: names of checkpoints whose rows are there; `at`: the time
    now (UTC, ISO 8601), without it the time of the last event."""
    at = at or (events[-1].time if events else "")
    return tuple(filter(None, (_tried_again(job, events), _damage(events), _unsent(job, events, kept, at))))


def _tried_again(job: Job, events: Sequence[Event]) -> str:
    causes = [event.payload["failed"] for event in events if "failed" in event.payload]
    if not causes or job.status not in LIVE:
        return ""
    times = {1: "once", 2: "twice"}.get(len(causes), f"{len(causes)} times")
    return f"It {CAUSES[causes[-1]]}. Nothing has to be done: it went on by itself {times}, from the last saved state."


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
    if job.status not in LIVE:  # how it ended says the rest
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
