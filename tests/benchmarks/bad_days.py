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

from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from pipelines.core import full_disk
from pipelines.core.jobs.job import ENDED, Job, RecordsUnusable
from pipelines.core.queue.submit import resume
from pipelines.core.run_folder import BASE, read_json
from pipelines.core.settings import Settings
from pipelines.core.storage.store import StoreError, read
from studio import autosave
from tests.services import PostgresServer, running
from tests.small_disk import small_disk
from tests.toys import write_toy
from tests.worker.conftest import QUICK, Deployment, open_deployment
from tests.worker.processes import sweeper, worker
from worker import runner
from worker.job_loop import drain_queue
from worker.sweeper import Sweeper
from worker.worker_context import WorkerContext

WANTED = (BASE, "sft-000002", "sft-000004", "grpo-000001", "grpo-000002")
"""Checkpoints of the toy recipe."""
APP = Path(__file__).resolve().parents[2] / "studio" / "navigation.py"
PLACES = ("runs", "objects", "records", "home")
LEAVES = (0, 4_000, 60_000, 400_000)
"""Bytes that are left when the disk fills: which file is cut depends on it."""


def whole(deployment: Deployment, job: Job) -> list[str]:
    """What is not as it should be of a training that has succeeded; reads every byte."""
    wrong = [] if job.status == "succeeded" else [f"it is {job.status}: {job.error}"]
    rows = {row.name: row for row in deployment.records.checkpoints.of_job(job.id)}
    wanted = [name for name in WANTED if (job.recipe or {}).get("grpo_steps") or not name.startswith("grpo")]
    wrong += [f"{name} is missing" for name in wanted if name not in rows]
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


def disk_case(place: str, leave: int, folder: Path, **overrides: int) -> dict[str, Any]:
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
            return _fill_and_go_on(deployment, disk, place, overrides)


def _fill_and_go_on(deployment: Deployment, disk: Any, place: str, overrides: dict[str, int]) -> dict[str, Any]:
    job = deployment.training(**overrides)
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


# ---------------------------------------------------------------- the clock


JUMPS = ("+0d", "+1d", "-1d", "+0d")
"""What the clock says before the training, from its second step, from its first practice, and from its end."""


def faked_clock(file: Path) -> dict[str, str]:
    """The environment of programs whose wall clock is what the file says; {} without libfaketime."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        return {}
    return {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def clock_case(folder: Path) -> dict[str, Any]:
    """A training in real programs whose clock jumps a day forward, two days back and a day forward again."""
    folder.mkdir(parents=True)
    file = folder / "clock"
    extra = faked_clock(file)
    if not extra:
        return {"left_out": "libfaketime is not installed (apt-get install libfaketime)", "wrong": []}
    deployment = open_deployment(Settings(home=folder / "home", **QUICK), write_toy(folder / "ada"))
    began, seen = time.monotonic(), []

    def set_clock(place: int) -> None:
        fresh = file.with_suffix(".new")
        fresh.write_text(JUMPS[place], encoding="ascii")
        fresh.rename(file)
        seen.append(JUMPS[place])

    set_clock(0)
    job = deployment.training()
    with worker(deployment, **extra), sweeper(deployment, **extra):
        while (status := deployment.records.jobs.get(job.id).status) not in ENDED and time.monotonic() - began < 600:
            stages = [event.stage for event in deployment.records.events.after(job.id) if event.metrics]
            reached = 2 if "grpo" in stages else 1 if stages.count("sft") >= 2 else 0
            if len(seen) == reached:
                set_clock(len(seen))
            elif len(seen) <= reached:
                set_clock(reached)
            time.sleep(0.1)
        set_clock(3)
        later = deployment.training()
        while deployment.records.jobs.get(later.id).status not in ENDED and time.monotonic() - began < 600:
            time.sleep(0.2)
    ended = deployment.records.jobs.get(job.id)
    wrong = whole(deployment, ended) + whole(deployment, deployment.records.jobs.get(later.id))
    result = read_json(deployment.settings.runs_folder / job.id / "result.json") if status == "succeeded" else {}
    if not 0 < result.get("seconds", 0) < 600:
        wrong.append(f"it says that it took {result.get('seconds')} s")
    if ended.attempt != 1:
        wrong.append(f"it was taken from its worker: attempt {ended.attempt}")
    times = [event.time[:10] for event in deployment.records.events.after(job.id, limit=100_000)]
    deployment.records.close()
    return {"days": sorted(set(times)), "seconds": result.get("seconds"), "attempt": ended.attempt, "wrong": wrong}


# ---------------------------------------------------------------- the records


def records_case(away_s: float, folder: Path) -> dict[str, Any]:
    """PostgreSQL away under a training and a studio in which somebody looks around and types."""
    with running(PostgresServer) as server, server.database("away") as url:
        settings = Settings(home=folder / "home", database_url=url, **QUICK)
        deployment = open_deployment(settings, write_toy(folder / "ada"))
        wrong: list[str] = []
        with worker(deployment), sweeper(deployment), mock.patch.dict(os.environ, deployment.environment):
            draft = deployment.records.characters.create("local", {"name": "Bea", "persona": ""})
            job = deployment.training()
            while not [one for one in deployment.records.events.after(job.id) if one.stage == "sft" and one.metrics]:
                time.sleep(0.2)
            server.stop()
            looks = _look_around(draft.id, away_s, wrong)
            server.start()
            back = time.monotonic()
            if (status := _keep(draft.id, "Typed while it was away.").status_code) != 200:
                wrong.append(f"what was typed is not taken afterwards: {status}")
            while deployment.records.jobs.get(job.id).status not in ENDED and time.monotonic() - back < 300:
                time.sleep(0.3)
        ended = deployment.records.jobs.get(job.id)
        wrong += whole(deployment, ended)
        if deployment.records.characters.get(draft.id).draft["persona"] != "Typed while it was away.":
            wrong.append("what was typed is lost")
        deployment.records.close()
        return {
            "away_s": away_s,
            "looks": looks,
            "attempt": ended.attempt,
            "back_s": round(time.monotonic() - back, 1),
            "wrong": wrong,
        }


def _look_around(draft: str, away_s: float, wrong: list[str]) -> int:
    """Pages, and words that are typed, while nothing answers; how often somebody looked."""
    looks, until = 0, time.monotonic() + away_s
    while time.monotonic() < until:
        for name in ("characters", "training", "chat"):
            page = AppTest.from_file(str(APP), default_timeout=120).switch_page(f"app_pages/{name}.py").run()
            if "does not answer. Nothing is lost" not in " ".join(str(one.value) for one in page.markdown):
                wrong.append(f"the page {name} does not say it")
        if (status := _keep(draft, "Typed while it was away.").status_code) != 503:
            wrong.append(f"the browser is told {status}, so it would not send it again")
        looks += 1
        time.sleep(min(10.0, away_s / 4))
    return looks


def _keep(draft: str, words: str) -> Any:
    typed = {"key": f"text-{draft}-persona", "value": words, "base": "", "tab": "a", "number": 1}
    browser = TestClient(Starlette(routes=autosave.ROUTES), base_url="http://studio")
    return browser.post("/keep", json=typed, headers={"sec-fetch-site": "same-origin"})


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
    with tempfile.TemporaryDirectory(prefix="understudy-bad-day-") as folder:
        if (arguments.clock or every) and "clock" not in found:
            found["clock"] = clock_case(Path(folder) / "clock")
            save()
        if (arguments.records or every) and "records" not in found:
            found["records"] = records_case(arguments.away, Path(folder) / "records")
            save()
    print(json.dumps(found))
    return int(bool(broken(found)))


if __name__ == "__main__":
    sys.exit(main())
