"""Bad days: a disk that fills, a clock that jumps a day, records that are away for minutes; nothing may be lost.

    python -m tests.benchmarks.bad_days [--disk] [--clock] [--records] [--away 300] [--out FILE]

Real toy trainings throughout. `--disk` (root only) fills a small file system under run folders, objects, records and
all of them, at several points of a training. `--clock` sets the clock of every program a day forward and back with
libfaketime. `--records` stops PostgreSQL for so many seconds while a training runs and people use the studio. Without
one of the three: all. Cases that are in FILE are not run again. Prints one JSON object; exit status 1 when something
does not hold. `make test` runs a part of it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

from pipelines.core import full_disk
from pipelines.core.jobs.job import ENDED, Job, RecordsUnusable
from pipelines.core.queue.submit import resume
from pipelines.core.run_folder import BASE
from pipelines.core.settings import Settings
from pipelines.core.storage.store import StoreError, read
from tests.small_disk import small_disk
from tests.toys import write_toy
from tests.worker.conftest import QUICK, Deployment, open_deployment
from worker import runner
from worker.job_loop import drain_queue
from worker.sweeper import Sweeper
from worker.worker_context import WorkerContext

WANTED = (BASE, "sft-000002", "sft-000004", "grpo-000001", "grpo-000002")
"""Checkpoints of the toy recipe."""
PLACES = ("runs", "objects", "records", "home")
LEAVES = (0, 4_000, 60_000, 400_000)
"""Bytes that are left when the disk fills: which file is cut depends on it."""


def whole(deployment: Deployment, job: Job) -> list[str]:
    """What is not as it should be of a training that has succeeded; reads every byte."""
    wrong = [] if job.status == "succeeded" else [f"it is {job.status}: {job.error}"]
    rows = {row.name: row for row in deployment.records.checkpoints.of_job(job.id)}
    wrong += [f"{name} is missing" for name in WANTED if name not in rows]
    wrong += [f"{name} was not measured" for name, row in rows.items() if not row.scores]
    for key in sorted({key for row in rows.values() for key in row.files.values()}):
        try:
            read(deployment.store, key)
        except StoreError as error:
            wrong.append(str(error))
    events = deployment.records.events.after(job.id, limit=100_000)
    if [event.sequence for event in events] != list(range(len(events))):
        wrong.append("the log has gaps")
    return wrong


@contextmanager
def sweeping(deployment: Deployment) -> Iterator[None]:
    """A sweeper beside it, as `understudy up` has."""
    over = threading.Event()
    sweeper = Sweeper(deployment.settings, deployment.records, deployment.store)

    def rounds() -> None:
        while not over.wait(sweeper.every_s):
            sweeper.round()

    thread = threading.Thread(target=rounds, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=60)


def work(context: WorkerContext, until: Callable[[], bool]) -> None:
    """Take jobs until it is so, as a worker does: one that cannot be claimed is tried again."""
    while not until():
        with suppress(RecordsUnusable):
            drain_queue(context, ("train",), {"train": _ailing})
        time.sleep(0.3)


def _ailing(context: WorkerContext, job: Job, lease: Any) -> Any:
    def command(run_dir: Path, gpus: int) -> list[str]:
        return [sys.executable, "-m", "tests.worker.ailing_trainer", "full-3", str(run_dir)]

    return runner.run_training(context, job, lease, command)


def disk_case(place: str, leave: int, folder: Path) -> dict[str, Any]:
    """One training whose disk fills behind its third step; its end, once there is room again."""
    small = folder / "small"
    home = small if place == "home" else folder / "home"
    mounted = home / "runs" if place == "runs" else small
    with small_disk(mounted, 128) as disk, mock.patch.multiple(full_disk, RUN_GB=0.0, OBJECTS_GB=0.0, RECORDS_GB=0.0):
        settings = Settings(
            home=home,
            objects=str(small / "objects") if place == "objects" else "",
            database_url=f"sqlite:///{small / 'understudy.db'}" if place == "records" else "",
            **QUICK,
        )
        deployment = open_deployment(settings, write_toy(folder / "ada"))
        marks = {"AILING_DISK": str(mounted), "AILING_LEAVE": str(leave)}
        with mock.patch.dict(os.environ, marks), mock.patch.object(runner, "UPLOAD_PATIENCE_S", 4.0):
            return _fill_and_go_on(deployment, disk, place)


def _fill_and_go_on(deployment: Deployment, disk: Any, place: str) -> dict[str, Any]:
    job = deployment.training()
    context = deployment.worker_context()
    began = time.monotonic()

    def status() -> str:
        return deployment.records.jobs.get(job.id).status

    worker = threading.Thread(target=work, args=(context, lambda: context.stopping.is_set()), daemon=True)
    try:
        with sweeping(deployment):
            worker.start()
            while status() not in ENDED and disk.free > 1_000_000 and time.monotonic() - began < 300:
                time.sleep(0.1)
            # With records that cannot be written nothing can be said; anybody else has said it before long.
            full_at = time.monotonic()
            while status() not in ENDED and time.monotonic() - full_at < (9 if place in ("records", "home") else 240):
                time.sleep(0.1)
            said = deployment.records.jobs.get(job.id)
            before = [row.name for row in deployment.records.checkpoints.of_job(job.id)]
            disk.make_room()
            # A worker may have waited with saying it until the records could be written.
            _until_ended(status, began)
            said = said if said.error else deployment.records.jobs.get(job.id)
            if said.status == "failed":
                resume(deployment.records, deployment.app, job.id)
                _until_ended(status, began)
    finally:
        context.stopping.set()
        worker.join(timeout=120)
        context.close()
    ended = deployment.records.jobs.get(job.id)
    wrong = whole(deployment, ended)
    if said.status == "failed" and not (str(disk.folder) in said.error and "full" in said.error):
        wrong.append(f"it does not name the place: {said.error}")
    if said.status == "failed" and not ("ree " in said.error and "esume the job" in said.error):
        wrong.append(f"it does not say the mend: {said.error}")
    deployment.records.close()
    return {
        "said": said.error or said.status,
        "kept_before": before,
        "attempts": ended.attempt,
        "seconds": round(time.monotonic() - began, 1),
        "wrong": wrong,
    }


def _until_ended(status: Callable[[], str], began: float) -> None:
    while status() not in ENDED and time.monotonic() - began < 600:
        time.sleep(0.2)


def disk(found: dict[str, Any], save: Callable[[], None]) -> None:
    """Every place, every amount that is left."""
    for place in PLACES:
        for leave in LEAVES:
            name = f"disk {place} {leave}"
            if name not in found:
                with tempfile.TemporaryDirectory(prefix="understudy-bad-day-") as folder:
                    found[name] = disk_case(place, leave, Path(folder))
                print(name, json.dumps(found[name]), file=sys.stderr, flush=True)
                save()


def broken(found: dict[str, Any]) -> list[str]:
    """Names of cases in which something does not hold."""
    return [name for name, case in found.items() if case["wrong"]]


def main() -> int:
    """Run what was asked for; exit status 0 when everything holds."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bad_days")
    for part in ("disk", "clock", "records"):
        parser.add_argument(f"--{part}", action="store_true")
    parser.add_argument("--away", type=float, default=300.0, help="seconds without records")
    parser.add_argument("--out", type=Path, help="file of what was found; goes on where it ended")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    if arguments.out and arguments.out.is_file():
        found = json.loads(arguments.out.read_text(encoding="utf-8"))

    def save() -> None:
        if arguments.out:
            arguments.out.write_text(json.dumps(found, indent=1), encoding="utf-8")

    every = not (arguments.disk or arguments.clock or arguments.records)
    if arguments.disk or every:
        disk(found, save)
    print(json.dumps(found))
    return int(bool(broken(found)))


if __name__ == "__main__":
    sys.exit(main())
