"""Reads what strangers upload in a process of its own, with limits on memory and time: what a file does, it does there.

    read_apart(reader, data, name, file=name)                  the reader's result, or its CharacterProblems
    with UploadReader() as process: process.read(...)          several files of one upload, one after the other

`reader` is a function of a module, its arguments and its result are data. The process is a fresh interpreter that has
its own session and reads one upload: an address space of 1.5 GB, 20 s of the processor for each file, one budget for
all (`upload_budget.py`). At a limit it is killed with all that it started, and the file is refused by name.
One upload is read at a time, so that ten at once cannot take fifteen gigabytes. Answers are unpickled by a reader that
makes our own data classes and nothing else. Where the system has no such limits (docs/operations.md) the clock is left.
"""

from __future__ import annotations

import atexit
import datetime
import importlib
import logging
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn, TypeVar, cast

from pipelines.core.formats.import_notes import RoleNeeded
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.settings import environment_without_secrets
from pipelines.core.upload_budget import upload_budget

Result = TypeVar("Result")
Reader = Callable[..., Result]
_LOG = logging.getLogger(__name__)
_PRELOADED = "pipelines.core.formats.import_character"
"""Imports nearly all that reads uploads: a process that waits has done that already."""
_LESS = "Send less at once: split it, or save its pictures smaller."


@dataclass(frozen=True)
class ReadLimits:
    """What the reading of one upload may take."""

    memory_bytes: int = 1_500_000_000
    """Address space of the process, with its libraries (130 MB)."""
    file_s: float = 20.0
    """Seconds of the processor for one file."""
    clock_s: float = 45.0
    """Seconds by the clock for one file: on a busy machine the others go by faster."""
    upload_s: float = 60.0
    """Seconds of the processor for all files of one upload."""
    result_bytes: int = 384 * 2**20
    """Largest answer that is taken back."""


class UploadReader:
    """The process that reads one upload; a context manager."""

    def __init__(self, limits: ReadLimits | None = None) -> None:
        self.limits = limits or ReadLimits()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_late = False

    def __enter__(self) -> UploadReader:
        _READING.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._end()
        finally:
            _READING.release()
        _SPARE.renew()

    def read(self, reader: Callable[..., Result], *arguments: object, file: str) -> Result:
        """What the reader makes of the arguments.

        Raises:
            CharacterProblems: the reader's own (RoleNeeded too), or that `file` took too much or broke the process.
        """
        if self._process is None:
            self._process = _SPARE.take(self.limits)
        process = self._process
        timer = threading.Timer(self.limits.clock_s, self._stop)
        self._is_late = False
        timer.start()
        try:
            answer = _ask(process, reader, arguments, self.limits.result_bytes)
        except (EOFError, OSError, pickle.UnpicklingError, ValueError) as broken:
            self._refuse_broken(file, broken)
        finally:
            timer.cancel()
        return cast(Result, _result(answer, file, self.limits))

    def _stop(self) -> None:
        self._is_late = True
        if self._process is not None:
            _kill(self._process)

    def _end(self) -> int:
        """Ends the process, whatever it does; its exit status."""
        process, self._process = self._process, None
        return 0 if process is None else _discard(process)

    def _refuse_broken(self, file: str, broken: Exception) -> NoReturn:
        """The process ended without an answer: which limit it was, by how it ended."""
        # Killing what has died already leaves its status; what it started may still run.
        status = self._end()
        _LOG.warning("reading an upload was ended (%s, status %s)", type(broken).__name__, status)
        if self._is_late or (sys.platform != "win32" and status == -signal.SIGXCPU):
            _refuse_slow(file, self.limits)
        if status == -9 and isinstance(broken, (EOFError, OSError)):  # by the system, which had no memory left
            _refuse_large(file, self.limits)
        _refuse_odd(file)


def read_apart(
    reader: Callable[..., Result], *arguments: object, file: str, limits: ReadLimits | None = None
) -> Result:
    """`UploadReader.read` of one file in a process for it alone."""
    with UploadReader(limits) as process:
        return process.read(reader, *arguments, file=file)


def keep_spare() -> None:
    """From now on a process that has imported everything waits for the next upload (40 MB, 0.3 s less for each)."""
    _SPARE.is_kept = True
    _SPARE.renew()


# ---------------------------------------------------------------- the words


def _refuse(file: str, message: str, mend: str) -> NoReturn:
    raise CharacterProblems([Problem(file, f"{file} {message}.", mend, subject=file)])


def _refuse_slow(file: str, limits: ReadLimits) -> NoReturn:
    _refuse(file, f"took longer than {limits.file_s:g} s to read, so reading it was stopped", _LESS)


def _refuse_large(file: str, limits: ReadLimits) -> NoReturn:
    most = f"{limits.memory_bytes / 10**9:g} GB"
    _refuse(file, f"needs more than {most} of memory to be read, so reading it was stopped", _LESS)


def _refuse_odd(file: str) -> NoReturn:
    mend = "Save it again with the program that made it; if it stays so, it is a fault of this program."
    _refuse(file, "could not be read: something in it is not as any program writes it", mend)


# ---------------------------------------------------------------- the studio's end


_READING = threading.BoundedSemaphore(1)
"""Held while an upload is read."""


class _Spare:
    """A process that waits for the next upload."""

    def __init__(self) -> None:
        self.is_kept = False
        self._lock = threading.Lock()
        self._waiting: subprocess.Popen[bytes] | None = None

    def take(self, limits: ReadLimits) -> subprocess.Popen[bytes]:
        """The waiting process, or a new one."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting.poll() is None and limits == ReadLimits():
            return waiting
        if waiting is not None:
            _discard(waiting)
        return _start(limits)

    def renew(self) -> None:
        """Start the next one, where one is to wait."""
        with self._lock:
            if self.is_kept and (self._waiting is None or self._waiting.poll() is not None):
                self._waiting = _start(ReadLimits())

    def end(self) -> None:
        """Nothing is left waiting."""
        self.is_kept = False
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            _discard(waiting)


_SPARE = _Spare()
atexit.register(_SPARE.end)


def _start(limits: ReadLimits) -> subprocess.Popen[bytes]:
    # Its own standard input ends with this process, however that ends, and then it ends too.
    paths = os.pathsep.join(dict.fromkeys(path for path in [*sys.path, str(Path.cwd())] if path))
    numbers = (str(limits.memory_bytes), str(limits.file_s), str(limits.upload_s))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "pipelines.core.upload_process", *numbers],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # One thread: each takes address space, and what is read here is no matter of linear algebra.
        env={**environment_without_secrets(), "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all that it started."""
    if process.returncode is not None:
        return
    if sys.platform == "win32":
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # it has ended
        return


def _discard(process: subprocess.Popen[bytes]) -> int:
    """End the process, whatever it does; its exit status."""
    _kill(process)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # what was not sent yet
                continue
    return process.wait()


def _ask(
    process: subprocess.Popen[bytes], reader: Callable[..., Any], arguments: tuple[object, ...], most: int
) -> tuple[str, Any]:
    assert process.stdin is not None and process.stdout is not None
    pickle.dump((reader, arguments), process.stdin, protocol=5)
    process.stdin.flush()
    answer = _DataUnpickler(_Capped(process.stdout, most)).load()
    return cast(tuple[str, Any], answer)


class _Capped:
    """A pipe of which no more than so many bytes are read."""

    def __init__(self, pipe: IO[bytes], most: int) -> None:
        self._pipe, self._left = pipe, most

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ValueError("the answer is too large")

    def read(self, size: int) -> bytes:
        """So many bytes."""
        self._count(size)
        return self._pipe.read(size)

    def readline(self) -> bytes:
        """One line."""
        line = self._pipe.readline(2**16)
        self._count(len(line))
        return line


class _DataUnpickler(pickle.Unpickler):
    """Makes plain values and our own data classes."""

    def find_class(self, module: str, name: str) -> Any:
        """A class that an answer may hold."""
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        if module.startswith(("pipelines.core.", "studio.actions.")) and module in sys.modules:
            found = vars(sys.modules[module]).get(name)
            if isinstance(found, type) and is_dataclass(found):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not expected in an answer")


_PLAIN: dict[tuple[str, str], type] = {
    ("collections", "Counter"): Counter,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("datetime", "date"): datetime.date,
    ("datetime", "datetime"): datetime.datetime,
    ("datetime", "timezone"): datetime.timezone,
    ("datetime", "timedelta"): datetime.timedelta,
}


def _result(answer: tuple[str, Any], file: str, limits: ReadLimits) -> Any:
    kind, value = answer
    if kind == "result":
        return value
    if kind == "problems":
        raise CharacterProblems(value)
    if kind == "roles":
        raise RoleNeeded.of(*value)
    if kind == "memory":
        _refuse_large(file, limits)
    _LOG.error("a reader of uploads failed: %s", value)
    _refuse_odd(file)


# ---------------------------------------------------------------- the process


def main() -> None:
    """Answer requests until nobody asks any more."""
    memory_bytes, file_s, upload_s = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    _limit(memory_bytes, upload_s)
    importlib.import_module(_PRELOADED)
    requests = os.fdopen(os.dup(0), "rb")
    with upload_budget():
        while requests.peek(1):
            _renew_time(file_s)
            pickle.dump(_answer(requests), answers, protocol=5)
            answers.flush()


def _answer(requests: IO[bytes]) -> tuple[str, Any]:
    try:
        reader, arguments = pickle.load(requests)
        return "result", reader(*arguments)
    except RoleNeeded as several:
        return "roles", (several.problems, several.roles, several.together)
    except CharacterProblems as refused:
        return "problems", refused.problems
    except MemoryError:
        return "memory", None
    except Exception as error:  # noqa: BLE001  whatever it is, it is told to the process that asked
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
        return "error", f"{type(error).__name__}: {str(error)[:200]}{where}"


def _limit(memory_bytes: int, upload_s: float) -> None:
    """Limits that the system keeps, where it has them."""
    if sys.platform == "win32":
        return
    import resource

    most_s = math.ceil(upload_s) + 5
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, most_s),
        (resource.RLIMIT_FSIZE, memory_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):  # macOS refuses limits on the address space
            continue


def _renew_time(file_s: float) -> None:
    """Processor time for the next file, within that of the upload."""
    if sys.platform == "win32":
        return
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    most = math.ceil(usage.ru_utime + usage.ru_stime + file_s)
    resource.setrlimit(resource.RLIMIT_CPU, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    main()
