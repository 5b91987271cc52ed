"""The order of the queue, in SQL: who is next, and at which place a job stands.

Among the queued jobs of a kind: higher priority first; then the lower turn, which is how many jobs of that kind the
owner has running plus the job's rank among the owner's own queued ones; then who queued earlier. So somebody who queues
twenty jobs takes turns with everybody else instead of filling the machine, and each owner's own jobs go by priority and
time.

Both questions are answered without ranking every job, since a page asks for places every few seconds and thousands may
wait: within an owner's jobs of one priority, a later one has a higher turn, so counting is enough.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Subquery, and_, case, func, literal, or_, select, tuple_

from pipelines.core.jobs.job import OWNED, JobKind
from pipelines.core.records.tables import JOBS


def next_job(kind: JobKind) -> Select[str]:
    """The id of the job at place 1; no row when nothing is queued."""
    queued = and_(JOBS.c.kind == kind, JOBS.c.status == "queued")
    highest = select(func.max(JOBS.c.priority)).where(queued).scalar_subquery()
    running = _running(kind)
    # Of each owner's jobs of the highest priority the first has rank 1, so what the owner has running decides.
    return (
        select(JOBS.c.id)
        .select_from(JOBS.outerjoin(running, JOBS.c.owner == running.c.owner))
        .where(queued, JOBS.c.priority == highest)
        .order_by(func.coalesce(running.c.jobs, 0), JOBS.c.queued, JOBS.c.id)
        .limit(1)
    )


def place_of(connection: Connection, id: str) -> int | None:
    """The place of one job, from 1; None when it is not queued."""
    columns = (JOBS.c.kind, JOBS.c.owner, JOBS.c.priority, JOBS.c.queued)
    job = connection.execute(select(*columns).where(JOBS.c.id == id, JOBS.c.status == "queued")).one_or_none()
    if job is None:
        return None
    queued = and_(JOBS.c.kind == job.kind, JOBS.c.status == "queued")
    same = JOBS.c.priority == job.priority
    not_later = and_(same, tuple_(JOBS.c.queued, JOBS.c.id) <= tuple_(literal(job.queued), literal(id)))
    rank = select(func.count()).where(queued, JOBS.c.owner == job.owner, or_(JOBS.c.priority > job.priority, not_later))
    held = select(func.count()).where(JOBS.c.kind == job.kind, JOBS.c.status.in_(OWNED), JOBS.c.owner == job.owner)
    turn = connection.execute(rank).scalar_one() + connection.execute(held).scalar_one()
    owners = (
        select(
            JOBS.c.owner,
            _count_where(JOBS.c.priority > job.priority).label("higher"),
            _count_where(same).label("same"),
            _count_where(not_later).label("not_later"),
        )
        .where(queued, JOBS.c.priority >= job.priority)
        .group_by(JOBS.c.owner)
        .subquery()
    )
    running = _running(job.kind)
    # An owner's jobs of this priority have the turns running + higher + 1, + 2, ...: `lower` of them (where there are
    # so many) have a lower turn than this job, and the one after those has the same turn.
    lower = literal(turn - 1) - func.coalesce(running.c.jobs, 0) - owners.c.higher
    equal = and_(lower >= 0, lower < owners.c.same, owners.c.not_later > lower)
    before = owners.c.higher + case((lower < 0, 0), (lower > owners.c.same, owners.c.same), else_=lower)
    place = func.sum(before + case((equal, 1), else_=0))  # the job itself is its owner's equal one
    joined = owners.outerjoin(running, owners.c.owner == running.c.owner)
    return int(connection.execute(select(place).select_from(joined)).scalar_one())


def _running(kind: JobKind) -> Subquery:
    """How many jobs of the kind each owner has with workers."""
    counted = select(JOBS.c.owner, func.count().label("jobs")).where(JOBS.c.kind == kind, JOBS.c.status.in_(OWNED))
    return counted.group_by(JOBS.c.owner).subquery()


def _count_where(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.sum(case((condition, 1), else_=0))
