"""A few random kills; `python -m tests.benchmarks.kills` makes three hundred. Its pieces, and what it leaves behind."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.benchmarks import kills
from tests.benchmarks.kill_piece import VICTIMS, kill_piece, order
from tests.benchmarks.kills import Refused, append, broken, read_pieces, summary
from tests.benchmarks.scratch import ROOT, processes_in, scratch_folder
from tests.services import find_program
from tests.worker.processes import wait_for


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files that other users may enter, as /tmp is."""
    folder = Path(tempfile.mkdtemp(prefix="understudy-test-kills-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_nothing_is_lost_by_a_few_kills(temporary: Path) -> None:
    found = kill_piece(kills=len(VICTIMS), workers=1, seed="3", folder=temporary / "a", ahead=0, pauses_s=(0.5, 3.0))
    assert found["kills"] == dict.fromkeys(VICTIMS, 1)
    found = summary([{"commit": "", **found}])
    assert found["jobs"] >= 1 and broken(found) == [], found


def piece(number: int, **changed: Any) -> dict[str, Any]:
    """A finished piece of five kills and ten jobs."""
    counts = dict.fromkeys(kills.SUMS, 0) | {"jobs": 10, "jobs_worked_on_at_a_kill": 10, "of_them_by_themselves": 10}
    words = {"kills": dict.fromkeys(VICTIMS, 1), "statuses": {"succeeded": 10}, "attempts": {"1": 10}, "reasons": {}}
    whole = {"piece": number, "commit": "c0ffee", "size": 5, **counts, **words, "seconds": 90.0, "load": 2.0}
    return whole | {"seed": 0, "workers": 2, "victims": ",".join(VICTIMS), "pauses": ""} | changed


def test_all_pieces_are_told_as_one() -> None:
    found = summary([piece(0), piece(1, of_them_by_themselves=7, given_up=3, reasons={"twice at the same step": 3})])
    assert found["jobs"] == 20 and found["kills"]["records"] == 2 and found["given_up"] == 3
    assert found["share_by_themselves"] == 0.85 and found["share_by_themselves_interval"] == [0.64, 0.948]
    assert broken(found) == ["share_by_themselves"]
    assert broken(summary([piece(0, lost=1)])) == ["lost"]


def test_it_goes_on_behind_the_last_whole_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, begun = tmp_path / "kills.jsonl", []

    def one(count: int, workers: int, seed: str, folder: Path, **_: object) -> dict[str, Any]:
        begun.append((count, seed))
        return {name: value for name, value in piece(0).items() if name not in ("piece", "commit")}

    monkeypatch.setattr(kills, "kill_piece", one)
    monkeypatch.setattr(kills, "standing_commit", lambda: "c0ffee")
    append(out, piece(0))
    with out.open("a", encoding="utf-8") as file:
        file.write('{"piece": 1, "kil')  # the machine was switched off
    command = ["--kills", "15", "--piece", "5", "--out", str(out)]
    assert kills.main(command) == 0 and begun == [(5, "0 1"), (5, "0 2")]
    assert [json.loads(line)["piece"] for line in out.read_text().splitlines()] == [0, 1, 2]
    assert kills.main(command) == 0 and len(begun) == 2, "all is there"
    assert kills.main([*command, "--seed", "1"]) == 2, "another order of kills"


def test_pieces_of_different_commits_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "kills.jsonl"
    append(out, piece(0))
    with pytest.raises(Refused, match=r"commit c0ffee, now decaf.*another file"):
        read_pieces(out, {"commit": "decaf"})
    monkeypatch.setattr(kills, "kill_piece", lambda *_, **__: piece(1))
    commits = iter(("c0ffee", "decaf"))
    monkeypatch.setattr(kills, "standing_commit", lambda: next(commits))
    assert kills.main(["--kills", "10", "--piece", "5", "--out", str(out)]) == 2, "it changed during the piece"
    assert len(out.read_text().splitlines()) == 1


def test_victims_take_turns_at_random() -> None:
    whom = [order(50, VICTIMS, random.Random(seed)) for seed in ("0 0", "0 0", "0 1")]
    assert whom[0] == whom[1] != whom[2]
    assert all(whom[0].count(victim) == 10 for victim in VICTIMS)


def test_ctrl_c_ends_all_that_was_started(temporary: Path) -> None:
    """In the middle of a piece, with servers, sweeper, worker and trainer at work."""
    if not all(map(find_program, ("redis-server", "postgres", "weed"))):
        pytest.skip("servers are missing: make services")
    command = [sys.executable, "-m", "tests.benchmarks.kills", "--kills", "5", "--workers", "1"]
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as benchmark:
        try:
            trains = [str(temporary), "pipelines.train"]
            wait_for(
                lambda: any(all(word in " ".join(one.cmdline()) for word in trains) for one in processes_in(temporary))
            )
            assert len(processes_in(temporary)) > 8
            benchmark.send_signal(signal.SIGINT)
            _, said = benchmark.communicate(timeout=60)
        finally:
            benchmark.kill()
    assert benchmark.returncode == 130 and "Traceback" not in said, said
    assert processes_in(temporary) == [] and list(temporary.iterdir()) == []


def test_what_a_killed_benchmark_started_is_ended(temporary: Path) -> None:
    script = """
import subprocess, sys, tempfile, time
from tests.benchmarks.scratch import scratch_folder
with scratch_folder("test"):
    for _ in range(2):
        subprocess.Popen(["sleep", "600"], cwd=tempfile.mkdtemp(), start_new_session=True)
    time.sleep(600)
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "TMPDIR": str(temporary)}) as benchmark:
        wait_for(lambda: len(processes_in(temporary)) == 2)
        benchmark.kill()
    wait_for(lambda: list(temporary.iterdir()) == [], 20)
    assert processes_in(temporary) == []


def test_the_guard_may_be_killed_itself(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with scratch_folder("test") as folder:
        subprocess.Popen(["sleep", "600"], cwd=folder)
        subprocess.run(["kill", "-9", str(_guard_of(folder))], check=True)
    assert not folder.exists() and tempfile.gettempdir() == str(temporary)


def _guard_of(folder: Path) -> int:
    return next(one.pid for one in psutil.Process().children() if str(folder) in one.cmdline())
