"""Our programs as real processes: a Celery worker on a queue, the sweeper, the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.worker.conftest import Deployment

ROOT = Path(__file__).resolve().parents[2]
DEALT_WITH = "a message is dealt with"
"""What a worker of `fake_tasks.py` says after each message, whatever Celery itself says."""


class Process:
    """One of our programs, its output in a file."""

    def __init__(self, command: Sequence[str], deployment: Deployment, log: Path, **extra: str) -> None:
        self.log = log
        environment = {**os.environ, **deployment.environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **extra}
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                command,
                cwd=deployment.settings.home.parent,
                env=environment,
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL to the process alone, as the kernel does."""
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 60) -> int:
        """SIGTERM, and its exit status; killed when it does not go."""
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    @property
    def said(self) -> str:
        """Its output so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def worker(
    deployment: Deployment, queue: str = "train", name: str = "worker", app: str = "worker.tasks", **extra: str
) -> Iterator[Process]:
    """A Celery worker as `understudy up` starts it; `extra` goes into its environment."""
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        app,
        "worker",
        "-Q",
        queue,
        "-c",
        "1",
        "--pool",
        "solo",
        "-n",
        f"{name}@test",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
        "--loglevel",
        "INFO",
    ]
    process = Process(command, deployment, deployment.settings.home.parent / f"{name}.log", **extra)
    try:
        yield process
    finally:
        process.stop()


@contextmanager
def sweeper(deployment: Deployment, **extra: str) -> Iterator[Process]:
    """The sweeper."""
    log = deployment.settings.home.parent / "sweeper.log"
    process = Process([sys.executable, "-m", "worker.sweeper"], deployment, log, **extra)
    try:
        yield process
    finally:
        process.stop()


def wait_for(told: Callable[[], bool], seconds: float = 90, what: Callable[[], str] = str) -> None:
    """Until it is so; `what` says more when it never is."""
    until = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < until, f"it never came to be: {what()}"
        time.sleep(0.1)
