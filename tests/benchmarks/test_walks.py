"""A few random walks; `python -m tests.benchmarks.walks` makes two hundred."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import walks
from tests.e2e.conftest import CHROMIUM
from tests.services import absent, find_program


@pytest.mark.timeout(900)  # a busy machine; a quiet one needs less than one minute
def test_nothing_typed_is_missing_after_a_few_walks(tmp_path: Path) -> None:
    if not any(find_program(name) for name in CHROMIUM):
        absent("chromium is not installed: make services")
    out = tmp_path / "walks.jsonl"
    found = walks.run(5, walks.STEPS, 7, tmp_path, out)
    assert found["walks"] == 5 and found["words"] > 10 and found["missing"] == 0, out.read_text()
    assert walks.run(5, walks.STEPS, 7, tmp_path, out) == found  # all of them are in the file already
