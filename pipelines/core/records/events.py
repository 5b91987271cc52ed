"""The durable log of a job: events numbered 0, 1, 2, ... over all its attempts, in the order in which they arrived.

Whoever relays events may send them again after a broken connection: the sender's own number (`Event.sequence` as the
trainer wrote it) together with the attempt says which are known already. A page that follows a job asks for what comes
after the last sequence it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, func, insert, select

from pipelines.core.events import Event, Stage
from pipelines.core.jobs.job import LeaseLost, RecordMissing
from pipelines.core.records.database import Database
from pipelines.core.records.tables import EVENTS, JOBS

_COLUMNS = (EVENTS.c.job, EVENTS.c.sequence, EVENTS.c.stage, EVENTS.c.body)
_APART = ("job", "sequence", "stage")
"""Fields of an event that have columns of their own; the rest is the body."""


class Events:
    """The events in the records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, job_id: str, attempt: int, events: Sequence[Event]) -> int:
        """Keep events that one sender of an attempt has numbered in `sequence`; returns how many were new.

        Raises RecordMissing when the job is gone, and LeaseLost when a later attempt has begun: two workers must not
        write one log.
        """
        with self._database.write(durable=False) as connection:
            self._lock(connection, job_id, attempt)
            numbers = [event.sequence for event in events]
            known = set()
            if numbers:
                of_attempt = [EVENTS.c.job == job_id, EVENTS.c.attempt == attempt]
                between = EVENTS.c.number.between(min(numbers), max(numbers))
                known = set(connection.execute(select(EVENTS.c.number).where(*of_attempt, between)).scalars())
            fresh = {event.sequence: event for event in events if event.sequence not in known}
            return len(self._keep(connection, job_id, attempt, list(fresh.items())))

    def note(self, job_id: str, attempt: int, event: Event) -> Event:
        """Keep one event that the worker itself has to say, beside what its trainer numbers; it is never sent twice.

        Returns it with job, sequence and time. Raises like `append`.
        """
        with self._database.write(durable=False) as connection:
            self._lock(connection, job_id, attempt)
            return self._keep(connection, job_id, attempt, [(None, event)])[0]

    def after(self, job_id: str, sequence: int = -1, limit: int = 500) -> list[Event]:
        """The events after that sequence, oldest first; empty for a job that is gone."""
        query = (
            select(*_COLUMNS)
            .where(EVENTS.c.job == job_id, EVENTS.c.sequence > sequence)
            .order_by(EVENTS.c.sequence)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [_event(row) for row in connection.execute(query)]

    def latest(self, job_id: str, stage: Stage | None = None) -> Event | None:
        """The last event, of one stage or of all; None before the first."""
        query = select(*_COLUMNS).where(EVENTS.c.job == job_id).order_by(EVENTS.c.sequence.desc()).limit(1)
        if stage is not None:
            query = query.where(EVENTS.c.stage == stage)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
            return None if row is None else _event(row)

    def of_stage(self, job_id: str, stage: Stage) -> list[Event]:
        """All events of one stage, oldest first."""
        query = select(*_COLUMNS).where(EVENTS.c.job == job_id, EVENTS.c.stage == stage).order_by(EVENTS.c.sequence)
        with self._database.read() as connection:
            return [_event(row) for row in connection.execute(query)]

    def count(self, job_id: str) -> int:
        """How many events the job has; the last one's sequence is one less."""
        with self._database.read() as connection:
            return _count(connection, job_id)

    def _lock(self, connection: Connection, job_id: str, attempt: int) -> None:
        """Nobody else appends to this job until the transaction ends."""
        query = select(JOBS.c.attempt).where(JOBS.c.id == job_id).with_for_update(key_share=True)
        current = connection.execute(query).scalar_one_or_none()
        if current is None:
            raise RecordMissing(f"there is no job {job_id} to keep events of: it was deleted, or the id is wrong")
        if attempt < current:
            raise LeaseLost(f"job {job_id} is at attempt {current} by now; events of attempt {attempt} come too late")

    def _keep(
        self, connection: Connection, job_id: str, attempt: int, numbered: Sequence[tuple[int | None, Event]]
    ) -> list[Event]:
        """Insert behind the last event; pairs of the sender's number and the event."""
        if not numbered:
            return []
        start = _count(connection, job_id)
        clock = self._database.clock(connection)
        kept, rows = [], []
        for sequence, (number, event) in enumerate(numbered, start):
            whole = replace(event, job=job_id, sequence=sequence, time=event.time or clock)
            body = {name: value for name, value in asdict(whole).items() if name not in _APART}
            kept.append(whole)
            rows.append(
                {
                    "job": job_id,
                    "sequence": sequence,
                    "attempt": attempt,
                    "number": number,
                    "stage": whole.stage,
                    "body": body,
                }
            )
        connection.execute(insert(EVENTS), rows)
        return kept


def _count(connection: Connection, job_id: str) -> int:
    # The log has no gaps, so its last number says how long it is without counting.
    last = connection.execute(select(func.max(EVENTS.c.sequence)).where(EVENTS.c.job == job_id)).scalar_one()
    return 0 if last is None else last + 1


def _event(row: Any) -> Event:
    return Event.from_json({**row.body, "job": row.job, "sequence": row.sequence, "stage": row.stage})
