"""A folder for a benchmark that starts many processes: whatever works below it ends with the benchmark, and so does it.

    with scratch_folder("kills") as folder: ...

Servers, workers and trainers have sessions of their own, and some of them write over their environment or their command
line, so they are known by their working directory: every temporary folder that anybody makes lies below this one. A
guard, a process of its own, ends them when the block is left, and when the benchmark is killed itself. Ctrl-C, SIGTERM
and SIGHUP (not under nohup) leave the block as KeyboardInterrupt, once: what is being ended is not interrupted.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import psutil

ROOT = Path(__file__).resolve().parents[2]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ORDERLY_S = 5.0
"""So long a PostgreSQL has to give back its shared memory, which outlives it when it is killed."""


def processes_in(folder: Path) -> list[psutil.Process]:
    """Those of others whose working directory is the folder or below it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and Path(process.cwd().removesuffix(" (deleted)")).is_relative_to(folder):
                found.append(process)
    return found


def end_all_in(folder: Path) -> int:
    """End every process that works in the folder, and remove it; returns how many there were."""
    ended = set()
    orderly_until = time.monotonic() + ORDERLY_S
    while found := processes_in(folder):
        postgres = [process for process in found if _name(process) == "postgres"]
        waits = bool(postgres) and time.monotonic() < orderly_until
        for process in found:
            with suppress(psutil.Error):
                if not (waits and process in postgres):
                    process.kill()
                elif process.pid not in ended:
                    process.send_signal(signal.SIGINT)
        ended |= {process.pid for process in found}
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)
    return len(ended)


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return process.name()
    return ""


def _leave_once(number: int, _: object) -> NoReturn:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(number).name)


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """See the module; everybody may enter the folder, since PostgreSQL runs as another user where we are root."""
    folder = Path(tempfile.mkdtemp(prefix=f"understudy-{name}-"))
    folder.chmod(0o755)
    command = [sys.executable, "-m", "tests.benchmarks.scratch", str(folder)]
    guard = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True)
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGINT]
    before, handlers = tempfile.tempdir, {number: signal.signal(number, _leave_once) for number in heard}
    outer = os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    try:
        yield folder
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        tempfile.tempdir = before
        os.environ.pop("TMPDIR")
        if outer is not None:
            os.environ["TMPDIR"] = outer
        assert guard.stdin is not None
        guard.stdin.close()
        guard.wait()
        end_all_in(folder)  # where the guard was killed
        for number, handler in handlers.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()  # its other end closes with the benchmark, however that ends
    if left := end_all_in(Path(sys.argv[1])):
        print(f"{left} processes of the benchmark were ended", file=sys.stderr)
