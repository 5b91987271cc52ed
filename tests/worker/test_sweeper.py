"""The sweeper's rounds: discarded jobs, idle workers alone are nudged, the forgotten, and the daily cleaning."""

from __future__ import annotations

import json
import os
import time

from pipelines.core.jobs.job import Checkpoint, Worker, new_id
from pipelines.core.queue.submit import stop
from pipelines.core.records.database import later
from pipelines.core.storage.installation import TRASH_KEY, claim_store
from pipelines.core.storage.store import exists, put_content, read
from tests.worker.conftest import Deployment
from worker.run_folders import KEPT_S, RunFolder
from worker.sweeper import DAY_S, GARBAGE_AGE_S, Sweeper


def sweeping(deployment: Deployment) -> Sweeper:
    """A sweeper on this deployment that thinks every nudge old."""
    sweeper = Sweeper(deployment.settings, deployment.records, deployment.store)
    sweeper.every_s = 0.0
    return sweeper


def test_only_idle_workers_are_nudged(deployment: Deployment) -> None:
    sweeper = sweeping(deployment)
    for _ in range(3):
        deployment.training_without_message()
    sweeper.round()
    assert deployment.take_messages() == 0  # nobody is there to hear it
    busy = deployment.records.workers.register(Worker(new_id(), "host", ("train",)))
    deployment.records.workers.seen(busy.id, "some job")
    deployment.records.workers.register(Worker(new_id(), "host", ("train",)))
    deployment.records.workers.register(Worker(new_id(), "host", ("reply",)))
    sweeper.round()
    assert deployment.take_messages() == 1


def test_a_discarded_job_whose_worker_was_lost_keeps_no_checkpoints(embedded: Deployment) -> None:
    job = embedded.training_without_message()
    claimed = embedded.records.jobs.claim(job.id, "ghost", 0.01)
    assert claimed is not None
    embedded.records.checkpoints.put(Checkpoint(job.id, "sft-000002", "sft", 2, "starter-toy"))
    stop(embedded.records, job.id, "discard")
    time.sleep(0.05)
    sweeping(embedded).round()
    assert embedded.records.jobs.get(job.id).status == "stopped"
    assert embedded.records.checkpoints.of_job(job.id) == []


def test_a_worker_of_long_ago_is_forgotten(embedded: Deployment) -> None:
    from sqlalchemy import create_engine, text

    old = embedded.records.workers.register(Worker(new_id(), "host", ("train",)))
    new = embedded.records.workers.register(Worker(new_id(), "host", ("train",)))
    with create_engine(embedded.settings.database_url).begin() as connection:
        long_ago = {"seen": "2026-01-01T00:00:00.000000+00:00", "id": old.id}
        connection.execute(text("UPDATE workers SET seen = :seen WHERE id = :id"), long_ago)
    sweeping(embedded).round()
    assert [worker.id for worker in embedded.records.workers.list()] == [new.id]


def test_the_daily_cleaning(embedded: Deployment) -> None:
    """Old objects that nothing refers to go, and run folders of jobs that ended long ago; once a day."""
    version = embedded.version()
    used = next(iter(version.images.values()))
    unused = put_content(embedded.store, b"nobody wants this", "pictures", ".png")
    for key in (used, unused):
        os.utime(embedded.store.root / key, (0, time.time() - GARBAGE_AGE_S - 60))  # type: ignore[attr-defined]
    ended, waiting, recent = (embedded.training_without_message() for _ in range(3))
    for job in (ended, recent):
        embedded.records.jobs.request_stop(job.id, "keep")
    ages = {ended.id: KEPT_S, waiting.id: KEPT_S, recent.id: KEPT_S / 2, "deleted": KEPT_S / 2}
    folders = {id: RunFolder(embedded.settings.runs_folder, id) for id in ages}
    for id, folder in folders.items():
        folder.path.mkdir(parents=True)
        folder.note_attempt(1)
        os.utime(folder.note_path, (0, time.time() - ages[id] - 60))
    sweeper = sweeping(embedded)
    sweeper.round()
    assert exists(embedded.store, unused)  # not on the first day
    marker = embedded.settings.home / "cleaned"
    os.utime(marker, (0, time.time() - DAY_S - 60))
    sweeper.round()
    assert exists(embedded.store, unused), "it is in the trash"
    trash = json.loads(read(embedded.store, TRASH_KEY))
    embedded.store.put(TRASH_KEY, json.dumps(dict.fromkeys(trash, "2026-01-01T00:00:00+00:00")).encode())
    assert list(trash) == [unused]
    os.utime(marker, (0, time.time() - DAY_S - 60))
    sweeper.round()
    assert not exists(embedded.store, unused) and exists(embedded.store, used)
    assert [id for id, folder in folders.items() if folder.path.exists()] == [waiting.id, recent.id]
    assert time.time() - marker.stat().st_mtime < 60


def test_another_installations_objects_are_left_alone(embedded: Deployment) -> None:
    key = put_content(embedded.store, b"somebody's", "pictures", ".png")
    os.utime(embedded.store.root / key, (0, 0))  # type: ignore[attr-defined]
    claim_store(embedded.store, "another")
    embedded.version()
    sweeper = sweeping(embedded)
    for _ in range(2):
        sweeper.round()
        os.utime(embedded.settings.home / "cleaned", (0, time.time() - DAY_S - 60))
    assert exists(embedded.store, key) and not exists(embedded.store, TRASH_KEY)


class Machine:
    """A machine whose steady clock the test sets."""

    def __init__(self) -> None:
        self.steady = 1000.0

    def clock(self) -> float:
        """Seconds that it was awake."""
        return self.steady


def test_a_machine_that_slept_takes_no_job_away(embedded: Deployment) -> None:
    """Wall clock and leases ran on, the steady clock did not: the worker, which slept as well, is given time."""
    machine = Machine()
    sweeper = Sweeper(embedded.settings, embedded.records, embedded.store, machine.clock)
    lease_s = embedded.settings.lease_s
    job = embedded.training_without_message()
    claimed = embedded.records.jobs.claim(job.id, "asleep", lease_s)
    assert claimed is not None
    sweeper.round()
    embedded.records.jobs.heartbeat(job.id, "asleep", 0.01)  # the last one before the lid was closed
    time.sleep(lease_s / 4 + 0.3)  # the night; the steady clock stands still
    sweeper.round()
    assert embedded.records.jobs.get(job.id).status == "running"
    machine.steady += sweeper.every_s
    sweeper.round()
    assert embedded.records.jobs.get(job.id).status == "running", "it may need a moment"
    embedded.records.jobs.heartbeat(job.id, "asleep", lease_s, claimed.attempt)
    machine.steady += lease_s
    sweeper.round()
    assert embedded.records.jobs.get(job.id).attempt == 1 and embedded.records.jobs.get(job.id).status == "running"


def test_a_worker_that_never_woke_up_loses_its_job_all_the_same(embedded: Deployment) -> None:
    began = time.monotonic()
    asleep = 0.0
    sweeper = Sweeper(embedded.settings, embedded.records, embedded.store, lambda: time.monotonic() - began - asleep)
    job = embedded.training_without_message()
    embedded.records.jobs.claim(job.id, "gone", 0.01)
    sweeper._clocks_agree()
    asleep = time.monotonic() - began + embedded.settings.lease_s  # it slept for a lease, says the steady clock
    sweeper.round()
    assert embedded.records.jobs.get(job.id).status == "running"
    time.sleep(embedded.settings.lease_s / 2 + 0.2)
    sweeper.round()
    assert embedded.records.jobs.get(job.id).status == "queued"


def test_a_clock_that_is_set_back_a_day_keeps_no_lost_job_for_a_day(embedded: Deployment) -> None:
    from sqlalchemy import create_engine, text

    lost, alive = (embedded.training_without_message() for _ in range(2))
    for job in (lost, alive):
        embedded.records.jobs.claim(job.id, "worker", 60)
    tomorrow = {"then": later(embedded.records.clock(), DAY_S)}
    with create_engine(embedded.settings.database_url).begin() as connection:
        connection.execute(text("UPDATE jobs SET lease_until = :then, heartbeat = :then"), tomorrow)
    embedded.records.jobs.heartbeat(alive.id, "worker", 60)
    sweeping(embedded).round()
    assert embedded.records.jobs.get(lost.id).status == "queued"
    assert embedded.records.jobs.get(alive.id).status == "running"


def test_rounds_survive_records_that_do_not_answer(embedded: Deployment) -> None:
    sweeper = Sweeper(embedded.settings, embedded.records, embedded.store)
    path = embedded.settings.home / "understudy.db"
    embedded.records.close()
    away = path.with_suffix(".away")
    path.rename(away)
    path.mkdir()
    try:
        sweeper.round()
    finally:
        path.rmdir()
        away.rename(path)
    assert embedded.records.jobs.list() == []
