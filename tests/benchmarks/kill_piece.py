"""One piece of the kills: SIGKILLs while toy trainings go through a fresh deployment, and what is true at the end.

`kills.py` puts pieces together. Real workers and sweeper, real redis-server, SeaweedFS and PostgreSQL, each killed with
its children and started again; a worker is started again as `understudy up` does it. Nobody resumes a job before the
kills are over and all has come to its end; what has failed by then is resumed once, as a person would, to see whether
anything is lost for good.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from statistics import mean
from typing import Any

import psutil

from pipelines.core.events import best_in
from pipelines.core.jobs.job import ENDED, Job
from pipelines.core.queue.submit import resume
from pipelines.core.records.retries import MAX_RETRIES
from pipelines.core.run_folder import BASE
from pipelines.core.storage.store import StoreError, read
from tests.services import PostgresServer, RedisServer, S3Server, Server, running
from tests.toys import write_toy
from tests.worker.conftest import QUICK, Deployment, open_deployment
from tests.worker.processes import Process

VICTIMS = ("trainer", "worker", "redis", "store", "records")
AWAY_S = {"redis": (0.0, 2.0), "store": (0.0, 2.0), "records": (2.0, 8.0)}
"""Least and most seconds until a killed server is started again. A lease of the tests is 6 s: records that are away for
three quarters of it hold every trainer still, and for longer let every lease run out."""
AHEAD = 2
"""Jobs that wait behind those that run."""
PAUSES = (0.2, 1.2)
"""Least and most time between two kills, in trainings: as long as one alone takes here, measured before the first kill.

What is killed more often than it can save anything is given up for good reason: three lost workers, or three killed
trainers, without a checkpoint in between, or two at one step. Two of five kills are of a trainer or a worker, and each
hits one of two jobs, so a job meets one every five kills: in the mean once in 3.5 trainings, however fast the machine.
"""
DRAIN_S = 900
"""So long the jobs have to come to their end once nobody is killed any more."""
WANTED = ("sft-000002", "sft-000004", "grpo-000001", "grpo-000002")
"""Checkpoints of the toy recipe."""
GIVEN_UP = ("twice at the same step", f"tried again {MAX_RETRIES} times", "times in a row without getting further")
"""What the error of a job says that was killed too often; kills are a reason for no other failure."""


def trainers(deployment: Deployment) -> dict[str, list[psutil.Process]]:
    """Job -> its trainers that are alive now."""
    found: dict[str, list[psutil.Process]] = defaultdict(list)
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if "pipelines.train" in words and process.status() != psutil.STATUS_ZOMBIE:
                run = Path(words[words.index("pipelines.train") + 1])
                if run.parent == deployment.settings.runs_folder:
                    found[run.name].append(process)
        except psutil.Error:
            continue
    return found


class Watcher(threading.Thread):
    """Looks ten times a second whether any job has two trainers."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(daemon=True)
        self.deployment, self.over, self.looks = deployment, threading.Event(), 0
        self.twice: set[str] = set()

    def run(self) -> None:
        """Until `over`."""
        while not self.over.wait(0.1):
            self.looks += 1
            self.twice |= {job for job, processes in trainers(self.deployment).items() if len(processes) > 1}


class Crowd:
    """Workers and a sweeper; a killed worker is started again, as `understudy up` does."""

    def __init__(self, deployment: Deployment, count: int) -> None:
        self.deployment, self.numbers = deployment, itertools.count()
        self.workers = [self._worker() for _ in range(count)]
        log = deployment.settings.home.parent / "sweeper.log"
        self.sweeper = Process([sys.executable, "-m", "worker.sweeper"], deployment, log)

    def _worker(self) -> Process:
        number = next(self.numbers)
        words = f"-m celery -A worker.tasks worker -Q train -c 1 --pool solo -n {number}@kills"
        quiet = "--without-gossip --without-mingle --without-heartbeat -l INFO"
        log = self.deployment.settings.home.parent / f"worker-{number}.log"
        return Process([sys.executable, *words.split(), *quiet.split()], self.deployment, log)

    def kill_one(self, chosen: random.Random) -> None:
        """Kill a worker and start another."""
        index = chosen.randrange(len(self.workers))
        self.workers[index].kill()
        self.workers[index] = self._worker()

    def stop(self) -> None:
        """All of them, in an orderly way; who does not go is killed."""
        for process in (*self.workers, self.sweeper):
            with suppress(subprocess.TimeoutExpired):
                process.stop()

    def kill(self) -> None:
        """All of them at once; their trainers end with them."""
        for process in (*self.workers, self.sweeper):
            process.kill()


@dataclass
class Piece:
    """One deployment under kills."""

    deployment: Deployment
    servers: dict[str, Server]
    crowd: Crowd
    watcher: Watcher
    chosen: random.Random
    jobs: list[Job] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    """Kills by victim."""
    trainer_killed: set[str] = field(default_factory=set)
    worked_on: set[str] = field(default_factory=set)
    """Jobs that had a trainer when something was killed."""
    loads: list[float] = field(default_factory=list)

    def kill(self, victim: str) -> bool:
        """One kill; False when there was nobody to kill."""
        working = trainers(self.deployment)
        if victim == "trainer":
            alive = [(job, process) for job, processes in working.items() for process in processes]
            if not alive:
                return False
            job, process = self.chosen.choice(alive)
            with suppress(psutil.NoSuchProcess):
                process.kill()
            self.trainer_killed.add(job)
        elif victim == "worker":
            self.crowd.kill_one(self.chosen)
        else:
            self.servers[victim].kill()
            time.sleep(self.chosen.uniform(*AWAY_S[victim]))
            self.servers[victim].start()
        self.worked_on |= set(working)
        self.done[victim] += 1
        self.loads.append(os.getloadavg()[0])
        return True

    def is_open(self, job: Job) -> bool:
        """Whether it has not come to its end."""
        return self.deployment.records.jobs.get(job.id).status not in ENDED

    def drain(self) -> None:
        """Wait until all have ended, or `DRAIN_S` have passed."""
        until = time.monotonic() + DRAIN_S
        while any(map(self.is_open, self.jobs)) and time.monotonic() < until:
            time.sleep(1)

    def undisturbed_s(self) -> float:
        """How long one training takes here while nothing else happens."""
        self.jobs.append(self.deployment.training())
        self.drain()
        job = self.deployment.records.jobs.get(self.jobs[0].id)
        return (datetime.fromisoformat(job.ended) - datetime.fromisoformat(job.started)).total_seconds()


def order(kills: int, victims: Sequence[str], chosen: random.Random) -> list[str]:
    """Whom to kill, one after the other: all equally often, in a random order."""
    whom = [victims[number % len(victims)] for number in range(kills)]
    chosen.shuffle(whom)
    return whom


def kill_piece(
    kills: int,
    workers: int,
    seed: str,
    folder: Path,
    ahead: int = AHEAD,
    victims: Sequence[str] = VICTIMS,
    pauses_s: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """One piece in a folder; `ahead` jobs wait behind those that run. Without `pauses_s`: see `PAUSES`."""
    chosen, began = random.Random(seed), time.monotonic()
    with ExitStack() as stack:
        redis, store = stack.enter_context(running(RedisServer)), stack.enter_context(running(S3Server))
        records = stack.enter_context(running(PostgresServer))
        url = stack.enter_context(records.database("kills"))
        settings = replace(store.settings(folder / "home", "kills"), broker_url=redis.url, database_url=url, **QUICK)
        store.make_bucket(settings)
        deployment = open_deployment(settings, write_toy(folder / "ada"))
        stack.callback(deployment.records.close)
        crowd, watcher = Crowd(deployment, workers), Watcher(deployment)
        servers: dict[str, Server] = {"redis": redis, "store": store, "records": records}
        piece = Piece(deployment, servers, crowd, watcher, chosen)
        try:
            watcher.start()
            undisturbed_s = piece.undisturbed_s() if pauses_s is None else 0.0
            least, most = pauses_s or (PAUSES[0] * undisturbed_s, PAUSES[1] * undisturbed_s)
            _kill_all(piece, order(kills, victims, chosen), workers + ahead, least, most)
            killed = time.monotonic()
            piece.drain()
            drained = time.monotonic()
            found = holds(piece)
            found |= _resumed(piece)
            crowd.stop()
        except BaseException:
            crowd.kill()
            raise
        finally:
            watcher.over.set()
            watcher.join()
        seconds = {"killing_s": killed - began, "draining_s": drained - killed, "seconds": time.monotonic() - began}
        found |= {name: round(value, 1) for name, value in (seconds | {"undisturbed_s": undisturbed_s}).items()}
        return found | {"load": round(mean(piece.loads), 1)}


def _kill_all(piece: Piece, whom: Sequence[str], open_jobs: int, least: float, most: float) -> None:
    version = piece.deployment.version()
    for victim in whom:
        while True:
            waiting = sum(map(piece.is_open, piece.jobs[-3 * open_jobs :]))
            for _ in range(open_jobs - waiting):
                piece.jobs.append(piece.deployment.training_of(version))
            time.sleep(piece.chosen.uniform(least, most))
            if piece.kill(victim):
                break
        print(f"{sum(piece.done.values())} kills, {len(piece.jobs)} jobs", file=sys.stderr, flush=True)


def holds(piece: Piece) -> dict[str, Any]:
    """What is true once the last job has ended by itself."""
    records = piece.deployment.records
    now = [records.jobs.get(job.id) for job in piece.jobs]
    rows = [row for job in piece.jobs for row in records.checkpoints.of_job(job.id)]
    without_bytes = 0
    for key in sorted({key for row in rows for key in row.files.values()}):
        try:
            read(piece.deployment.store, key)  # checks the SHA-256 as well
        except StoreError:
            without_bytes += 1
    gaps = not_whole = 0
    for job in now:
        events = records.events.after(job.id, limit=100_000)
        gaps += [event.sequence for event in events] != list(range(len(events)))
        names = {row.name for row in rows if row.job == job.id}
        not_whole += job.status == "succeeded" and not {BASE, best_in(events), *WANTED} <= names
    succeeded = {job.id for job in now if job.status == "succeeded"}
    failed = [job for job in now if job.status == "failed"]
    return {
        "kills": dict(piece.done),
        "jobs": len(now),
        "jobs_worked_on_at_a_kill": len(piece.worked_on),
        "of_them_by_themselves": len(piece.worked_on & succeeded),
        "jobs_with_a_killed_trainer": len(piece.trainer_killed),
        "of_these_by_themselves": len(piece.trainer_killed & succeeded),
        "statuses": dict(Counter(job.status for job in now)),
        "given_up": sum(any(words in job.error for words in GIVEN_UP) for job in failed),
        "failed_otherwise": sum(not any(words in job.error for words in GIVEN_UP) for job in failed),
        "not_ended": sum(job.status not in ENDED for job in now),
        "ran_twice_at_once": len(piece.watcher.twice),
        "succeeded_but_not_whole": not_whole,
        "checkpoint_rows": len(rows),
        "objects_missing_or_damaged": without_bytes,
        "event_logs_with_gaps": gaps,
        "attempts": dict(sorted(Counter(str(job.attempt) for job in now).items())),
        "reasons": dict(Counter(job.error[-300:] for job in failed)),
        "looks": piece.watcher.looks,
    }


def _resumed(piece: Piece) -> dict[str, Any]:
    """What has failed, resumed by a person once: what is not mended by that is lost."""
    records = piece.deployment.records
    failed = [job for job in piece.jobs if records.jobs.get(job.id).status == "failed"]
    for job in failed:
        resume(records, piece.deployment.app, job.id)
    piece.drain()
    return {"lost": sum(records.jobs.get(job.id).status != "succeeded" for job in failed)}
