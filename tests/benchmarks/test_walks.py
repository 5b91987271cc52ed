"""A few random walks; `python -m tests.benchmarks.walks` makes two hundred."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import CHROMIUM
from tests.services import absent, find_program


@pytest.mark.timeout(900)  # a busy machine; a quiet one needs less than one minute
def test_nothing_typed_is_missing_after_a_few_walks(tmp_path: Path) -> None:
    if not any(find_program(name) for name in CHROMIUM):
        absent("chromium is not installed: make services")
    out = tmp_path / "walks.jsonl"
    found = walks(out)
    assert found["walks"] == 5 and found["words"] > 10 and found["missing"] == 0, out.read_text()
    assert walks(out) == found  # all of them are in the file already


def walks(out: Path) -> dict[str, Any]:
    """What five walks print, in a process of their own: two browsers started by hand cannot share one."""
    command = [sys.executable, "-m", "tests.benchmarks.walks", "--walks", "5", "--seed", "7", "--out", str(out)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
