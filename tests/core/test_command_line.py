"""A command in a message can be typed as it stands, however the program was started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.core.command_line import as_typed, install_as_typed


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment in the working directory whose `understudy` tells what it was given; not on the path."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "understudy").write_text('#!/bin/sh\nfor word; do echo "$word"; done\n', encoding="utf-8")
    (folder / "understudy").chmod(0o755)
    (folder / "python").symlink_to(sys.executable)  # as venv makes it
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return folder


def typed(line: str) -> list[str]:
    """What the program gets when somebody types that."""
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_from_the_folder_of_make(venv: Path) -> None:
    assert as_typed("jobs show", "12ab") == ".venv/bin/understudy jobs show 12ab"
    assert as_typed("up --only train-worker") == ".venv/bin/understudy up --only train-worker"
    assert install_as_typed("build") == ".venv/bin/python -m pip install 'understudy[build]'"
    assert typed(as_typed("chat", Path("runs/my own; run"), "--say", "it's")) == [
        "chat",
        "runs/my own; run",
        "--say",
        "it's",
    ]


def test_from_elsewhere(venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my home").mkdir()
    shutil.move(venv.parent, tmp_path / "my home" / ".venv")
    bin = tmp_path / "my home" / ".venv" / "bin"
    monkeypatch.setattr(sys, "executable", str(bin / "python"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert as_typed("jobs") == f"'{bin}/understudy' jobs" and typed(as_typed("jobs")) == ["jobs"]


def test_from_a_folder_that_is_gone(venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert as_typed("jobs") == f"{venv}/understudy jobs"


def test_where_a_shell_finds_it(venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{venv}{os.pathsep}/usr/bin")
    assert as_typed("jobs") == "understudy jobs"
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(venv / "understudy", other / "understudy")
    monkeypatch.setenv("PATH", f"{other}{os.pathsep}/usr/bin")
    assert as_typed("jobs") == ".venv/bin/understudy jobs", "another program of that name"


def test_without_the_script(venv: Path) -> None:
    (venv / "understudy").unlink()
    assert as_typed("jobs") == ".venv/bin/python -m pipelines.cli jobs"
