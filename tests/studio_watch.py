"""Watches a running studio from outside: how fast it answers, what it holds, and what it logs.

    with StudioWatch(studio) as watch:
        mark = watch.mark()
        ...
        watch.since(mark) -> slowest answer, late ones, most memory, new tracebacks

`/_stcore/health` is asked every 100 ms. On a machine that others load an answer is late for want of a processor, so
what Linux counts of that is kept beside it: how long the asking thread overslept, and how long the thread of the studio
that waited longest waited to run (`run_delay`). An answer that stays late without the two is the studio's own.
"""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from tests.e2e.studio_alone import Studio

EVERY_S = 0.1
LATE_S = 1.0
GIVEN_UP_S = 120.0


@dataclass(frozen=True)
class Answer:
    """One answer of the studio, or that there was none."""

    at: float
    took_s: float
    overslept_s: float
    """By how much the asking thread came too late to ask."""
    waited_s: float
    """For a processor while it was asked: of the studio's threads the one that waited longest, and the asking one."""
    is_answer: bool

    @property
    def own_s(self) -> float:
        """What of it no wait for a processor explains."""
        return self.took_s - self.waited_s


@dataclass(frozen=True)
class Mark:
    """A place in what was watched."""

    answers: int
    memory: int
    log: int


class StudioWatch:
    """Two threads that look, and a log that is read."""

    def __init__(self, studio: Studio) -> None:
        assert studio.process is not None
        self.studio = studio
        self.family = psutil.Process(studio.process.pid)
        processes = [self.family, *self.family.children(recursive=True)]
        self.server = next(one for one in processes if "streamlit" in one.cmdline())
        self.answers: list[Answer] = []
        self.memory: list[tuple[float, float]] = []
        """Megabytes held at one moment by all processes, and the sum of the most that each of them has held so far."""
        self._over = threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._ask, self._weigh)]

    def __enter__(self) -> StudioWatch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(GIVEN_UP_S)

    def mark(self) -> Mark:
        """Now."""
        return Mark(len(self.answers), len(self.memory), self.studio.log.stat().st_size)

    def since(self, mark: Mark) -> dict[str, float]:
        """What was seen after the mark, one answer and one look at the memory at least."""
        until = time.monotonic() + GIVEN_UP_S
        while time.monotonic() < until and (len(self.answers) == mark.answers or len(self.memory) == mark.memory):
            time.sleep(EVERY_S)
        answers, memory = self.answers[mark.answers :], self.memory[mark.memory :]
        with self.studio.log.open("rb") as log:
            log.seek(mark.log)
            told = log.read()
        return {
            "asked": len(answers),
            "slowest_s": round(max(answer.took_s for answer in answers), 3),
            "slowest_own_s": round(max(answer.own_s for answer in answers), 3),
            "overslept_s": round(max(answer.overslept_s for answer in answers), 3),
            "late": sum(answer.took_s > LATE_S for answer in answers),
            "late_own": sum(answer.own_s > LATE_S for answer in answers),
            "unanswered": sum(not answer.is_answer for answer in answers),
            "memory_mb": round(max(held for held, _ in memory)),
            "peaks_mb": round(max(peaks for _, peaks in memory)),
            "tracebacks": told.count(b"Traceback"),
        }

    def _ask(self) -> None:
        own = Path(f"/proc/self/task/{threading.get_native_id()}")
        due = time.monotonic()
        while not self._over.is_set():
            due = max(due + EVERY_S, time.monotonic())
            time.sleep(max(due - time.monotonic(), 0))
            before, began = self._waits(own), time.monotonic()
            is_answer = self._answers()
            took, after = time.monotonic() - began, self._waits(own)
            waited = [after[path] - before.get(path, after[path]) for path in after]
            mine = waited[0]
            self.answers.append(Answer(began, took, began - due, mine + max(waited[1:], default=0.0), is_answer))

    def _answers(self) -> bool:
        host, _, port = self.studio.url.rpartition("//")[2].partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=GIVEN_UP_S)
        try:
            connection.request("GET", "/_stcore/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _waits(self, own: Path) -> dict[Path, float]:
        """Seconds that each thread has waited for a processor in its life, the asking one first."""
        found: dict[Path, float] = {}
        for thread in (own, *Path(f"/proc/{self.server.pid}/task").glob("*")):
            try:
                found[thread] = int((thread / "schedstat").read_text().split()[1]) / 1e9
            except (OSError, IndexError):  # it has ended
                continue
        return found

    def _weigh(self) -> None:
        while not self._over.wait(EVERY_S):
            held = peaks = 0.0
            for process in (self.family, *self.family.children(recursive=True)):
                try:
                    status = Path(f"/proc/{process.pid}/status").read_text()
                except OSError:
                    continue
                lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
                held += int(lines.get("VmRSS", "0 kB").split()[0]) / 1024
                peaks += int(lines.get("VmHWM", "0 kB").split()[0]) / 1024
            self.memory.append((held, peaks))
