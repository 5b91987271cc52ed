"""What stands where a page cannot be drawn, and the scripts for a studio that has stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from studio import error_pages
from studio.context import AppContext
from tests.studio.test_pages_work import APP, TIMEOUT_S, labels, words


def opened(**params: str) -> AppTest:
    test = AppTest.from_file(str(APP), default_timeout=TIMEOUT_S)
    for key, value in params.items():
        test.query_params[key] = value
    return test.run()


def test_records_that_do_not_answer_have_a_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path))
    monkeypatch.setenv("UNDERSTUDY_DATABASE_URL", "postgresql+psycopg://nobody:x@127.0.0.1:1/none")
    shown = opened()
    assert "cannot reach what it keeps" in words(shown) and "Try again" in labels(shown)
    assert [box.label for box in shown.expander] == ["For engineers"]


def test_a_fault_of_the_studio_is_told_without_a_traceback_in_sight(context: AppContext) -> None:
    row = context.records.characters.create(
        context.owner, {"name": "Ada", "pictures": 5}
    )  # nothing writes such a draft
    shown = opened(character=row.id)
    assert "Something went wrong here" in words(shown) and "What was saved is kept" in words(shown)
    assert len(shown.exception) == len(shown.expander[0].exception) == 1  # folded away


def test_the_scripts_are_served_and_asked_for_anew() -> None:
    browser = TestClient(Starlette(routes=error_pages.ROUTES))
    for name in ("connection.js", "stopped_page.js"):
        answer = browser.get(f"/{name}")
        assert answer.status_code == 200 and answer.headers["cache-control"] == "no-cache"
        assert answer.headers["content-type"].startswith("text/javascript") and "studio is stopped" in answer.text
