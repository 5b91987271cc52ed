"""The trainer as a subprocess: its events, the tail of its log, and every way to end it.

A process of its own has a fresh CUDA context, gives all memory back at its end, and turns any crash into an exit
status. It runs in its own process group, so that Ctrl-C in a terminal reaches only the worker, which decides; and it
is tied to the worker (`core/child_process.py`), so that it never outlives it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import psutil

from pipelines.core.child_process import tied_to_parent
from pipelines.core.events import Event
from pipelines.core.settings import environment_without_secrets
from pipelines.core.words import printable, tidy_text

TAIL_LINES = 60
"""Lines of its log that are kept with the job."""
LINE_CHARACTERS = 2000
"""Longer lines of the log are cut."""
ABORT_S = 5.0
"""Seconds a hung trainer has to print its stack after SIGABRT."""
NICE = 5
"""Niceness of a trainer: somebody waits for a reply on the same cores, nobody for a step."""
ROOT = Path(__file__).resolve().parents[1]


def trainer_command(run_dir: Path, gpus: int) -> list[str]:
    """The command line of a training: on several GPUs through `accelerate launch`."""
    launcher = [sys.executable]
    if gpus > 1:
        launcher += ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(gpus)]
    return [*launcher, "-m", "pipelines.train", str(run_dir), "--events"]


class TrainerProcess:
    """One running subprocess. Use it in a `with`: leaving the block kills what is still there."""

    def __init__(self, command: Sequence[str], lock: int | None = None) -> None:
        """`lock`: a file descriptor that it inherits, so that a lock on it lasts as long as any of its processes."""
        environment = {
            **environment_without_secrets(),  # it has a run folder and the cache, and nothing to do with servers
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",  # a hung trainer that is aborted says where it hung
            "TOKENIZERS_PARALLELISM": "false",
        }
        self._process = subprocess.Popen(
            tied_to_parent(command, nice=NICE),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
        )
        self.pid = self._process.pid
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._log: deque[str] = deque(maxlen=TAIL_LINES)
        self._frozen = False
        self.last_event_at = time.monotonic()
        """When the last event came, on the monotonic clock."""
        assert self._process.stdout is not None and self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read_events, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_log, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> TrainerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _read_events(self, stream: IO[bytes]) -> None:
        for line in stream:
            text = line.decode("utf-8", "replace")
            try:
                event = Event.from_line(text)
            except (ValueError, TypeError, KeyError):  # a library that prints, or a line cut off by a kill
                self._log_line(text)
                continue
            self.last_event_at = time.monotonic()
            self._events.put(event)

    def _read_log(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._log_line(line.decode("utf-8", "replace"))

    def _log_line(self, text: str) -> None:
        # A progress bar rewrites its line; what it showed last is enough.
        line = text.rstrip().rsplit("\r", 1)[-1][:LINE_CHARACTERS]
        if line:
            self._log.append(line)
            with contextlib.suppress(OSError):  # the worker's own log is full or closed; the tail is kept all the same
                print(f"  {printable(tidy_text(line))}", file=sys.stderr, flush=True)

    def events(self, wait_s: float) -> list[Event]:
        """What came since the last call; waits up to so many seconds for the first."""
        found: list[Event] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._events.get(timeout=wait_s))
            while True:
                found.append(self._events.get_nowait())
        return found

    @property
    def log_tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self._log)

    def exit_status(self) -> int | None:
        """The exit status once it has ended and everything it wrote was read, negative for a signal; None before."""
        status = self._process.poll()
        if status is None:
            return None
        for reader in self._readers:
            reader.join(timeout=5)  # a grandchild that lives on could hold the pipe open
        return status

    def request_stop(self) -> None:
        """SIGTERM to the processes that train: they end the step, save and leave. A launcher would kill them."""
        self.thaw()
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.pid)
            training = [child for child in own.children(recursive=True) if _is_trainer(child)]
            for process in training or [own]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGTERM)

    def freeze(self) -> None:
        """Suspend the whole process group with SIGSTOP; memory and files stay as they are."""
        if not self._frozen:
            self._frozen = True
            self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume after `freeze`; the time in between does not count as silence."""
        if self._frozen:
            self._frozen = False
            self._signal(signal.SIGCONT)
            self.last_event_at = time.monotonic()

    @property
    def frozen(self) -> bool:
        """Whether it is suspended."""
        return self._frozen

    def abort(self) -> None:
        """End one that hangs; SIGABRT makes faulthandler print where, to the log."""
        self._signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=ABORT_S)
        self.kill()

    def kill(self) -> None:
        """End it and all its children now."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, for a dead group
            os.killpg(self.pid, number)


def _is_trainer(process: psutil.Process) -> bool:
    """Whether this is a process of the trainer itself, not a launcher or a data loader."""
    try:
        arguments = process.cmdline()
    except psutil.Error:
        return False
    return "pipelines.train" in arguments and "accelerate.commands.launch" not in arguments


def note_trainer(path: Path, pid: int) -> None:
    """Write down which process group works in a run folder, for `kill_leftover_trainer`."""
    path.write_text(json.dumps({"pid": pid, "started": psutil.Process(pid).create_time()}), encoding="utf-8")


def kill_leftover_trainer(path: Path) -> None:
    """End a trainer that an earlier worker left behind, if it is still the process that `note_trainer` noted."""
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        if psutil.Process(noted["pid"]).create_time() == noted["started"]:
            os.killpg(noted["pid"], signal.SIGKILL)
    except (OSError, ValueError, KeyError, psutil.Error):
        return  # none was noted, or it ended long ago
