"""Jobs that are tried again: how often, since when it is counted, and when they are given up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import select

from pipelines.core.jobs.job import Checkpoint, Job, new_id
from pipelines.core.records import Records
from pipelines.core.records.retries import MAX_RETRIES, Failure
from pipelines.core.records.tables import JOBS

KILLED = Failure("killed", "It was killed.", "the log's end", "sft-3")
LOST = -1.0


def taken(records: Records, job: Job, lease_s: float = 60) -> Job:
    """The job in a worker's hands."""
    claimed = records.jobs.claim(job.id, "worker", lease_s)
    assert claimed is not None
    return claimed


def fail(records: Records, job: Job, failure: Failure) -> Job:
    """Its trainer is killed; the job as it is then."""
    claimed = taken(records, job)
    settled = records.jobs.retry(job.id, "worker", claimed.attempt, failure)
    assert settled is not None
    return settled


def saved(records: Records, job: Job, step: int, **scores: float) -> None:
    """A checkpoint, measured or not."""
    records.checkpoints.put(Checkpoint(job.id, f"sft-{step:06d}", "sft", step, "starter-toy", scores=scores))


def counts(records: Records, job: Job) -> Any:
    """What is counted."""
    with records._database.read() as connection:
        query = select(JOBS.c.retries, JOBS.c.losses, JOBS.c.failed_at).where(JOBS.c.id == job.id)
        return tuple(connection.execute(query).one())


def test_it_is_tried_again_twice_at_its_old_place(records: Records, job: Job) -> None:
    behind = records.jobs.add(Job(new_id(), "train", "bo"))
    for place in ("sft-3", "sft-2"):
        row = fail(records, job, replace(KILLED, place=place))
        assert (row.status, row.worker, row.lease_until, row.queued, row.error) == ("queued", "", "", job.queued, "")
        assert [row.id for row in records.jobs.waiting(0)][:1] == [job.id], "a worker is told"
    row = fail(records, job, replace(KILLED, place="sft-1"))
    assert row.status == "failed" and row.ended and row.log_tail == "the log's end"
    assert (
        row.error
        == f"It was killed. It was tried again {MAX_RETRIES} times from its last checkpoint and got no further."
    )
    assert records.jobs.position(behind.id) == 1
    assert records.jobs.requeue(job.id).status == "queued" and counts(records, job) == (0, 0, "")


def test_twice_at_the_same_step_is_enough(records: Records, job: Job) -> None:
    assert fail(records, job, KILLED).status == "queued"
    row = fail(records, job, KILLED)
    assert row.status == "failed" and "twice at the same step" in row.error


def test_before_the_first_step_no_place_is_known(records: Records, job: Job) -> None:
    tries = [fail(records, job, replace(KILLED, place="")).status for _ in range(3)]
    assert tries == ["queued", "queued", "failed"]


def test_what_got_further_is_counted_anew(records: Records, job: Job) -> None:
    for step in range(2, 12, 2):
        assert fail(records, job, KILLED).status == "queued"
        saved(records, job, step)
        assert fail(records, job, KILLED).status == "queued", "at the same step, but something was saved since"
        saved(records, job, step, likeness=0.5)  # measured since
    assert counts(records, job)[0] == 1


def test_lost_workers_are_counted_since_the_last_progress(records: Records, job: Job) -> None:
    for step in range(2, 12, 2):
        taken(records, job, LOST)
        assert [row.status for row in records.jobs.release_lost()] == ["queued"]
        taken(records, job, LOST)
        assert [row.status for row in records.jobs.release_lost()] == ["queued"]
        saved(records, job, step)
    taken(records, job, LOST)
    assert [row.status for row in records.jobs.release_lost()] == ["queued"] and counts(records, job)[1] == 1
    for status in ("queued", "failed"):
        taken(records, job, LOST)
        assert [row.status for row in records.jobs.release_lost()] == [status]
    assert "3 times in a row without getting further" in records.jobs.get(job.id).error


def test_out_of_memory_takes_smaller_steps(records: Records, job: Job) -> None:
    memory = replace(KILLED, cause="memory", can_shrink=True)
    assert [fail(records, job, memory).savings for _ in range(2)] == [1, 2], "though it is the same step"
    assert fail(records, job, memory).status == "failed"
    again = records.jobs.requeue(job.id)
    assert again.savings == 2, "whoever resumes it does not begin with what cannot fit"
    assert fail(records, job, replace(memory, can_shrink=False)).savings == 2
    assert "twice at the same step" in fail(records, job, replace(memory, can_shrink=False)).error


def test_nobody_else_and_nobody_who_was_to_stop(records: Records, job: Job) -> None:
    claimed = taken(records, job)
    assert records.jobs.retry(job.id, "another", claimed.attempt, KILLED) is None
    assert records.jobs.retry(job.id, "worker", claimed.attempt + 1, KILLED) is None
    records.jobs.request_stop(job.id, "keep")
    assert records.jobs.retry(job.id, "worker", claimed.attempt, KILLED) is None
    assert records.jobs.get(job.id).status == "stopping"
