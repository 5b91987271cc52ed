"""Several programs in one terminal: started, their output prefixed, restarted when they die, stopped together.

Used by `understudy up`. Every program has a process group of its own, so that Ctrl-C reaches only this process and
each program gets one SIGTERM; one that does not exit within its grace period is killed with all its children. Meanwhile
it is said what is waited for, and that a second Ctrl-C stops at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from pipelines.core.child_process import tied_to_parent
from pipelines.core.words import printable, tidy_text

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""Seconds before a program that died is started again, doubled each time."""
STEADY_S = 60.0
"""A program that ran for so long is restarted after the short wait again."""
COLOURS = (36, 33, 35, 32)
"""ANSI colours of the prefixes: cyan, yellow, magenta, green."""
TOLD_AFTER_S, TOLD_EVERY_S = 2.0, 15.0
"""While programs stop, what is waited for is said after so many seconds, and again."""
_PRINTING = threading.Lock()


@dataclass
class Program:
    """One program and its present process."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    """On the monotonic clock, like `restart_at`."""
    restart_at: float = 0.0
    """When to start it next."""
    wait_s: float = FIRST_WAIT_S
    starts: int = 0
    readers: list[threading.Thread] = field(default_factory=list)


class Programs:
    """Keeps programs running until it is told to stop."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        environment: Mapping[str, str],
        grace_s: Mapping[str, float],
        waits_for: Callable[[str], str] = lambda name: "",
    ) -> None:
        """grace_s: by name, the time to exit after SIGTERM. waits_for: what a program that stops is still doing."""
        self._waits_for = waits_for
        self.programs = [Program(name, command) for name, command in commands.items()]
        self._environment, self._grace_s = environment, grace_s
        self._width = max(len(program.name) for program in self.programs)

    def run(self, over: threading.Event, at_once: threading.Event | None = None) -> None:
        """Start all, restart those that die until `over` is set, then stop all; once `at_once` is set, by force."""
        try:
            while not over.is_set():
                for program in self.programs:
                    self._supervise(program)
                over.wait(0.2)
        finally:
            self.stop(at_once or threading.Event())

    def _supervise(self, program: Program) -> None:
        now = time.monotonic()
        if program.process is None:
            if now >= program.restart_at:
                self._start(program)
            return
        status = program.process.poll()
        if status is None:
            return
        if now - program.started_at > STEADY_S:
            program.wait_s = FIRST_WAIT_S
        self.say(program.name, f"ended with status {status}; starting again in {program.wait_s:.0f} s")
        program.process, program.restart_at = None, now + program.wait_s
        program.wait_s = min(2 * program.wait_s, LONGEST_WAIT_S)

    def _start(self, program: Program) -> None:
        program.process = subprocess.Popen(
            tied_to_parent(program.command, signal.SIGTERM),
            env=dict(self._environment),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        program.started_at = time.monotonic()
        program.starts += 1
        self.say(program.name, f"started (process {program.process.pid})")
        assert program.process.stdout is not None
        reader = threading.Thread(target=self._relay, args=(program.name, program.process.stdout), daemon=True)
        reader.start()
        program.readers.append(reader)

    def _relay(self, name: str, lines: IO[bytes]) -> None:
        for line in lines:
            text = tidy_text(line.decode("utf-8", "replace").rstrip().rsplit("\r", 1)[-1])
            if text:
                self.say(name, text)

    def say(self, name: str, text: str) -> None:
        """Print one line on standard error, after its program's name."""
        prefix = f"{name:<{self._width}} |"
        if sys.stderr.isatty():
            number = next((i for i, program in enumerate(self.programs) if program.name == name), 0)
            prefix = f"\033[{COLOURS[number % len(COLOURS)]}m{prefix}\033[0m"
        with _PRINTING, contextlib.suppress(OSError):  # the terminal was closed; the programs go on
            print(prefix, printable(text), file=sys.stderr, flush=True)

    def stop(self, at_once: threading.Event) -> None:
        """SIGTERM to each, then wait; SIGKILL after its grace period, or to all when `at_once` is set."""
        running = [(program, program.process) for program in self.programs if program.process is not None]
        for program, process in running:
            if process.poll() is None:
                self.say(program.name, "stopping")
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
        began = told = time.monotonic()
        while alive := [(program, process) for program, process in running if process.poll() is None]:
            now = time.monotonic()
            for program, process in alive:
                grace_s = self._grace_s[program.name]
                if at_once.is_set():
                    self._kill(program, process, "is stopped at once")
                elif now - began > grace_s:
                    self._kill(program, process, f"did not stop within {grace_s:.0f} s and is killed")
            if now - began > TOLD_AFTER_S and (now - told > TOLD_EVERY_S or told == began):
                told = now
                self._tell_waiting([program.name for program, _ in alive], now - began)
            at_once.wait(0.1) if not at_once.is_set() else time.sleep(0.1)
        for program, _ in running:
            program.process = None
            for reader in program.readers:
                reader.join(timeout=2)

    def _kill(self, program: Program, process: subprocess.Popen[bytes], why: str) -> None:
        self.say(program.name, why)
        os.killpg(process.pid, signal.SIGKILL)  # not reaped yet, so the process id is still its own
        process.wait()

    def _tell_waiting(self, names: Sequence[str], waited_s: float) -> None:
        for name in names:
            left = self._grace_s[name] - waited_s
            doing = self._waits_for(name) or "it ends what it is doing"
            self.say(name, f"{doing}; at most {max(1.0, left):.0f} s more. Ctrl-C again stops everything at once")
