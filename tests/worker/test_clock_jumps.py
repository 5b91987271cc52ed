"""A clock that jumps a day, forward and back, under queue, lease, heartbeat, practice, upload and cleaning.

Here it is the clock of the records, of a store or of a page; `python -m tests.benchmarks.bad_days --clock` sets that of
whole programs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import minio.time
import pytest

from pipelines.core.events import Event
from pipelines.core.jobs.durations import working_seconds
from pipelines.core.jobs.job import Job, Worker, new_id
from pipelines.core.queue.submit import stop
from pipelines.core.records import database
from pipelines.core.settings import Settings
from pipelines.core.storage.garbage import GRACE_S, collect_garbage
from pipelines.core.storage.open_store import open_store
from pipelines.core.storage.store import StoreError, exists, put_content, read
from pipelines.core.storage.store_s3 import S3Store
from pipelines.train import stage_totals
from studio.actions import estimates
from studio.actions.job_progress import progress_of
from studio.context import AppContext
from tests.worker.conftest import Deployment
from tests.worker.test_runner import busy
from worker.sweeper import DAY_S, GARBAGE_AGE_S, Sweeper
from worker.worker_context import WorkerContext

JUMPS = pytest.mark.parametrize("jump", [DAY_S, -DAY_S], ids=["forward", "back"])


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the records' clock so many seconds off the right time."""
    off = 0.0

    def now() -> str:
        return (datetime.now(UTC) + timedelta(seconds=off)).isoformat(timespec="microseconds")

    def change(seconds: float) -> None:
        nonlocal off
        off = seconds

    monkeypatch.setattr(database, "now", now)
    return change


@JUMPS
def test_a_live_worker_keeps_its_job(
    jump: float, set_clock: Callable[[float], None], embedded: Deployment, context: WorkerContext
) -> None:
    sweeper = Sweeper(embedded.settings, embedded.records, embedded.store)
    job, thread = busy(embedded, context, "polite")
    sweeper.round()
    set_clock(jump)
    until = time.monotonic() + embedded.settings.lease_s
    while time.monotonic() < until:
        sweeper.round()
        time.sleep(0.4)
    kept = embedded.records.jobs.get(job.id)
    assert (kept.status, kept.attempt) == ("running", 1)
    assert [one.job for one in embedded.records.workers.list(embedded.settings.worker_alive_s)] == [job.id]
    stop(embedded.records, job.id, "keep")
    thread.join(30)
    steps = [event.step for event in embedded.records.events.after(job.id) if event.stage == "sft"]
    assert steps == list(range(1, len(steps) + 1)) and embedded.records.jobs.get(job.id).status == "stopped"


def test_what_was_before_the_clock_was_set_back_waits_for_no_day(
    set_clock: Callable[[float], None], embedded: Deployment
) -> None:
    set_clock(DAY_S)
    job = embedded.training_without_message()
    gone = embedded.records.workers.register(Worker(new_id(), "host", ("train",)))
    set_clock(0)
    assert [one.id for one in embedded.records.jobs.waiting(10.0)] == [job.id], "its message may be lost"
    assert embedded.records.workers.list(alive_within_s=60) == [], "nobody was heard of since"
    assert [one.id for one in embedded.records.workers.list()] == [gone.id]
    claimed = embedded.records.jobs.claim_next("train", "worker", 60)
    assert claimed is not None and claimed.id == job.id
    sweeper = Sweeper(embedded.settings, embedded.records, embedded.store)
    sweeper._cleaned.touch()
    future = time.time() + 400 * DAY_S

    os.utime(sweeper._cleaned, (future, future))
    sweeper.round()
    assert sweeper._cleaned.stat().st_mtime < time.time() + 60, "a clock that was a year ahead stops no cleaning"


@JUMPS
def test_a_run_says_how_long_it_worked(jump: float) -> None:
    began = datetime(2026, 11, 27, tzinfo=UTC)
    offs = [0.0, 10.0, 20.0 + jump, 30.0 + jump, 40.0 + jump]
    stages = ("prepare", "sft", "sft", "grpo", "save")
    times = [(began + timedelta(seconds=off)).isoformat(timespec="microseconds") for off in offs]
    events = [
        Event(
            stage,
            step=1,
            total=2,
            sequence=number,
            time=at,
            metrics={"tokens": 5.0} if stage in ("sft", "grpo") else {},
        )
        for number, (stage, at) in enumerate(zip(stages, times, strict=True))
    ]
    told = stage_totals(events)
    assert told["seconds"] == 30.0 and told["stages"]["sft"]["seconds"] == 10.0, (
        "what lies across the jump is not known"
    )
    assert working_seconds(times[0], times[1]) == 10.0
    job = Job("a", "train", "local", status="running", recipe={}, started=times[0], attempt=1)
    for at in (*times, (began - timedelta(days=1)).isoformat(), (began + timedelta(days=1)).isoformat()):
        shown = progress_of(job, events, at=at)
        assert "-" not in shown.time_words and "day" not in shown.time_words, shown.time_words
        assert shown.seconds_left is None or 0 <= shown.seconds_left < 3600


@JUMPS
def test_how_long_trainings_take_is_not_told_wrong(
    jump: float, set_clock: Callable[[float], None], embedded: Deployment
) -> None:
    job = embedded.training_without_message()
    assert embedded.records.jobs.claim(job.id, "worker", 60) is not None
    embedded.records.events.append(job.id, 1, [Event("sft", step=1, total=4, sequence=0)])
    set_clock(jump)
    embedded.records.events.append(job.id, 1, [Event("sft", step=2, total=4, sequence=1)])
    assert embedded.records.jobs.finish(job.id, "worker", 1, "succeeded")
    studio = AppContext(embedded.settings, embedded.records, embedded.store)
    took = estimates._took(studio, embedded.records.jobs.get(job.id))
    assert 0 <= took < 60, "it took a second, not a day"


@JUMPS
def test_cleaning_takes_nothing_that_is_young(jump: float, embedded: Deployment) -> None:
    """A day off, an upload of a moment ago is a day old: less than the two days that anything is left alone."""
    version = embedded.version()
    on_its_way = put_content(embedded.store, b"its row is not written yet", "adapters", ".bin")
    at = datetime.now(UTC) + timedelta(seconds=jump)
    sweep = collect_garbage(
        embedded.store, embedded.records.keys(), GARBAGE_AGE_S, dry_run=False, now=at, grace_s=GRACE_S
    )
    assert sweep.gone == [] and sweep.trash == {}
    assert read(embedded.store, on_its_way) and all(exists(embedded.store, key) for key in version.images.values())


def test_the_trash_keeps_its_time_when_the_clock_goes_back(embedded: Deployment) -> None:

    embedded.version()
    key = put_content(embedded.store, b"nobody wants this", "pictures", ".png")
    os.utime(embedded.store.root / key, (0, time.time() - 10 * DAY_S))  # type: ignore[attr-defined]

    def sweep(days: float) -> list[str]:
        at = datetime.now(UTC) + timedelta(days=days)
        keys = embedded.records.keys()
        found = collect_garbage(embedded.store, keys, GARBAGE_AGE_S, dry_run=False, now=at, grace_s=GRACE_S)
        return [gone for gone, _ in found.gone]

    assert sweep(1) == [] and sweep(0) == [] and sweep(7.5) == [] and exists(embedded.store, key)
    assert sweep(8.1) == [key]


def test_a_store_says_that_the_clocks_differ(s3_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(s3_settings)
    key = put_content(store, b"kept", "pictures", ".png")
    right = minio.time.utcnow
    monkeypatch.setattr(minio.time, "utcnow", lambda: right() + timedelta(days=1))
    assert isinstance(store, S3Store)
    with pytest.raises(StoreError, match=r"the clock of this machine is not that of .*set both right"):
        put_content(store, b"another", "pictures", ".png")
    monkeypatch.setattr(minio.time, "utcnow", right)
    assert read(store, key) == b"kept"
    assert read(store, put_content(store, b"another", "pictures", ".png")) == b"another"
