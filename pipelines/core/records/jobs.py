"""Jobs: added once, claimed by one worker at a time, and ended by nobody but the worker that has them.

    queued    claim -> running; request_stop -> stopped
    running   finish -> succeeded, stopped, failed; request_stop -> stopping; release -> queued
    stopping  finish -> succeeded, stopped, failed
    running or stopping with a lease that has run out   release_lost -> queued, stopped, failed
    running, its trainer killed   retry -> queued, failed
    stopped, failed   requeue -> queued

Every step is one conditional update: of many that try, one changes the row and the others see that it is changed.
Leases and the order of the queue go by the database's clock. The order itself is in `queue_order.py`.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, case, delete, literal, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from pipelines.core.jobs.job import ENDED, OWNED, Job, JobKind, JobStatus, LeaseLost, RecordMissing
from pipelines.core.records.database import FUTURE_S, Database, later
from pipelines.core.records.queue_order import next_job, place_of
from pipelines.core.records.retries import Failure, lost_words, next_try, progress_of
from pipelines.core.records.row_mapping import columns_of, from_row, to_row
from pipelines.core.records.tables import CHECKPOINTS, JOBS

_COLUMNS = columns_of(Job, JOBS)
_FREE: dict[str, Any] = {"worker": "", "lease_until": "", "nudged": ""}
"""A job that no worker has, and that workers are to be notified of."""


class Jobs:
    """The jobs in the records. Ids are ids of jobs; `lease_s` is in seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job: Job) -> Job:
        """Keep a new job and give it its times; adding the same id again changes nothing and returns what is kept.

        Raises RecordMissing when its character, version or parent is not in the records.
        """
        with self._database.write() as connection:
            clock = self._database.clock(connection)
            created = job.created or clock
            kept = replace(job, created=created, queued=clock if job.status == "queued" else job.queued or created)
            values = {**to_row(kept, JOBS), "nudged": clock, "losses": 0}
            try:
                self._database.insert_or_ignore(connection, JOBS, values, ["id"])
            except IntegrityError as error:
                raise RecordMissing(
                    f"job {job.id} needs what is not in the records: its character {job.character or '(none)'}, "
                    f"version {job.version} or parent {job.parent or '(none)'} was deleted or never kept"
                ) from error
            return _get(connection, job.id)

    def get(self, id: str) -> Job:
        """One job; RecordMissing when there is none."""
        with self._database.read() as connection:
            return _get(connection, id)

    def list(
        self,
        owner: str | None = None,
        kind: JobKind | None = None,
        statuses: Iterable[JobStatus] | None = None,
        character: str | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> builtins.list[Job]:
        """Newest first; for the next page, `before` is the id of the last job of this one."""
        query = select(*_COLUMNS).order_by(JOBS.c.created.desc(), JOBS.c.id.desc()).limit(limit)
        if owner is not None:
            query = query.where(JOBS.c.owner == owner)
        if kind is not None:
            query = query.where(JOBS.c.kind == kind)
        if statuses is not None:
            query = query.where(JOBS.c.status.in_(list(statuses)))
        if character is not None:
            query = query.where(JOBS.c.character == character)
        with self._database.read() as connection:
            if before is not None:
                last = _get(connection, before)
                query = query.where(tuple_(JOBS.c.created, JOBS.c.id) < tuple_(literal(last.created), literal(last.id)))
            return [_job(row) for row in connection.execute(query).mappings()]

    def claim_next(self, kind: JobKind, worker: str, lease_s: float) -> Job | None:
        """Take the queued job of that kind whose turn it is; None when nothing is queued."""
        with self._database.write() as connection:
            # One after the other, since each claim changes whose turn is next.
            self._database.lock_alone(connection, f"claims of {kind} jobs")
            while (id := connection.execute(next_job(kind)).scalar_one_or_none()) is not None:
                job = self._claim(connection, id, worker, lease_s)
                if job is not None:
                    return job  # else it was stopped or claimed by its id meanwhile
            return None

    def claim(self, id: str, worker: str, lease_s: float) -> Job | None:
        """Take this job: it is running, its attempt one higher. None when it is not queued (any longer)."""
        with self._database.write() as connection:
            return self._claim(connection, id, worker, lease_s)

    def position(self, id: str) -> int | None:
        """The job's place among the queued ones of its kind, 1 being next; None when it is not queued.

        RecordMissing when there is no such job.
        """
        with self._database.read() as connection:
            place = place_of(connection, id)
            if place is None:
                _get(connection, id)
            return place

    def heartbeat(self, id: str, worker: str, lease_s: float, attempt: int | None = None) -> Job:
        """Extend the lease; the returned job's `cancel` says whether to stop.

        Raises LeaseLost when the worker (in that attempt, when given) no longer has the job.
        """
        with self._database.write(durable=False) as connection:
            clock = self._database.clock(connection)
            held = [JOBS.c.id == id, JOBS.c.worker == worker, JOBS.c.status.in_(OWNED)]
            if attempt is not None:
                held.append(JOBS.c.attempt == attempt)
            job = _change(connection, held, {"lease_until": later(clock, lease_s), "heartbeat": clock})
        if job is None:
            raise LeaseLost(f"job {id} is no longer worker {worker}'s: it has ended, went to another, or was deleted")
        return job

    def request_stop(self, id: str, cancel: Literal["keep", "discard"]) -> Job:
        """Ask for a stop: a queued job is stopped at once, a running one is stopping until its worker ends it.

        `discard` outdoes an earlier `keep`, never the other way round. A job that has ended keeps its status; where it
        was stopped or failed, `discard` is noted and its checkpoints go, so that resuming it begins anew.
        """
        with self._database.write() as connection:
            clock = self._database.clock(connection)
            wish = case((JOBS.c.cancel == "discard", "discard"), else_=cancel)
            stopped = {"status": "stopped", "ended": clock, "cancel": cancel}
            stopping = {"status": "stopping", "cancel": wish}
            return (
                _change(connection, [JOBS.c.id == id, JOBS.c.status == "queued"], stopped)
                or _change(connection, [JOBS.c.id == id, JOBS.c.status.in_(OWNED)], stopping)
                or (cancel == "discard" and _change(connection, _unfinished(id), {"cancel": cancel}))
                or _get(connection, id)
            )

    def finish(
        self, id: str, worker: str, attempt: int, status: JobStatus, error: str = "", log_tail: str = ""
    ) -> bool:
        """End the job as the worker that has it, in that attempt. False, and nothing changed, for anybody else."""
        if status not in ENDED:
            raise ValueError(f"a job ends as {', '.join(ENDED)}, not as {status!r}")
        with self._database.write() as connection:
            clock = self._database.clock(connection)
            changed = {"status": status, "ended": clock, "lease_until": "", "error": error, "log_tail": log_tail}
            return _change(connection, _held(id, worker, attempt), changed) is not None

    def release(self, id: str, worker: str, attempt: int) -> bool:
        """Give the job back as the worker that has it, for another to go on: a worker that shuts down does this.

        It keeps its place in the queue, and this does not count as a loss. False when the worker does not have it, or
        when a stop was asked for meanwhile: then it is the worker's to finish.
        """
        with self._database.write() as connection:
            held = [*_held(id, worker, attempt), JOBS.c.status == "running"]
            return _change(connection, held, {**_FREE, "status": "queued"}) is not None

    def retry(self, id: str, worker: str, attempt: int, failure: Failure) -> Job | None:
        """Queue the job again at its old place, as the worker that has it, or end it as failed: see `retries.py`.

        Returns the job as it is now; None, and nothing changed, for anybody else, or when a stop was asked for.
        """
        with self._database.write() as connection:
            held = [*_held(id, worker, attempt), JOBS.c.status == "running"]
            counts = (JOBS.c.retries, JOBS.c.progress, JOBS.c.failed_at, JOBS.c.savings)
            row = connection.execute(select(*counts).where(*held).with_for_update()).mappings().one_or_none()
            if row is None:
                return None
            changed, over = next_try(row, failure, progress_of(connection, id))
            if over:
                error, clock = f"{failure.error} {over}", self._database.clock(connection)
                end = {"status": "failed", "ended": clock, "lease_until": "", "error": error}
                return _change(connection, held, {**changed, **end, "log_tail": failure.log_tail})
            return _change(connection, held, {**changed, **_FREE, "status": "queued"})

    def release_lost(self, max_attempts: int = 3) -> builtins.list[Job]:
        """Take jobs from workers whose lease has run out, and return them as they are now.

        Queued again, at their old place; stopped when a stop was asked for; failed when as many workers were lost on it
        as `max_attempts` since it last got further or somebody queued it.
        """
        with self._database.write() as connection:
            clock = self._database.clock(connection)
            # One that was heard of in the future has a lease of then: the clock was set back since.
            over = or_(JOBS.c.lease_until < clock, JOBS.c.heartbeat > later(clock, FUTURE_S))
            overdue = [JOBS.c.status.in_(OWNED), over]
            # Rows that somebody else is changing are left for the next round: two sweepers must not wait in a circle.
            counts = (JOBS.c.losses, JOBS.c.progress)
            query = select(*_COLUMNS, *counts).where(*overdue).with_for_update(skip_locked=True)
            released = []
            for row in connection.execute(query).mappings().all():
                progress = progress_of(connection, row["id"])
                further = progress != row["progress"]
                losses = 1 if further else row["losses"] + 1
                changed: dict[str, Any] = {"lease_until": "", "losses": losses, "progress": progress}
                changed |= {"retries": 0} if further else {}
                if row["cancel"]:
                    changed |= {"status": "stopped", "ended": clock}
                elif losses >= max_attempts:
                    changed |= {"status": "failed", "ended": clock, "error": lost_words(losses)}
                else:
                    changed |= {**_FREE, "status": "queued"}
                job = _change(connection, [JOBS.c.id == row["id"], *overdue], changed)
                if job is not None:
                    released.append(job)
            return released

    def requeue(self, id: str) -> Job:
        """Queue a stopped or failed job again, behind the others; its worker goes on from the last checkpoint.

        One that was discarded begins anew: an attempt is left out, so that no run folder passes for the one before.
        A job that is queued or running stays as it is. ValueError when it has succeeded.
        """
        with self._database.write() as connection:
            clock = self._database.clock(connection)
            fresh = {
                **_FREE,
                "status": "queued",
                "queued": clock,
                "nudged": clock,
                "losses": 0,
                "retries": 0,
                "progress": 0,
                "failed_at": "",
                "cancel": "",
                "error": "",
                "log_tail": "",
                "ended": "",
                "attempt": JOBS.c.attempt + case((JOBS.c.cancel == "discard", 1), else_=0),
            }
            job = _change(connection, _unfinished(id), fresh)
            job = job or _get(connection, id)
        if job.status == "succeeded":
            raise ValueError(f"job {id} has succeeded: to go further, add a job with this one as its parent")
        return job

    def waiting(self, older_than_s: float, limit: int = 1000) -> builtins.list[Job]:
        """Queued jobs whose last message is so old that it may be lost, most urgent first."""
        with self._database.read() as connection:
            clock = self._database.clock(connection)
            old = or_(JOBS.c.nudged <= later(clock, -older_than_s), JOBS.c.nudged > later(clock, FUTURE_S))
            query = (
                select(*_COLUMNS)
                .where(JOBS.c.status == "queued", old)
                .order_by(JOBS.c.priority.desc(), JOBS.c.queued, JOBS.c.id)
                .limit(limit)
            )
            return [_job(row) for row in connection.execute(query).mappings()]

    def mark_notified(self, ids: Sequence[str]) -> None:
        """Note that a message was sent for these jobs just now."""
        with self._database.write(durable=False) as connection:
            clock = self._database.clock(connection)
            for id in sorted(set(ids)):  # in one order everywhere, so that two sweepers do not wait in a circle
                connection.execute(update(JOBS).where(JOBS.c.id == id).values(nudged=clock))

    def _claim(self, connection: Connection, id: str, worker: str, lease_s: float) -> Job | None:
        clock = self._database.clock(connection)
        changed = {
            "status": "running",
            "worker": worker,
            "attempt": JOBS.c.attempt + 1,
            "lease_until": later(clock, lease_s),
            "heartbeat": clock,
            "started": clock,
        }
        return _change(connection, [JOBS.c.id == id, JOBS.c.status == "queued"], changed)


def _job(row: Any) -> Job:
    return from_row(Job, row, optional=("recipe",))


def _get(connection: Connection, id: str) -> Job:
    row = connection.execute(select(*_COLUMNS).where(JOBS.c.id == id)).mappings().one_or_none()
    if row is None:
        raise RecordMissing(f"there is no job {id}: it was deleted, or the id is wrong")
    return _job(row)


def _held(id: str, worker: str, attempt: int) -> list[ColumnElement[bool]]:
    """True for the job in the hands of that worker in that attempt."""
    return [JOBS.c.id == id, JOBS.c.worker == worker, JOBS.c.attempt == attempt, JOBS.c.status.in_(OWNED)]


def _unfinished(id: str) -> list[ColumnElement[bool]]:
    """True for the job when it has ended without success."""
    return [JOBS.c.id == id, JOBS.c.status.in_(("stopped", "failed"))]


def _change(connection: Connection, where: list[ColumnElement[bool]], values: dict[str, Any]) -> Job | None:
    """One conditional update: the job as it is now, or None when the conditions did not hold.

    What has ended and is to be thrown away loses its checkpoints with it, whoever ends it; their bytes go when the
    object store is next cleaned.
    """
    statement = update(JOBS).where(*where).values(**values).returning(*_COLUMNS)
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        return None
    job = _job(row)
    if job.cancel == "discard" and job.status in ("stopped", "failed"):
        connection.execute(delete(CHECKPOINTS).where(CHECKPOINTS.c.job == job.id))
    return job
