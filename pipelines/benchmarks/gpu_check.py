"""`make gpu-check`: everything that has only been written for GPUs is run on one, in the order of what it is worth.

    python -m pipelines.benchmarks.gpu_check --minutes 8 --out gpu-check.jsonl
    python -m pipelines.benchmarks.gpu_check --toy                  the same at toy sizes; so without a GPU
    python -m pipelines.benchmarks.gpu_check --resume               steps that are done in the file are left out

The steps are in `gpu_steps.py`. Each runs in a process of its own with a limit of time, so that a crash, a hang or a
lack of memory ends that step only. What it finds is in the file at once, a JSON object a line: its parts, then a line
with `state` (done, failed, over its limit, ended by signal N, left out), `seconds` and, where it went wrong, `why`.
A line is added by replacing the file in one step: killed at any moment it has whole lines, and those of all finished
steps. What the steps print is in the file's name with `.log`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.benchmarks.gpu_step_list import Step, steps
from pipelines.core.child_process import tie_to_parent, tied_to_parent
from pipelines.core.durable import replace_durably

if TYPE_CHECKING:
    from pipelines.benchmarks.gpu_steps import StepContext

ROOT = Path(__file__).resolve().parents[2]
LEAST_S = 5.0
"""Time for which no step is begun."""
WHY_CHARACTERS = 600


def read_lines(out: Path) -> list[dict[str, Any]]:
    """All lines of a results file; [] when there is none yet."""
    if not out.is_file():
        return []
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def add_line(out: Path, line: dict[str, Any]) -> None:
    """Put one more line into a results file so that it is on the disk, whole, or not there at all."""
    fresh = out.with_name(f".{out.name}.part")
    before = out.read_bytes() if out.is_file() else b""
    fresh.write_bytes(before + json.dumps(line).encode() + b"\n")
    replace_durably(fresh, out)


def run_in_this_process(name: str, out: Path, context: StepContext) -> None:
    """Do a step and add a line for each of its parts as soon as it is found."""
    from pipelines.benchmarks.gpu_steps import work_of

    for part in work_of(name)(context):
        print(json.dumps(part), flush=True)
        add_line(out, {"step": name, **part})


class Runner:
    """The steps one after the other, each in a process of its own, until the time is over."""

    def __init__(self, arguments: argparse.Namespace, has_gpu: bool) -> None:
        self.out: Path = arguments.out
        self.log = self.out.with_suffix(".log")
        self.work = self.out.with_suffix(".work")
        self.toy, self.has_gpu, self.dollars = arguments.toy or not has_gpu, has_gpu, arguments.dollars
        self.ends = time.monotonic() + 60 * arguments.minutes

    def run(self, step: Step) -> dict[str, Any]:
        """Do one step and add its last line, which is returned."""
        left = self.ends - time.monotonic()
        if step.needs_gpu and not self.has_gpu:
            return self._finish(step, "left out", 0.0, "there is no GPU here")
        if left < LEAST_S:
            return self._finish(step, "left out", 0.0, "the time was over")
        folder = self.work / step.name.replace("/", "-").replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        said_before = self.log.stat().st_size if self.log.is_file() else 0
        limit, began = min(step.limit_s, left), time.monotonic()
        ended = self._run_fresh(step, folder, limit) if self.has_gpu else self._run_forked(step, folder, limit)
        seconds = time.monotonic() - began
        shutil.rmtree(folder, ignore_errors=True)
        state = "done" if ended == 0 else "failed"
        if ended is None:
            state = f"over its limit of {limit:.0f} s"
        elif ended < 0:
            state = f"ended by signal {-ended}"
        with self.log.open("rb") as file:
            file.seek(said_before)
            said = file.read().decode("utf-8", "replace").strip()
        return self._finish(step, state, seconds, "" if ended == 0 else said[-WHY_CHARACTERS:])

    def _finish(self, step: Step, state: str, seconds: float, why: str) -> dict[str, Any]:
        line = {"step": step.name, "state": state, "seconds": round(seconds, 2)} | ({"why": why} if why else {})
        add_line(self.out, line)
        return line

    def _run_fresh(self, step: Step, folder: Path, limit: float) -> int | None:
        # A GPU's context does not survive a fork, and merely asking whether there is a GPU can make one.
        command = [sys.executable, "-m", "pipelines.benchmarks.gpu_check", "--step", step.name, "--folder", str(folder)]
        command += ["--out", str(self.out), "--dollars", str(self.dollars), *(["--toy"] if self.toy else [])]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                tied_to_parent(command),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(process.pid)
            process.wait()

    def _run_forked(self, step: Step, folder: Path, limit: float) -> int | None:
        # Without a GPU the libraries are imported once for all steps.
        from pipelines.benchmarks import gpu_steps

        context = gpu_steps.StepContext(self.toy, folder, self.dollars)
        arguments = (step.name, self.out, self.log, context, os.getpid())
        process = multiprocessing.get_context("fork").Process(target=_forked, args=arguments)
        process.start()
        process.join(limit)
        ended = process.exitcode
        _end(process.pid or 0)
        process.kill()
        process.join()
        return ended


def _forked(name: str, out: Path, log: Path, context: StepContext, parent: int) -> None:
    os.setsid()
    tie_to_parent(parent)
    os.chdir(ROOT)
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    run_in_this_process(name, out, context)


def _end(group: int) -> None:
    # What a step started and left behind ends with it.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def arguments_of(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.benchmarks.gpu_check")
    parser.add_argument("--minutes", type=float, default=8.0, help="time for all steps together (default 8)")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu-check.jsonl"), help="file of the results")
    parser.add_argument("--toy", action="store_true", help="toy sizes; so without a GPU")
    parser.add_argument("--resume", action="store_true", help="leave out the steps that are done in the file")
    parser.add_argument("--dollars", type=float, default=2.5, help="price of an hour of the card, for the projection")
    parser.add_argument("--step", help="only this step, in this process")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    arguments.out = arguments.out.resolve()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Run the steps; exit status 1 when one of those that ran is not done."""
    arguments = arguments_of(argv)
    # Known without torch: a process that asks torch may not be forked any more.
    has_gpu = Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None
    if arguments.step:
        from pipelines.benchmarks.gpu_steps import StepContext

        folder = arguments.folder or arguments.out.with_suffix(".work")
        folder.mkdir(parents=True, exist_ok=True)
        run_in_this_process(arguments.step, arguments.out, StepContext(arguments.toy, folder, arguments.dollars))
        return 0
    if not arguments.resume:
        arguments.out.unlink(missing_ok=True)
        arguments.out.with_suffix(".log").unlink(missing_ok=True)
    done = {line["step"] for line in read_lines(arguments.out) if line.get("state") == "done"}
    runner, went_wrong = Runner(arguments, has_gpu), 0
    for step in steps(runner.toy):
        if step.name in done:
            continue
        line = runner.run(step)
        went_wrong += line["state"] not in ("done", "left out")
        print(f"{line['step']}: {line['state']}, {line['seconds']:.1f} s", flush=True)
    shutil.rmtree(runner.work, ignore_errors=True)
    return int(went_wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
