"""Whether a job is tried again: the counts since it last got further, and what a person reads when it is given up.

A job has got further when it has more checkpoints, or more of them are measured, than at its last failure or loss. Two
things are counted since then: workers that were lost with it, and trainers that were killed or crashed under it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Text, case, func, select, type_coerce

from pipelines.core.events import RetryCause
from pipelines.core.records.tables import CHECKPOINTS

MAX_RETRIES = 2
"""So often a trainer is tried again without getting further."""


@dataclass(frozen=True)
class Failure:
    """How a trainer ended that another try may bring further."""

    cause: RetryCause
    error: str
    """Plain words: what happened and what to do."""
    log_tail: str = ""
    place: str = ""
    """Where it was, such as `sft-12`; "" before its first step."""
    can_shrink: bool = False
    """Whether its steps can be made smaller still; asked when it ran out of memory."""


def progress_of(connection: Connection, job: str) -> int:
    """Checkpoints of a job, those that are measured counted twice."""
    measured = case((type_coerce(CHECKPOINTS.c.scores, Text) != "{}", 2), else_=1)
    query = select(func.coalesce(func.sum(measured), 0)).where(CHECKPOINTS.c.job == job)
    return int(connection.execute(query).scalar_one())


def next_try(row: Any, failure: Failure, progress: int) -> tuple[dict[str, Any], str]:
    """The counts to keep, and why there is no other try; "" when there is one. `row` has the counts so far."""
    further = progress != row["progress"]
    retries = 1 if further else row["retries"] + 1
    shrinks = failure.cause == "memory" and failure.can_shrink
    counts = {"retries": retries, "progress": progress, "failed_at": failure.place} | ({"losses": 0} if further else {})
    if failure.place and failure.place == row["failed_at"] and not further and not shrinks:
        return counts, "It happened twice at the same step, so another try would end there too."
    if retries > MAX_RETRIES:
        return counts, f"It was tried again {MAX_RETRIES} times from its last checkpoint and got no further."
    return counts | {"savings": row["savings"] + shrinks}, ""


def lost_words(losses: int) -> str:
    """What a person reads when a job was given up since its workers were lost."""
    return (
        f"The worker that ran this job disappeared {losses} times in a row without getting further, most likely since "
        "its machine ran out of memory or was switched off. Look at the worker's log and resume the job: it goes on "
        "from its last checkpoint."
    )
