"""What the queue costs a training: the same training by a worker and by `understudy train`, in turn.

    python -m tests.benchmarks.overhead [--base starter-toy] [--sft-steps 600] [--grpo-steps 20]
        [--pairs 3] [--served]

One pair takes about two minutes. The worker's time is from sending the job to its end in the records: nudge, folder,
relay of every event, uploads and the last word included. The plain one is the command from its start to its end. Both
start a Python that imports torch; which goes first alternates; the first pair is thrown away. `--served` takes Redis
and SeaweedFS in place of files. Prints one JSON object; leave the machine alone meanwhile, since a trainer under a
worker stands back behind other programs. `worker_cpu_s` (processor time of worker and sweeper during a training) is
telling even on a busy machine. Not part of `make test`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from pipelines.core.jobs.job import ENDED
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.queue.submit import submit_training
from pipelines.core.settings import Settings
from tests.services import RedisServer, S3Server, running
from tests.toys import TOY_STEPS, write_toy
from tests.worker.conftest import Deployment, open_deployment
from tests.worker.processes import ROOT, Process, sweeper, worker

CPU_FIELDS = ("user", "system")


@contextmanager
def opened(folder: Path, served: bool) -> Iterator[Deployment]:
    """A deployment with the settings of a real installation: their lease, their heartbeat."""
    with ExitStack() as stack:
        settings = Settings(home=folder / "home")
        settings.home.mkdir()
        own = Settings.from_environment().cache_folder
        if own.is_dir():  # base models are not fetched again
            settings.cache_folder.symlink_to(own, target_is_directory=True)
        if served:
            objects, redis = stack.enter_context(running(S3Server)), stack.enter_context(running(RedisServer))
            settings = replace(objects.settings(folder / "home", "overhead"), broker_url=redis.url)
            objects.make_bucket(settings)
        yield open_deployment(settings, write_toy(folder / "ada"))


def plain_s(deployment: Deployment, run_dir: Path, words: list[str]) -> float:
    """Seconds of `understudy train` into a new folder."""
    command = [sys.executable, "-m", "pipelines.cli", "train", str(deployment.character), "--out", str(run_dir), *words]
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **deployment.environment, "OMP_NUM_THREADS": "1"},  # as the worker's
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    shutil.rmtree(run_dir)
    return seconds


def queued_s(deployment: Deployment, recipe: Recipe) -> float:
    """Seconds of the same through the queue."""
    job = submit_training(deployment.records, deployment.app, "local", deployment.version(), recipe)
    while job.status not in ENDED:
        time.sleep(0.5)
        job = deployment.records.jobs.get(job.id)
    if job.status != "succeeded":
        raise RuntimeError(f"{job.error}\n{job.log_tail}")
    return (datetime.fromisoformat(job.ended) - datetime.fromisoformat(job.created)).total_seconds()


def cpu_s(*processes: Process) -> float:
    """Processor seconds that these have used so far, their children not counted."""
    times = [psutil.Process(process.process.pid).cpu_times()._asdict() for process in processes]
    return sum(own[name] for own in times for name in CPU_FIELDS)


def measure(deployment: Deployment, base: str, steps: dict[str, int], pairs: int, folder: Path) -> dict[str, Any]:
    """All pairs, the first of which only warms the disk's cache."""
    saves = {name.replace("steps", "save_every"): max(1, count // 2) for name, count in steps.items()}
    overrides = {**TOY_STEPS, **steps, **saves}
    recipe = Recipe.for_effort(base, "quick", **overrides)
    words = ["--base", base]
    for name, value in overrides.items():
        words += ["--set", f"{name}={value}"]
    plain: list[float] = []
    queued: list[float] = []
    used: list[float] = []
    with worker(deployment) as working, sweeper(deployment) as sweeping:
        while len(deployment.records.workers.list()) < 1:
            time.sleep(0.2)
        for number in range(pairs + 1):
            for way in ("plain", "queued") if number % 2 else ("queued", "plain"):
                if way == "plain":
                    plain.append(plain_s(deployment, folder / "run", words))
                else:
                    before = cpu_s(working, sweeping)
                    queued.append(queued_s(deployment, recipe))
                    used.append(cpu_s(working, sweeping) - before)
            print(f"plain {plain[-1]:.1f} s, queued {queued[-1]:.1f} s, worker {used[-1]:.2f} s", file=sys.stderr)
    ratios = [ours / theirs for ours, theirs in zip(queued[1:], plain[1:], strict=True)]
    return {
        "name": "overhead",
        "base": base,
        "ours": statistics.median(queued[1:]),
        "plain": statistics.median(plain[1:]),
        "unit": "s",
        "times_plain_median": statistics.median(ratios),
        "times_plain": ratios,
        "worker_cpu_s": statistics.median(used[1:]),
        "load_average": os.getloadavg()[0],
    }


def main() -> int:
    """Run it; exit status 1 when the queue costs 3 % or more."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.overhead")
    parser.add_argument("--base", default="starter-toy")
    parser.add_argument("--sft-steps", type=int, default=600)
    parser.add_argument("--grpo-steps", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--served", action="store_true", help="on Redis and SeaweedFS")
    arguments = parser.parse_args()
    steps = {"sft_steps": arguments.sft_steps, "grpo_steps": arguments.grpo_steps}
    with tempfile.TemporaryDirectory(prefix="understudy-overhead-") as name:
        folder = Path(name)
        with opened(folder, arguments.served) as deployment:
            found = measure(deployment, arguments.base, steps, arguments.pairs, folder)
    print(json.dumps(found))
    return int(found["times_plain_median"] >= 1.03)


if __name__ == "__main__":
    sys.exit(main())
