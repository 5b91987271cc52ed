"""Workers: who is there, on which machine, with what, and what each works on; for the system page and the checks.

Nothing is decided by these rows: whether a job is lost is told by its own lease.
"""

from __future__ import annotations

import builtins
from dataclasses import replace

from sqlalchemy import delete, select, update

from pipelines.core.jobs.job import RecordMissing, Worker
from pipelines.core.records.database import FUTURE_S, Database, later
from pipelines.core.records.row_mapping import columns_of, from_row, to_row
from pipelines.core.records.tables import WORKERS

_COLUMNS = columns_of(Worker, WORKERS)


class Workers:
    """The workers in the records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, worker: Worker) -> Worker:
        """Note that a worker has started, in place of one of the same id; returns it with its times."""
        with self._database.write() as connection:
            clock = self._database.clock(connection)
            kept = replace(worker, seen=clock, started=worker.started or clock)
            self._database.upsert(connection, WORKERS, to_row(kept, WORKERS), ["id"])
            return kept

    def seen(self, id: str, job: str = "") -> None:
        """Note that a worker is alive and what it works on. RecordMissing when it was forgotten: it registers again."""
        with self._database.write(durable=False) as connection:
            clock = self._database.clock(connection)
            changed = connection.execute(
                update(WORKERS).where(WORKERS.c.id == id).values(seen=clock, job=job).returning(WORKERS.c.id)
            ).one_or_none()
        if changed is None:
            raise RecordMissing(f"there is no worker {id}: register it again")

    def list(self, alive_within_s: float | None = None) -> builtins.list[Worker]:
        """All, or those seen in the last so many seconds; by host, then by start."""
        query = select(*_COLUMNS).order_by(WORKERS.c.host, WORKERS.c.started, WORKERS.c.id)
        with self._database.read() as connection:
            if alive_within_s is not None:
                clock = self._database.clock(connection)
                # Ahead of the clock are those that were seen before it was set back.
                seen = WORKERS.c.seen
                query = query.where(seen >= later(clock, -alive_within_s), seen <= later(clock, FUTURE_S))
            return [from_row(Worker, row) for row in connection.execute(query).mappings()]

    def forget(self, id: str) -> None:
        """Remove a worker that has gone; nothing happens when it is gone already."""
        with self._database.write() as connection:
            connection.execute(delete(WORKERS).where(WORKERS.c.id == id))
