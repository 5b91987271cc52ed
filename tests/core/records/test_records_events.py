"""Events: kept once each, numbered over all attempts, and as they were."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest

from pipelines.core.events import Event
from pipelines.core.jobs.job import Job, LeaseLost, RecordMissing, new_id
from pipelines.core.records import Records


def steps(first: int, last: int, stage: str = "sft") -> list[Event]:
    """Numbered as the trainer does."""
    return [Event(stage, step=n, total=100, sequence=n) for n in range(first, last + 1)]  # type: ignore[arg-type]


def test_an_event_comes_back_as_it_was(records: Records, job: Job) -> None:
    sent = Event(
        "grpo",
        3,
        6,
        {"loss": 0.25, "reward": float("nan")},
        note="“saved” \u0000 \ud83d",
        artifacts=("checkpoints/sft-000060", "a b.png"),
        sequence=17,
        time="2026-11-22T01:02:03.000004+00:00",
    )
    assert records.events.append(job.id, 1, [sent]) == 1
    (kept,) = records.events.after(job.id)
    assert json.dumps(kept.metrics) == json.dumps(sent.metrics)
    whole = "“saved” \u0000 \ufffd"  # no page can draw half a character
    assert replace(kept, metrics={}) == replace(sent, metrics={}, job=job.id, sequence=0, note=whole)
    assert Event.from_line(kept.to_line()).note == whole
    records.events.append(job.id, 1, [Event("sft", sequence=18)])
    assert records.events.after(job.id, 0)[0].time > "2026", "who records an event dates it"


def test_what_is_sent_again_is_not_kept_again(records: Records, job: Job) -> None:
    assert records.events.append(job.id, 1, steps(0, 4)) == 5
    assert records.events.append(job.id, 1, steps(0, 4)) == 0
    assert records.events.append(job.id, 1, steps(3, 7)) == 3
    assert records.events.append(job.id, 1, [*steps(9, 9), *steps(9, 9), *steps(8, 8)]) == 2
    assert records.events.append(job.id, 1, []) == 0
    kept = records.events.after(job.id)
    assert [event.step for event in kept] == [0, 1, 2, 3, 4, 5, 6, 7, 9, 8], "in the order of arrival"
    assert [event.sequence for event in kept] == list(range(10)) and records.events.count(job.id) == 10


def test_one_growing_sequence_over_attempts(records: Records, job: Job) -> None:
    records.events.append(job.id, 1, steps(0, 2))
    noted = records.events.note(job.id, 1, Event("save", note="the worker was lost", sequence=1))
    assert (noted.sequence, noted.job) == (3, job.id) and noted.time
    # A resumed run folder counts on from 3; one made anew on another machine starts at 0.
    assert records.events.append(job.id, 2, steps(3, 4)) == 2
    assert records.events.append(job.id, 3, steps(0, 1)) == 2
    kept = records.events.after(job.id)
    assert [event.sequence for event in kept] == list(range(8))
    assert [event.step for event in kept] == [0, 1, 2, 0, 3, 4, 0, 1]
    assert kept[3] == noted
    assert records.events.note(job.id, 3, noted).sequence == 8, "a note has no number of its own to be known by"


def test_a_lost_worker_writes_no_more(records: Records, job: Job) -> None:
    records.jobs.claim(job.id, "w1", -1)
    records.events.append(job.id, 1, steps(0, 0))
    records.jobs.release_lost()
    records.events.append(job.id, 1, steps(1, 1))  # nobody has begun anew yet
    records.jobs.claim(job.id, "w2", 60)
    with pytest.raises(LeaseLost, match="attempt 2 by now"):
        records.events.append(job.id, 1, steps(2, 2))
    with pytest.raises(LeaseLost):
        records.events.note(job.id, 1, Event("save"))
    with pytest.raises(RecordMissing, match="nothing"):
        records.events.append("nothing", 1, steps(0, 0))
    assert records.events.count(job.id) == 2


def test_following(records: Records, job: Job) -> None:
    other = records.jobs.add(Job(new_id(), "train", "bo"))
    assert records.events.after(job.id) == [] and records.events.latest(job.id) is None
    assert records.events.count(job.id) == 0
    records.events.append(job.id, 1, [Event("prepare", sequence=0), *steps(1, 5), Event("save", sequence=6)])
    records.events.append(other.id, 1, steps(0, 2))
    seen: list[Event] = []
    while page := records.events.after(job.id, seen[-1].sequence if seen else -1, limit=3):
        seen += page
    assert [event.stage for event in seen] == ["prepare", *["sft"] * 5, "save"]
    latest = records.events.latest(job.id)
    assert latest == seen[-1] and records.events.latest(job.id, "sft") == seen[5]
    assert records.events.latest(job.id, "grpo") is None
    assert [event.job for event in records.events.after(other.id)] == [other.id] * 3


def test_two_senders_make_one_log(records: Records, job: Job) -> None:
    def relay() -> None:
        for n in range(30):
            records.events.append(job.id, 1, steps(n, n + 1))

    def note() -> None:
        for _ in range(30):
            records.events.note(job.id, 1, Event("save", note="still here"))

    threads = [threading.Thread(target=work) for work in (relay, relay, note, note)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = records.events.after(job.id, limit=1000)
    assert [event.sequence for event in kept] == list(range(31 + 60))
    assert sorted(event.step for event in kept if event.stage == "sft") == list(range(31))
