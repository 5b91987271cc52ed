"""What `make` says, with programs of the test's own in place of the virtual environment's."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source_files import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

TRAINER = f"""#!{sys.executable}
import signal, sys
if sys.argv[1] == "doctor":
    sys.exit(0)
def stop(*_):
    print("understudy: stopped", flush=True)
    sys.exit(1)
signal.signal(signal.SIGINT, stop)
print(*sys.argv[1:], flush=True)
signal.pause()
"""


@pytest.fixture
def venv(tmp_path: Path) -> Iterator[Path]:
    """An environment that counts as installed."""
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    for name, text in (("understudy", TRAINER), ("python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')):
        (folder / "bin" / name).write_text(text, encoding="utf-8")
        (folder / "bin" / name).chmod(0o755)
    (folder / ".understudy-installed").touch()
    yield folder


def environment(home: Path) -> dict[str, str]:
    """No flags of a make that runs these tests, and a home that has nothing in it."""
    given = {name: text for name, text in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "UNDERSTUDY_"))}
    return {**given, "UNDERSTUDY_HOME": str(home / "one"), "HOME": str(home / "default"), "PYTHONPATH": str(ROOT)}


def expert(home: Path) -> None:
    """A language expert in the cache of the default home."""
    folder = home / "default" / ".understudy" / "cache" / "language-smollm2-135m"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").touch()


def test_a_stopped_demo_names_make_demo(venv: Path, tmp_path: Path) -> None:
    expert(tmp_path)
    run = tmp_path / "run"
    process = subprocess.Popen(
        ["make", "demo", f"VENV={venv}", f"RUN={run}"],
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("train "):
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: make, its shell and the training
            break
    rest = process.stdout.read()
    process.wait(60)
    assert process.returncode != 0 and "understudy: stopped" in rest, (said, rest)
    [again] = [line for line in rest.splitlines() if "make demo" in line]
    assert f"VENV={venv}" in again and f"RUN={run}" in again, again
    assert "chat" not in rest and not run.exists()


def test_the_language_expert_is_only_spoken_of_when_it_is_fetched(venv: Path, tmp_path: Path) -> None:
    def made() -> subprocess.CompletedProcess[str]:
        command = ["make", "language", f"VENV={venv}"]
        nowhere = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
        given = {name: text for name, text in environment(tmp_path).items() if not name.startswith("PIP_")} | nowhere
        return subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)

    missing = made()
    assert missing.stdout.splitlines() == [
        "The starter's language expert is fetched and converted, once: 90 MB, about a minute."
    ]
    assert missing.returncode and "could not be fetched" in missing.stderr and "Traceback" not in missing.stderr
    expert(tmp_path)
    there = made()
    assert (there.returncode, there.stdout, there.stderr) == (0, "", "")


def test_a_log_has_pips_errors_without_its_warnings(venv: Path, tmp_path: Path) -> None:
    """A machine's own settings may name places that lack a package; a line about each, for each, hides ours."""
    (venv / ".understudy-installed").unlink()
    command = ["make", "--dry-run", "setup", f"VENV={venv}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    torch = next(line for line in done.stdout.splitlines() if "pip install" in line)
    [flags] = re.findall(r"pip install (.*) \"", torch)
    absent = ["--no-index", "-f", str(tmp_path / "nowhere"), "no-such-package-of-ours"]
    tried = subprocess.run(
        [sys.executable, "-m", "pip", "download", *flags.split(), *absent], capture_output=True, text=True, check=False
    )
    assert tried.returncode and "ERROR" in tried.stderr and "WARNING" not in tried.stdout + tried.stderr
