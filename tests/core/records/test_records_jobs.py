"""Jobs: every step of their life, who may take it, and what happens when a worker is lost."""

from __future__ import annotations

import json
import multiprocessing
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from pipelines.core.jobs.job import Checkpoint, Job, LeaseLost, RecordMissing, new_id
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.records import Records
from pipelines.core.records.tables import JOBS

FORK = multiprocessing.get_context("fork")
LOST = -1.0
"""A lease in seconds that has run out when it begins."""


def test_a_job_is_kept_whole(records: Records) -> None:
    character = records.characters.create("ada", {})
    records.characters.publish(character.id, {"name": "Mira"})
    parent = records.jobs.add(Job(new_id(), "train", "ada"))
    recipe = json.loads(json.dumps(Recipe().to_json()))
    request = {"text": "Grüße, \u0000 and \ud83d", "n": [1, 2.5, None, True]}
    sent = Job(new_id(), "train", "ada", character.id, 1, recipe=recipe, request=request, priority=2, parent=parent.id)
    kept = records.jobs.add(sent)
    assert kept.created == kept.queued and datetime.fromisoformat(kept.created).utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(kept.created)) < timedelta(minutes=1)
    whole = {**request, "text": "Grüße, \u0000 and \ufffd"}  # no page can draw half a character
    assert records.jobs.get(sent.id) == replace(sent, created=kept.created, queued=kept.queued, request=whole)
    assert Job.from_json(json.loads(json.dumps(kept.to_json()))) == kept
    assert records.jobs.get(parent.id).recipe is None


def test_adding_twice_adds_once(records: Records, job: Job) -> None:
    records.jobs.claim(job.id, "worker", 60)
    assert records.jobs.add(replace(job, owner="eve")).status == "running"
    assert [row.owner for row in records.jobs.list()] == ["ada"]


def test_a_job_needs_what_it_names(records: Records) -> None:
    character = records.characters.create("ada", {})
    for missing in (
        Job(new_id(), "train", "ada", "nobody"),
        Job(new_id(), "train", "ada", character.id, 1),
        Job(new_id(), "train", "ada", parent="nothing"),
    ):
        with pytest.raises(RecordMissing, match=missing.id):
            records.jobs.add(missing)
    with pytest.raises(KeyError) as refused:
        records.jobs.get("nothing")
    assert str(refused.value) == "there is no job nothing: it was deleted, or the id is wrong"


def test_lists_newest_first_by_page(records: Records) -> None:
    rows = [records.jobs.add(Job(new_id(), "reply" if n % 2 else "train", "ada" if n % 3 else "bo")) for n in range(12)]
    newest = [row.id for row in reversed(rows)]
    first = records.jobs.list(limit=5)
    assert [row.id for row in first] == newest[:5]
    assert [row.id for row in records.jobs.list(limit=5, before=first[-1].id)] == newest[5:10]
    assert {row.owner for row in records.jobs.list(owner="bo")} == {"bo"} and len(records.jobs.list(owner="bo")) == 4
    assert [row.id for row in records.jobs.list("ada", "reply")] == [
        row.id for row in reversed(rows) if (row.owner, row.kind) == ("ada", "reply")
    ]
    records.jobs.claim(rows[3].id, "worker", 60)
    assert [row.id for row in records.jobs.list(statuses=["running", "failed"])] == [rows[3].id]
    assert records.jobs.list(statuses=[]) == [] and records.jobs.list(character="nobody") == []


def test_a_claim_is_for_one(records: Records, job: Job) -> None:
    claimed = records.jobs.claim(job.id, "w1", 60)
    assert claimed is not None and (claimed.status, claimed.worker, claimed.attempt) == ("running", "w1", 1)
    assert claimed.lease_until > claimed.heartbeat == claimed.started > job.queued
    for worker in ("w1", "w2"):
        assert records.jobs.claim(job.id, worker, 60) is None and records.jobs.claim_next("train", worker, 60) is None
    assert records.jobs.get(job.id) == claimed


def test_kinds_have_queues_of_their_own(records: Records, job: Job) -> None:
    assert records.jobs.claim_next("reply", "worker", 60) is None
    claimed = records.jobs.claim_next("train", "worker", 60)
    assert claimed is not None and claimed.id == job.id


def test_a_heartbeat_extends_the_lease_of_its_owner_alone(records: Records, job: Job) -> None:
    claimed = records.jobs.claim(job.id, "w1", 60)
    assert claimed is not None
    later = records.jobs.heartbeat(job.id, "w1", 600, attempt=1)
    assert later.lease_until > claimed.lease_until and later.heartbeat > claimed.heartbeat and later.cancel == ""
    for worker, attempt in (("w2", 1), ("w1", 2), ("w1", 0)):
        with pytest.raises(LeaseLost, match=job.id):
            records.jobs.heartbeat(job.id, worker, 60, attempt)
    with pytest.raises(LeaseLost):
        records.jobs.heartbeat("nothing", "w1", 60)
    assert records.jobs.get(job.id) == later


def test_only_the_owner_of_the_attempt_ends_a_job(records: Records, job: Job) -> None:
    assert not records.jobs.finish(job.id, "w1", 0, "succeeded"), "nobody has it"
    records.jobs.claim(job.id, "w1", LOST)
    assert [row.status for row in records.jobs.release_lost()] == ["queued"]
    records.jobs.claim(job.id, "w2", 60)
    assert not records.jobs.finish(job.id, "w1", 1, "succeeded") and not records.jobs.finish(job.id, "w2", 1, "failed")
    assert records.jobs.get(job.id).status == "running"
    with pytest.raises(ValueError, match="running"):
        records.jobs.finish(job.id, "w2", 2, "running")
    tail = "Traceback\n\0 out of memory \ud83d"
    assert records.jobs.finish(job.id, "w2", 2, "failed", "It did not fit.", tail)
    ended = records.jobs.get(job.id)
    assert (ended.status, ended.error, ended.worker, ended.lease_until) == ("failed", "It did not fit.", "w2", "")
    assert ended.log_tail == "Traceback\n? out of memory ?" and ended.ended > ended.started
    assert not records.jobs.finish(job.id, "w2", 2, "succeeded"), "an end is an end"
    with pytest.raises(LeaseLost):
        records.jobs.heartbeat(job.id, "w2", 60, 2)
    assert records.jobs.request_stop(job.id, "keep") == ended


def test_a_worker_that_is_late_but_not_replaced_still_ends_its_job(records: Records, job: Job) -> None:
    records.jobs.claim(job.id, "w1", LOST)
    assert records.jobs.finish(job.id, "w1", 1, "succeeded") and records.jobs.release_lost() == []


def test_stopping(records: Records, job: Job) -> None:
    stopped = records.jobs.request_stop(job.id, "keep")
    assert (stopped.status, stopped.cancel) == ("stopped", "keep") and stopped.ended
    assert records.jobs.claim(job.id, "worker", 60) is None

    running = records.jobs.add(Job(new_id(), "train", "ada"))
    records.jobs.claim(running.id, "worker", 60)
    assert records.jobs.request_stop(running.id, "keep").status == "stopping"
    assert records.jobs.heartbeat(running.id, "worker", 60).cancel == "keep"
    assert records.jobs.request_stop(running.id, "discard").cancel == "discard"
    assert records.jobs.request_stop(running.id, "keep").cancel == "discard", "what is thrown away is not kept again"
    assert records.jobs.finish(running.id, "worker", 1, "stopped")
    with pytest.raises(RecordMissing):
        records.jobs.request_stop("nothing", "keep")


def test_a_lost_job_is_tried_three_times(records: Records, job: Job) -> None:
    behind = records.jobs.add(Job(new_id(), "train", "bo"))
    for attempt in (1, 2):
        claimed = records.jobs.claim_next("train", f"w{attempt}", LOST)
        assert claimed is not None and (claimed.id, claimed.attempt) == (job.id, attempt), "it keeps its place"
        (row,) = records.jobs.release_lost()
        assert (row.id, row.status, row.worker, row.lease_until, row.queued) == (job.id, "queued", "", "", job.queued)
    records.jobs.claim(job.id, "w3", LOST)
    (row,) = records.jobs.release_lost()
    assert row.status == "failed" and row.ended and "disappeared 3 times" in row.error and "resume" in row.error
    assert records.jobs.release_lost() == [] and records.jobs.position(behind.id) == 1
    # Whoever resumes it gets three attempts again; the number of the attempt goes on.
    assert records.jobs.requeue(job.id).attempt == 3
    records.jobs.claim(job.id, "w4", LOST)
    assert [row.status for row in records.jobs.release_lost()] == ["queued"]
    assert [row.status for row in records.jobs.release_lost(max_attempts=1)] == []


def test_a_living_lease_is_left_alone(records: Records, job: Job) -> None:
    records.jobs.claim(job.id, "worker", 600)
    assert records.jobs.release_lost() == []
    records.jobs.heartbeat(job.id, "worker", LOST)
    records.jobs.heartbeat(job.id, "worker", 600)  # late, but before anybody looked
    assert records.jobs.release_lost() == []


@pytest.mark.parametrize("cancel", ["keep", "discard"])
def test_a_lost_job_that_was_to_stop_is_stopped(records: Records, job: Job, cancel: str) -> None:
    records.jobs.claim(job.id, "worker", LOST)
    records.jobs.request_stop(job.id, cancel)  # type: ignore[arg-type]
    (row,) = records.jobs.release_lost()
    assert (row.status, row.cancel, row.error) == ("stopped", cancel, "") and row.ended


@pytest.mark.parametrize("ending", ["queued", "finished", "lost", "failed", "failed before", "kept before"])
def test_what_is_thrown_away_goes_in_the_transaction_that_ends_it(records: Records, job: Job, ending: str) -> None:
    """In one of its own it came back with a resume when the records went away in between."""
    records.checkpoints.put(Checkpoint(job.id, "base", "base", 0, "starter"))
    other = records.jobs.add(Job(new_id(), "train", "ada"))
    records.checkpoints.put(Checkpoint(other.id, "base", "base", 0, "starter"))
    if ending != "queued":
        records.jobs.claim(job.id, "worker", LOST)
    if ending.endswith("before"):
        records.jobs.finish(job.id, "worker", 1, "failed" if ending == "failed before" else "stopped")
    assert len(records.checkpoints.of_job(job.id)) == 1
    records.jobs.request_stop(job.id, "discard")
    if ending in ("finished", "failed"):
        assert len(records.checkpoints.of_job(job.id)) == 1, "it may succeed before its worker hears of it"
        records.jobs.finish(job.id, "worker", 1, "stopped" if ending == "finished" else "failed")
    if ending == "lost":
        records.jobs.release_lost()
    assert records.checkpoints.of_job(job.id) == [] and len(records.checkpoints.of_job(other.id)) == 1


def test_what_has_succeeded_is_not_thrown_away(records: Records, job: Job) -> None:
    records.checkpoints.put(Checkpoint(job.id, "base", "base", 0, "starter"))
    records.jobs.claim(job.id, "worker", 60)
    records.jobs.request_stop(job.id, "discard")
    records.jobs.finish(job.id, "worker", 1, "succeeded")
    records.jobs.request_stop(job.id, "discard")
    assert len(records.checkpoints.of_job(job.id)) == 1


def test_a_worker_gives_a_job_back(records: Records, job: Job) -> None:
    records.jobs.claim(job.id, "w1", 60)
    assert not records.jobs.release(job.id, "w2", 1) and not records.jobs.release(job.id, "w1", 2)
    for attempt in range(1, 6):  # this is no loss, so it may happen any number of times
        assert records.jobs.release(job.id, "w1", attempt)
        row = records.jobs.get(job.id)
        assert (row.status, row.worker, row.queued) == ("queued", "", job.queued)
        assert [row.id for row in records.jobs.waiting(60)] == [job.id], "somebody must be told"
        records.jobs.claim(job.id, "w1", 60)
    records.jobs.request_stop(job.id, "keep")
    assert not records.jobs.release(job.id, "w1", 6), "a job that is to stop is ended, not given back"


def test_resuming(records: Records, job: Job) -> None:
    assert records.jobs.requeue(job.id) == job, "it is queued already"
    records.jobs.claim(job.id, "worker", 60)
    running = records.jobs.get(job.id)
    assert records.jobs.requeue(job.id) == running
    records.jobs.request_stop(job.id, "keep")
    records.jobs.finish(job.id, "worker", 1, "stopped", "as you wished", "tail")
    row = records.jobs.requeue(job.id)
    assert (row.status, row.attempt, row.cancel, row.error, row.log_tail, row.ended) == ("queued", 1, "", "", "", "")
    assert row.queued > job.queued and row.worker == ""
    claimed = records.jobs.claim_next("train", "worker", 60)
    assert claimed is not None and claimed.attempt == 2
    records.jobs.finish(job.id, "worker", 2, "succeeded")
    with pytest.raises(ValueError, match="parent"):
        records.jobs.requeue(job.id)
    with pytest.raises(RecordMissing):
        records.jobs.requeue("nothing")


def test_jobs_wait_for_a_nudge(records: Records, job: Job) -> None:
    assert records.jobs.waiting(600) == [], "whoever added it has just sent a message"
    urgent = records.jobs.add(Job(new_id(), "train", "ada", priority=1))
    with records._database.write() as connection:
        connection.execute(update(JOBS).values(nudged="2026-01-01T00:00:00.000000+00:00"))
    assert [row.id for row in records.jobs.waiting(600)] == [urgent.id, job.id]
    assert [row.id for row in records.jobs.waiting(600, limit=1)] == [urgent.id]
    records.jobs.mark_notified([job.id, "nothing"])
    assert [row.id for row in records.jobs.waiting(600)] == [urgent.id]
    records.jobs.claim(urgent.id, "worker", LOST)
    assert records.jobs.waiting(600) == [], "a running job needs none"
    records.jobs.release_lost()
    assert [row.id for row in records.jobs.waiting(600)] == [urgent.id]


def test_of_many_who_claim_each_job_goes_to_one(records: Records) -> None:
    ids = {records.jobs.add(Job(new_id(), "train", f"owner {n % 7}")).id for n in range(200)}
    with multiprocessing.Manager() as shared:
        taken, start = shared.list(), FORK.Barrier(8)

        def claim_all(name: str) -> None:
            start.wait(60)
            while (claimed := records.jobs.claim_next("train", name, 60)) is not None:
                taken.append((claimed.id, claimed.worker, claimed.attempt))

        def two_threads(name: str) -> None:
            threads = [threading.Thread(target=claim_all, args=(f"{name}{n}",)) for n in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        children = [FORK.Process(target=two_threads, args=(f"p{n}t",)) for n in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join(120)
        assert [child.exitcode for child in children] == [0] * 4
        claims = list(taken)
    assert sorted(id for id, _, _ in claims) == sorted(ids), "none twice, none left"
    assert {attempt for _, _, attempt in claims} == {1} and len({worker for _, worker, _ in claims}) > 1
    assert all(records.jobs.get(id).worker == worker for id, worker, _ in claims)


def test_of_fifty_deliveries_one_runs(records: Records, job: Job) -> None:
    wins: list[str] = []
    start = threading.Barrier(50)

    def deliver(name: str) -> None:
        start.wait()
        if records.jobs.claim(job.id, name, 60) is not None:
            wins.append(name)

    threads = [threading.Thread(target=deliver, args=(f"w{n}",)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == 1 and records.jobs.get(job.id).worker == wins[0] and records.jobs.get(job.id).attempt == 1


def test_sweepers_do_not_count_a_loss_twice(records: Records) -> None:
    for _ in range(20):
        records.jobs.claim(records.jobs.add(Job(new_id(), "train", "ada")).id, "gone", LOST)
    released: list[Job] = []
    threads = [threading.Thread(target=lambda: released.extend(records.jobs.release_lost())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(released) == len({row.id for row in released}) == 20 and records.jobs.release_lost() == []


def test_a_discarded_job_begins_anew(records: Records, job: Job) -> None:
    records.jobs.claim(job.id, "worker", 60)
    records.jobs.finish(job.id, "worker", 1, "failed", "no memory")
    assert records.jobs.request_stop(job.id, "keep").cancel == ""
    row = records.jobs.request_stop(job.id, "discard")
    assert (row.status, row.cancel, row.error) == ("failed", "discard", "no memory")
    assert records.jobs.requeue(job.id).attempt == 2, "so attempt 3 finds no folder of attempt 2 to go on in"
