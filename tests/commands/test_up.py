"""`understudy up`: everything starts, what dies is started again, Ctrl-C ends all, and there is no second copy."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from pipelines.commands.processes import Programs
from pipelines.commands.up import AGAIN_S, NAMES, alone, command_of
from pipelines.core.settings import Settings
from tests.services import free_ports
from tests.worker.conftest import Deployment
from tests.worker.processes import Process, wait_for

pytest_plugins = ["tests.worker.conftest"]


def up(deployment: Deployment, *words: str, name: str = "up") -> Process:
    """The command as a process."""
    command = [sys.executable, "-m", "pipelines.cli", "up", *words]
    return Process(command, deployment, deployment.settings.home.parent / f"{name}.log")


def started(process: Process, name: str) -> list[int]:
    """Process ids under which a program was started, in order."""
    return [int(pid) for pid in re.findall(rf"^{name} *\| started \(process (\d+)\)", process.said, re.MULTILINE)]


def test_up_from_start_to_ctrl_c(embedded: Deployment) -> None:
    [port] = free_ports(1)
    process = up(embedded, "--port", str(port))
    try:
        wait_for(lambda: len(embedded.records.workers.list()) == 2, what=lambda: process.said)
        queues = {queue for worker in embedded.records.workers.list() for queue in worker.queues}
        assert queues == {"train", "reply"}
        assert f"http://localhost:{port}" in process.said
        second = up(embedded, name="second")
        assert second.process.wait(60) == 1
        assert f"already running on {embedded.settings.home} (process {process.process.pid})" in second.said
        [first] = started(process, "sweeper")
        psutil.Process(first).kill()
        wait_for(lambda: len(started(process, "sweeper")) == 2, what=lambda: process.said)
        assert "ended with status -9; starting again in 1 s" in process.said
        job = embedded.training()
        wait_for(lambda: embedded.records.jobs.get(job.id).status == "succeeded", 240, lambda: process.said[-3000:])
    finally:
        os.killpg(process.process.pid, signal.SIGINT)
        status = process.process.wait(60)
    assert status == 0, process.said[-3000:]
    pids = [pid for name in NAMES for pid in started(process, name)]
    assert len(pids) == 5 and not any(psutil.pid_exists(pid) for pid in pids)
    assert embedded.records.workers.list() == []  # each has taken its leave


@pytest.mark.parametrize("presses", [1, 2])
def test_a_training_goes_on_after_ctrl_c_from_what_was_saved(embedded: Deployment, presses: int) -> None:
    [port] = free_ports(1)
    process = up(embedded, "--port", str(port))
    try:
        job = embedded.training(sft_steps=4000, sft_save_every=20)
        records = embedded.records
        wait_for(lambda: len(records.checkpoints.of_job(job.id)) > 0, 240, lambda: process.said[-3000:])
        pids = [pid for name in NAMES for pid in started(process, name)]
        trainers = [child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)]
        assert trainers
        began = time.monotonic()
        for press in range(presses):
            time.sleep(AGAIN_S + 0.2 if press else 0)
            if process.process.poll() is None:
                process.process.send_signal(signal.SIGINT)
        assert process.process.wait(60) == 0, process.said[-3000:]
        seconds = time.monotonic() - began
    finally:
        process.stop()
    assert seconds < 40, f"{seconds:.0f} s, on cores that others use as well: {process.said[-2000:]}"
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in [*pids, *trainers]), 20)
    kept = records.checkpoints.of_job(job.id)
    left = records.jobs.get(job.id)
    assert kept and left.status in (
        ("queued",) if presses == 1 else ("queued", "running")
    )  # the sweeper finds the latter
    run = embedded.settings.runs_folder / job.id / "checkpoints"
    names = {path.name for path in run.iterdir() if path.name.startswith("sft-")}
    assert {checkpoint.name for checkpoint in kept} <= names, "what was saved is still there, to go on from"
    if presses == 1:
        assert {checkpoint.name for checkpoint in kept} >= names, "and what was saved last was sent off"


def test_a_killed_up_leaves_nothing_behind(embedded: Deployment) -> None:
    [port] = free_ports(1)
    process = up(embedded, "--port", str(port))
    wait_for(lambda: len(embedded.records.workers.list()) == 2, what=lambda: process.said)
    pids = [pid for name in NAMES for pid in started(process, name)]
    process.kill()
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids), 60)


def test_only_one_becomes_that_program(embedded: Deployment) -> None:
    process = up(embedded, "--only", "sweeper")
    wait_for(lambda: "looking every" in process.said, what=lambda: process.said)
    assert process.stop() == 0


def test_what_dies_is_started_again_later_each_time(tmp_path: Path) -> None:
    programs = Programs({"dies": [sys.executable, "-S", "-c", ""]}, dict(os.environ), {"dies": 5.0})
    over = threading.Event()
    thread = threading.Thread(target=programs.run, args=(over,))
    began = time.monotonic()
    thread.start()
    wait_for(lambda: programs.programs[0].starts == 3)
    seconds = time.monotonic() - began
    over.set()
    thread.join(10)
    assert seconds >= 1 + 2 and programs.programs[0].wait_s >= 4


def test_what_will_not_stop_is_killed(capfd: pytest.CaptureFixture[str]) -> None:
    over, _, thread = deaf(capfd, {"deaf": 1.0})
    over.set()
    thread.join(20)
    assert "did not stop within 1 s and is killed" in capfd.readouterr().err and not thread.is_alive()


def test_what_is_waited_for_is_said_and_a_second_ctrl_c_ends_it(capfd: pytest.CaptureFixture[str]) -> None:
    over, at_once, thread = deaf(capfd, {"deaf": 600.0})
    over.set()
    said = heard(capfd, "Ctrl-C again stops everything at once")
    assert re.search(r"deaf \| it counts to ten; at most 59\d s more\.", said), said
    at_once.set()
    thread.join(5)
    assert not thread.is_alive() and "is stopped at once" in capfd.readouterr().err


def deaf(
    capfd: pytest.CaptureFixture[str], grace_s: dict[str, float]
) -> tuple[threading.Event, threading.Event, threading.Thread]:
    """A program that hears no SIGTERM, running: the events that stop it, and the thread that keeps it."""
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    command = {"deaf": [sys.executable, "-u", "-c", script]}
    programs = Programs(command, dict(os.environ), grace_s, lambda name: "it counts to ten")
    over, at_once = threading.Event(), threading.Event()
    thread = threading.Thread(target=programs.run, args=(over, at_once))
    thread.start()
    heard(capfd, "| deaf")
    return over, at_once, thread


def heard(capfd: pytest.CaptureFixture[str], words: str, seconds: float = 30) -> str:
    """What was said until these words came."""
    said, until = "", time.monotonic() + seconds
    while words not in said and time.monotonic() < until:
        time.sleep(0.1)
        said += capfd.readouterr().err
    return said


def test_the_lock_is_of_one_home(tmp_path: Path) -> None:
    with alone(tmp_path / "a"), alone(tmp_path / "b"):
        pass
    with alone(tmp_path / "a"):  # free again
        pass


def test_every_name_has_a_command(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, studio_port=8600)
    commands = {name: " ".join(command_of(name, settings)) for name in NAMES}
    assert "--server.port 8600" in commands["studio"]
    assert "-Q train -c 1 --pool solo" in commands["train-worker"] and "-Q reply" in commands["reply-worker"]
