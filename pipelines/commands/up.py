"""`understudy up`: the studio, a training worker, a reply worker and the sweeper, in one terminal.

    understudy up                            all of them, on the embedded default; Ctrl-C stops all, twice at once
    understudy up --only train-worker        one in the foreground, as containers do

A program that dies is started again. A training that is running when you stop ends its step, is saved and continues at
the next start; stopped at once, it continues from what was saved last. The programs are separate processes: nothing of
studio or worker is imported here.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pipelines.commands.console import CommandFailed, CommandResult
from pipelines.commands.processes import Programs
from pipelines.core.jobs.job import RecordsUnusable
from pipelines.core.records import open_records
from pipelines.core.settings import Settings
from pipelines.core.stage_names import STAGE_NAMES

ROOT = Path(__file__).resolve().parents[2]
STUDIO = ROOT / "studio" / "app.py"
NAMES = ("studio", "train-worker", "reply-worker", "sweeper")
UPLOAD_GRACE_S = 30.0
"""Added to UNDERSTUDY_STOP_GRACE_S, the trainer's time to save, for the worker's uploads."""
AGAIN_S = 0.5
OTHERS_GRACE_S = 10.0
"""All others have nothing to save: a reply or a drawing that is cut off is made anew."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the command on the command line."""
    command = commands.add_parser("up", parents=[shared], help="start studio and workers")
    command.add_argument("--only", choices=NAMES, help="start one of them, in the foreground")
    command.add_argument("--port", type=int, help="TCP port of the studio (default: UNDERSTUDY_STUDIO_PORT, 8501)")
    command.set_defaults(run=run)


def command_of(name: str, settings: Settings) -> list[str]:
    """The command line of one of NAMES."""
    if name == "studio":
        options = {
            "server.address": settings.studio_address,
            "server.port": str(settings.studio_port),
            "server.headless": "true",
            "browser.gatherUsageStats": "false",
        }
        words = [word for option, value in options.items() for word in (f"--{option}", value)]
        return [sys.executable, "-m", "streamlit", "run", str(STUDIO), *words]
    if name == "sweeper":
        return [sys.executable, "-m", "worker.sweeper"]
    queue = name.removesuffix("-worker")
    return [
        sys.executable,
        "-m",
        "celery",
        "--quiet",
        "-A",
        "worker.tasks",
        "worker",
        "-Q",
        queue,
        "-c",
        "1",
        "--pool",
        "solo",
        "-n",
        f"{queue}-{os.getpid()}@%h",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
        "--loglevel",
        "INFO",
    ]


def environment() -> dict[str, str]:
    """This process's environment, with our packages importable from any working directory."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def run(arguments: argparse.Namespace) -> CommandResult:
    """Run the programs until Ctrl-C or SIGTERM; the JSON object names what was started."""
    if arguments.port is not None:
        os.environ["UNDERSTUDY_STUDIO_PORT"] = str(arguments.port)
    settings = Settings.from_environment()
    if arguments.only:
        return _only(arguments.only, settings)
    names = [name for name in NAMES if name != "studio" or STUDIO.is_file()]
    with alone(settings.home), _signals() as (over, at_once):
        programs = Programs(
            {name: command_of(name, settings) for name in names},
            environment(),
            dict.fromkeys(names, OTHERS_GRACE_S) | {"train-worker": settings.stop_grace_s + UPLOAD_GRACE_S},
            lambda name: saved_words(settings) if name == "train-worker" else "",
        )
        if "studio" in names:
            programs.say("studio", f"will be at http://localhost:{settings.studio_port}; Ctrl-C here stops everything")
        programs.run(over, at_once)
    return {"started": names}, 0


def saved_words(settings: Settings) -> str:
    """What the training worker still does while it stops, from the records; "" where they do not say."""
    try:
        with contextlib.closing(open_records(settings.database_url)) as records:
            jobs = records.jobs.list(owner=None, kind="train", statuses=["running", "stopping"], limit=1)
            last = records.events.latest(jobs[0].id) if jobs else None
    except RecordsUnusable:
        return ""
    if last is None:
        return ""
    if last.stage not in ("sft", "grpo"):
        return "the training is put away; all that it learned is saved"
    # What the step before took, the one that is under way will take about as well.
    pace = f", which takes about {last.metrics['seconds']:.0f} s," if last.metrics.get("seconds", 0) >= 1 else ""
    return f"the training ends step {last.step + 1} of {last.total} ({STAGE_NAMES[last.stage]}){pace} and is saved"


def _only(name: str, settings: Settings) -> CommandResult:
    """Replace this process by that program, so that signals reach it and its exit status is the command's."""
    if name == "studio" and not STUDIO.is_file():
        raise CommandFailed(f"{STUDIO} is not in this installation; install Understudy again")
    command = command_of(name, settings)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, environment())


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold the lock of a home, for only one `understudy up` may use it; CommandFailed for the second."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            who = file.read().strip()
            raise CommandFailed(
                f"another `up` is already running on {home} (process {who}); stop that one, or set UNDERSTUDY_HOME to "
                "another folder"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextlib.contextmanager
def _signals() -> Iterator[tuple[threading.Event, threading.Event]]:
    """Two events: Ctrl-C, SIGTERM or a closed terminal sets the first, one more of them the second.

    One within AGAIN_S counts as the same: a terminal that is closed may send two.
    """
    over, at_once = threading.Event(), threading.Event()
    first = 0.0

    def note(number: int, frame: object) -> None:
        nonlocal first
        if over.is_set() and time.monotonic() - first > AGAIN_S:
            at_once.set()
        first = first or time.monotonic()
        over.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield over, at_once
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
