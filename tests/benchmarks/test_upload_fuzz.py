"""Some fuzzed uploads; `python -m tests.benchmarks.upload_fuzz` brings twenty thousand."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.core import upload_process
from pipelines.core.settings import Settings
from studio.actions import talk_uploads
from studio.context import AppContext, open_context
from tests.benchmarks import upload_fuzz
from tests.fuzzed_uploads import Upload

CHAT = Upload("talks", "a.txt", b"Ann: Rain?\nTola: Always.\n" * 3, "a chat")


def test_some_uploads_show_no_fault_and_are_not_brought_twice(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    found = brought(out)
    assert found["inputs"] == 80 and not found["faults"], found["faults"]
    assert set(found["ways"]) == {"character", "pictures", "talks", "lore"} and found["made_anew"] > 5
    assert found["outcomes"]["read"] > 10 and found["outcomes"]["refused"] > 10 and found["largest"]["peak_mb"] > 10
    lines = out.read_text()
    assert brought(out) == found and out.read_text() == lines


def brought(out: Path) -> dict[str, Any]:
    """What eighty uploads print, in a process of their own: it holds the lock of the process that reads."""
    command = [sys.executable, "-m", "tests.benchmarks.upload_fuzz", "--inputs", "80", "--seed", "1", "--out", str(out)]
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout)
    return found


@pytest.fixture
def context(tmp_path: Path) -> Iterator[AppContext]:
    """Records and a store of their own."""
    opened = open_context(Settings.from_environment({"UNDERSTUDY_HOME": str(tmp_path / "home")}))
    yield opened
    opened.records.close()


@pytest.fixture
def told() -> Iterator[upload_fuzz.Told]:
    """Hears what is logged of readers that fail."""
    handler = upload_fuzz.Told()
    logger = logging.getLogger(upload_process.__name__)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def raises(*arguments: object) -> None:
    """A reader with a fault."""
    raise KeyError("no such key")


def dies(*arguments: object) -> None:
    """A reader that breaks its process."""
    os.kill(os.getpid(), signal.SIGSEGV)


def large(*arguments: object) -> None:
    """A reader that wants too much."""
    bytearray(2 * 10**9)


@pytest.mark.parametrize(
    ("reader", "outcome", "words"),
    [(raises, "traceback", "KeyError"), (dies, "traceback", "EOF"), (large, "killed", "")],
)
def test_what_a_reader_does_is_seen(
    context: AppContext,
    told: upload_fuzz.Told,
    monkeypatch: pytest.MonkeyPatch,
    reader: object,
    outcome: str,
    words: str,
) -> None:
    monkeypatch.setattr(talk_uploads, "read_talks", reader)
    [(_, found)] = upload_fuzz.run_batch(context, [(0, CHAT)], 0, told)
    assert found["outcome"] == outcome and words in found["error"], found
    assert upload_fuzz.is_fault(found) == (outcome == "traceback")


def test_what_the_studio_itself_does_is_seen(
    context: AppContext, told: upload_fuzz.Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(_, found)] = upload_fuzz.run_batch(context, [(0, CHAT)], 0, told)
    assert found["outcome"] == "read" and found["peak_mb"] > 10 and not upload_fuzz.is_fault(found), found
    monkeypatch.setattr(talk_uploads, "fresh_of", raises)
    [(_, found)] = upload_fuzz.run_batch(context, [(0, CHAT)], 0, told)
    assert upload_fuzz.is_fault(found) and "KeyError" in found["error"], found
