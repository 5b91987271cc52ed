"""The order of the queue: fair between owners, the same for places and claims, and as a plain sort would have it."""

from __future__ import annotations

import random
from collections import Counter

from pipelines.core.jobs.job import Job, new_id
from pipelines.core.records import Records


def add(records: Records, owner: str, priority: int = 0) -> Job:
    return records.jobs.add(Job(new_id(), "train", owner, priority=priority))


def expected_order(queued: list[Job], running: Counter[str]) -> list[str]:
    """The rule in plain Python."""
    turns: dict[str, int] = {}
    for owner in {job.owner for job in queued}:
        own = sorted((job for job in queued if job.owner == owner), key=lambda job: (-job.priority, job.queued, job.id))
        turns |= {job.id: rank + running[owner] for rank, job in enumerate(own, 1)}
    ordered = sorted(queued, key=lambda job: (-job.priority, turns[job.id], job.queued, job.id))
    return [job.id for job in ordered]


def test_owners_take_turns(records: Records) -> None:
    mine = [add(records, "ada") for _ in range(3)]
    theirs = [add(records, "bo") for _ in range(2)]
    late = add(records, "cy")
    wanted = [mine[0], theirs[0], late, mine[1], theirs[1], mine[2]]
    assert [records.jobs.position(job.id) for job in wanted] == [1, 2, 3, 4, 5, 6]


def test_who_has_jobs_running_waits_for_the_others(records: Records) -> None:
    first = add(records, "ada")
    records.jobs.claim(first.id, "worker", 60)
    second, other, third = add(records, "ada"), add(records, "bo"), add(records, "bo")
    # ada's second job and bo's second job are both their owner's second; ada's was queued before.
    assert [records.jobs.position(job.id) for job in (other, second, third)] == [1, 2, 3]
    records.jobs.request_stop(first.id, "keep")
    assert records.jobs.position(second.id) == 2, "a job that is stopping is still on a machine"
    records.jobs.finish(first.id, "worker", 1, "stopped")
    assert [records.jobs.position(job.id) for job in (second, other, third)] == [1, 2, 3]
    assert records.jobs.position(first.id) is None


def test_priority_goes_first_and_other_kinds_do_not_count(records: Records) -> None:
    plain, urgent = add(records, "bo"), add(records, "ada", priority=5)
    reply = records.jobs.add(Job(new_id(), "reply", "bo"))
    records.jobs.claim(reply.id, "worker", 60)
    waiting = records.jobs.add(Job(new_id(), "reply", "bo"))
    assert [records.jobs.position(job.id) for job in (urgent, plain, waiting)] == [1, 2, 1]


def test_places_and_claims_follow_the_rule(records: Records) -> None:
    rng = random.Random(4)
    jobs = {}
    for _ in range(40):
        job = add(records, rng.choice("abcde"), rng.choice([0, 0, 0, 1, -1]))
        jobs[job.id] = job
    running: Counter[str] = Counter()
    while jobs:
        order = expected_order(list(jobs.values()), running)
        # Every place at first and now and then; a few in between.
        for id in order if len(jobs) % 9 == 4 else rng.sample(order, min(3, len(order))):
            assert records.jobs.position(id) == order.index(id) + 1
        claimed = records.jobs.claim_next("train", "worker", 60)
        assert claimed is not None and claimed.id == order[0]
        running[jobs.pop(claimed.id).owner] += 1
        if rng.random() < 0.5:
            records.jobs.finish(claimed.id, "worker", 1, "succeeded")
            running[claimed.owner] -= 1
    assert records.jobs.claim_next("train", "worker", 60) is None
