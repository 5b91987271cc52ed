"""`make gpu-check` at toy size on a processor: whole, killed and gone on with, and what goes wrong in one step."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipelines.benchmarks.gpu_check import Runner, add_line, arguments_of, read_lines
from pipelines.benchmarks.gpu_step_list import Step, gpu_test_files, steps
from pipelines.benchmarks.random_bases import RANDOM_BASES
from pipelines.core.jobs.model_specs import LARGE

ROOT = Path(__file__).resolve().parents[2]
KILLS = (("rewards", 0.0), ("random-toy 16 bits", 6.0))
"""SIGKILL so many seconds after that step was done: between two steps, and while the worker of the next one trains."""


def started(out: Path) -> subprocess.Popen[str]:
    """The program as people start it, without a GPU."""
    command = [sys.executable, "-m", "pipelines.benchmarks.gpu_check", "--resume", "--toy", "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str], last: str = "") -> list[str]:
    """Names of the steps that it says are done, until that of `last` or its end."""
    names = []
    assert process.stdout
    for line in process.stdout:
        name, _, rest = line.partition(": ")
        assert rest.startswith(("done", "left out")), line
        names.append(name)
        if name == last:
            break
    return names


@pytest.mark.timeout(900)
def test_it_runs_whole_and_what_is_done_survives_every_kill(tmp_path: Path) -> None:
    out, before = tmp_path / "found.jsonl", resource.getrusage(resource.RUSAGE_CHILDREN)
    told: list[str] = []
    for step, later in KILLS:
        process = started(out)
        told += finished(process, step)
        time.sleep(later)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        lines = read_lines(out)  # raises where one is not whole
        done = [line["step"] for line in lines if "state" in line]
        assert done[: len(told)] == told
        told = done  # one may have been finished and not told of
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive, "what it started must not hold the GPU"
    process = started(out)
    told += finished(process)
    assert process.wait() == 0
    wanted = steps(toy=True)
    lines = read_lines(out)
    states = [(line["step"], line["state"]) for line in lines if "state" in line]
    assert sorted(states) == sorted((step.name, "left out" if step.needs_gpu else "done") for step in wanted)
    assert [step.name for step in wanted] == told
    parts = {(line["step"], line["part"]): line for line in lines if "part" in line}
    assert parts["recorded", "recorded"]["equal_codes"] == 1.0 and parts["rewards", "critic"]["as_planned"]
    assert parts["random-toy 16 bits", "sft"]["sft_step_s"] > 0
    assert parts["random-toy 16 bits", "practice"]["gpu_s_per_picture"] > 0
    assert parts["random-toy 16 bits", "projection"]["standard_minutes"] > 0
    assert parts["run starter", "run"]["checkpoints"] == 3
    assert not out.with_suffix(".work").exists()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time, since others use these cores too; two kills and beginning anew are in it.
    assert after.ru_utime - before.ru_utime < 90


def test_a_step_that_fails_or_hangs_ends_alone_and_says_why(tmp_path: Path) -> None:
    runner = Runner(arguments_of(["--toy", "--out", str(tmp_path / "found.jsonl")]), has_gpu=True)
    failed = runner.run(Step("random-toy 4 bits", 120))
    assert failed["state"] == "failed" and "in 4 bits needs a GPU" in failed["why"]
    hung = runner.run(Step("devices", 0.2))
    assert hung["state"] == "over its limit of 0 s"
    runner.ends = time.monotonic()
    assert runner.run(Step("devices", 60))["why"] == "the time was over"
    assert [line["step"] for line in read_lines(runner.out)] == ["random-toy 4 bits", "devices", "devices"]
    assert not list(runner.work.iterdir())


def test_a_line_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "found.jsonl"
    add_line(out, {"step": "a"})
    monkeypatch.setattr("pipelines.benchmarks.gpu_check.replace_durably", lambda fresh, target: None)
    add_line(out, {"step": "b"})  # killed before the file got its name
    assert read_lines(out) == [{"step": "a"}]


def test_every_large_base_and_every_test_for_a_gpu_has_its_step() -> None:
    names = [step.name for step in steps(toy=False)]
    assert len(names) == len(set(names)) and names[0] == "devices"
    for base, preset in RANDOM_BASES.items():
        assert preset not in LARGE or {f"{base} 16 bits", f"{base} 4 bits"} <= set(names)
    assert set(LARGE) <= set(RANDOM_BASES.values()), "a base model without random weights cannot be measured"
    assert "tests/benchmarks/test_bench_machine.py" in gpu_test_files()
    assert "tests/benchmarks/test_gpu_check.py" not in gpu_test_files()
