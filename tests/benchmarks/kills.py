"""Random kills: SIGKILL to trainer, worker, Redis and object store in turn while toy trainings go through the queue.

    python -m tests.benchmarks.kills [--kills 200] [--workers 2] [--seed 0] [--victims trainer,...] [--pauses 5,20]

Real workers, real toy trainings, real redis-server and SeaweedFS; records in SQLite. At the end every job must have
succeeded or failed with a reason, no job may have run twice at once, none may be lost, and no checkpoint row may name
bytes that are not there; of the jobs whose trainer was killed at least 90 % must have succeeded, by themselves. Prints
one JSON object; exit status 1 when something does not hold. `make test` runs a few.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from pipelines.core.events import best_in
from pipelines.core.jobs.job import ENDED, Job
from pipelines.core.run_folder import BASE
from pipelines.core.storage.store import StoreError, read
from tests.services import RedisServer, S3Server, running
from tests.toys import write_toy
from tests.worker.conftest import QUICK, Deployment, open_deployment
from tests.worker.processes import Process

VICTIMS = ("trainer", "worker", "redis", "store")
BY_THEMSELVES = 0.9
"""Least share of the jobs with a killed trainer that must succeed without a person."""
AHEAD = 2
"""Jobs that wait behind those that run."""
PAUSES_S = (5.0, 20.0)
"""Least and most seconds between two kills: a toy training takes half a minute, and what is killed more often than it
can save anything is given up for good reason."""
DRAIN_S = 900
"""So long the jobs have to come to their end once nobody is killed any more."""
WANTED = ("sft-000002", "sft-000004", "grpo-000001", "grpo-000002")
"""Checkpoints of the toy recipe."""


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
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "worker.tasks",
            "worker",
            "-Q",
            "train",
            "-c",
            "1",
            "--pool",
            "solo",
            "-n",
            f"{number}@kills",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "-l",
            "INFO",
        ]
        return Process(command, self.deployment, self.deployment.settings.home.parent / f"worker-{number}.log")

    def kill_one(self, chosen: random.Random) -> None:
        """Kill a worker and start another."""
        index = chosen.randrange(len(self.workers))
        self.workers[index].kill()
        self.workers[index] = self._worker()

    def stop(self) -> None:
        """All of them, in an orderly way."""
        for process in (*self.workers, self.sweeper):
            process.stop()


def kill(
    victim: str,
    deployment: Deployment,
    crowd: Crowd,
    servers: dict[str, Any],
    chosen: random.Random,
    hit: Counter[str],
) -> bool:
    """One kill; False when there was nobody to kill. `hit` counts killed trainers by job."""
    if victim == "worker":
        crowd.kill_one(chosen)
        return True
    if victim == "trainer":
        alive = [(job, process) for job, processes in trainers(deployment).items() for process in processes]
        for job, process in chosen.sample(alive, min(1, len(alive))):
            process.kill()
            hit[job] += 1
        return bool(alive)
    servers[victim].kill()
    time.sleep(chosen.uniform(0.0, 2.0))
    servers[victim].start()
    return True


def holds(deployment: Deployment, jobs: list[Job], watcher: Watcher, hit: Counter[str]) -> dict[str, Any]:
    """What is true at the end."""
    now = [deployment.records.jobs.get(job.id) for job in jobs]
    rows = [row for job in jobs for row in deployment.records.checkpoints.of_job(job.id)]
    without_bytes = 0
    for key in sorted({key for row in rows for key in row.files.values()}):
        try:
            read(deployment.store, key)  # checks the SHA-256 as well
        except StoreError:
            without_bytes += 1
    gaps = 0
    for job in now:
        events = deployment.records.events.after(job.id, limit=100_000)
        gaps += [event.sequence for event in events] != list(range(len(events)))
    recovered = sum(job.status == "succeeded" for job in now if hit[job.id])
    not_whole = 0
    for job in now:
        names = {row.name for row in rows if row.job == job.id}
        best = best_in(deployment.records.events.after(job.id, limit=100_000))
        not_whole += job.status == "succeeded" and not {BASE, best, *WANTED} <= names
    return {
        "trainers_killed": sum(hit.values()),
        "jobs_with_a_killed_trainer": len(hit),
        "of_them_succeeded_by_themselves": recovered,
        "share_by_themselves": round(recovered / len(hit), 3) if hit else 1.0,
        "succeeded_but_not_whole": not_whole,
        "jobs": len(now),
        "statuses": dict(Counter(job.status for job in now)),
        "failed_without_reason": sum(job.status == "failed" and not job.error for job in now),
        "not_ended": sum(job.status not in ENDED for job in now),
        "ran_twice_at_once": len(watcher.twice),
        "checkpoint_rows": len(rows),
        "objects_missing_or_damaged": without_bytes,
        "event_logs_with_gaps": gaps,
        "attempts": dict(sorted(Counter(job.attempt for job in now).items())),
        "reasons": dict(Counter(job.error[:60] for job in now if job.error)),
        "looks": watcher.looks,
    }


def run(
    kills: int,
    workers: int,
    seed: int,
    home: Path,
    ahead: int = AHEAD,
    victims: Sequence[str] = VICTIMS,
    pauses_s: tuple[float, float] = PAUSES_S,
) -> dict[str, Any]:
    """The whole benchmark in a folder; so many jobs `ahead` wait behind those that run."""
    chosen = random.Random(seed)
    with ExitStack() as stack:
        servers = {"redis": stack.enter_context(running(RedisServer)), "store": stack.enter_context(running(S3Server))}
        settings = replace(servers["store"].settings(home, "kills"), broker_url=servers["redis"].url, **QUICK)
        servers["store"].make_bucket(settings)
        deployment = open_deployment(settings, write_toy(home.parent / "ada"))
        version, crowd, watcher = deployment.version(), Crowd(deployment, workers), Watcher(deployment)
        watcher.start()
        jobs: list[Job] = []
        done, hit = Counter[str](), Counter[str]()
        began = time.monotonic()
        try:
            while sum(done.values()) < kills:
                waiting = [job for job in jobs[-3 * (workers + ahead) :] if _is_open(deployment, job)]
                for _ in range(workers + ahead - len(waiting)):
                    jobs.append(deployment.training_of(version))
                time.sleep(chosen.uniform(*pauses_s))
                victim = victims[sum(done.values()) % len(victims)]
                if kill(victim, deployment, crowd, servers, chosen, hit):
                    done[victim] += 1
                    print(f"{sum(done.values())} kills, {len(jobs)} jobs", file=sys.stderr, flush=True)
            killing_s = time.monotonic() - began
            until = time.monotonic() + DRAIN_S
            while any(_is_open(deployment, job) for job in jobs) and time.monotonic() < until:
                time.sleep(1)
        finally:
            crowd.stop()
            watcher.over.set()
        found = holds(deployment, jobs, watcher, hit)
        seconds = {"killing_s": round(killing_s, 1), "draining_s": round(time.monotonic() - began - killing_s, 1)}
        return {"kills": dict(done), **found, **seconds}


def broken(found: dict[str, Any]) -> list[str]:
    """What does not hold."""
    promises = (
        "failed_without_reason",
        "not_ended",
        "ran_twice_at_once",
        "objects_missing_or_damaged",
        "event_logs_with_gaps",
        "succeeded_but_not_whole",
    )
    too_few = ["share_by_themselves"] * (found["share_by_themselves"] < BY_THEMSELVES)
    return [name for name in promises if found[name]] + too_few


def _is_open(deployment: Deployment, job: Job) -> bool:
    return deployment.records.jobs.get(job.id).status not in ENDED


def main() -> int:
    """Run it; exit status 0 when everything holds."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.kills")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--victims", default=",".join(VICTIMS))
    parser.add_argument("--pauses", default="{},{}".format(*PAUSES_S), help="least and most seconds between two kills")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="understudy-kills-") as folder:
        home, victims = Path(folder) / "home", arguments.victims.split(",")
        least, most = map(float, arguments.pauses.split(","))
        found = run(arguments.kills, arguments.workers, arguments.seed, home, victims=victims, pauses_s=(least, most))
    print(json.dumps(found))
    return int(bool(broken(found)))


if __name__ == "__main__":
    sys.exit(main())
