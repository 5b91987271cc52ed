"""A few mutated inputs; `python -m tests.benchmarks.mutations` makes five thousand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import mutations
from tests.core.formats.whole_inputs import Input


def test_a_few_mutations_break_nothing_and_are_not_run_twice(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    results.write_text("")
    found = mutate(results)
    assert found["cases"] == 60 and not found["broken"] and found["largest"]["peak_mb"] > 10
    lines = results.read_text()
    assert mutate(results) == found and results.read_text() == lines


def mutate(results: Path) -> dict[str, Any]:
    """What sixty cases print, in a process of their own: one forked from here would begin with this one's memory."""
    command = [sys.executable, "-m", "tests.benchmarks.mutations", str(results), "--count", "60", "--seed", "1"]
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout)
    return found


@pytest.mark.parametrize("way", ["raise", "memory", "die"])
def test_what_breaks_a_limit_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    def read(one: Input, data: bytes, scratch: Path) -> list[object]:
        if way == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        held = bytearray(600 * 2**20) if way == "memory" else b""
        held[::4096] = b"x" * len(held[::4096]) if way == "memory" else held
        return [] if way == "memory" else [{}["no such key"]]

    monkeypatch.setattr(mutations, "read_input", read)
    found = mutations.run_alone(Input("a.json", b""), b"", tmp_path)
    assert mutations.broken(found), found
    assert found["outcome"] == {"raise": "traceback", "memory": "read", "die": "killed"}[way]
