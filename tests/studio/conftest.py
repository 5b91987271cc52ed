"""An app context on records and objects of the test's own, which the pages find through the environment too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.core.settings import Settings
from studio.context import AppContext, open_context


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppContext]:
    """An empty studio; SQLite, a folder, and a queue in a file."""
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "home"))
    opened = open_context(Settings.from_environment())
    yield opened
    opened.records.close()
