"""A real PostgreSQL goes and comes back while people use the studio: told plainly, and what was typed comes later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from pipelines.core.settings import Settings
from studio import autosave
from studio.context import AppContext, open_context
from studio.widgets import OUT_OF_REACH as OUT
from tests.services import PostgresServer
from tests.studio import staged
from tests.studio.test_pages_work import Open, labels, open_page, words

__all__ = ["open_page"]


@pytest.fixture
def context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_server: PostgresServer, postgres_url: str
) -> Iterator[AppContext]:
    """A studio whose records are on PostgreSQL."""
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UNDERSTUDY_DATABASE_URL", postgres_url)
    opened = open_context(Settings.from_environment())
    yield opened
    if postgres_server.process is None:
        postgres_server.start()
    opened.records.close()


def told_plainly(page: AppTest) -> AppTest:
    """What stands there is for everybody; the engineer's words are folded away."""
    assert OUT in words(page)
    assert "Try again" in labels(page)
    assert len(page.exception) == len(page.expander[0].exception) == 1
    return page


def test_pages_say_it_and_what_was_said_and_typed_comes_later(
    context: AppContext, postgres_server: PostgresServer, open_page: Open, tmp_path: Path
) -> None:
    character = staged.published(context, tmp_path / "ada")
    job = staged.trained(context, character)
    training, characters, system = open_page("training", job=job.id), open_page("characters"), open_page("system")
    chat = open_page("chat", character=character, checkpoint=f"{job.id}:sft-000004")
    browser = TestClient(Starlette(routes=autosave.ROUTES), base_url="http://studio")
    typed = {"key": f"text-{character}-persona", "value": "Keeps the light.", "base": "", "tab": "a", "number": 1}
    mine = {"sec-fetch-site": "same-origin"}
    before = context.records.characters.get(character).draft.get("persona", "")

    postgres_server.stop()
    for page in (training, characters):
        told_plainly(page.run())
    health = words(system.run())
    assert not system.exception and OUT in health and "check that the server runs" in health
    sent = told_plainly(chat.chat_input[0].set_value("Is anybody there?").run())
    answer = browser.post("/keep", json=typed | {"base": before}, headers=mine)
    assert answer.status_code == 503 and "check that the server runs" in answer.text, "the script sends it again"

    postgres_server.start()
    answer = browser.post("/keep", json=typed | {"base": before}, headers=mine)
    assert answer.status_code == 200 and answer.json()["state"] == "kept"
    assert context.records.characters.get(character).draft["persona"] == "Keeps the light."
    assert OUT not in words(training.run()) and not training.exception
    back = sent.run()
    assert not back.exception and OUT not in words(back)
    assert back.chat_input[0].proto.value == "Is anybody there?", "it stands in the field, to be sent"
    back.chat_input[0].set_value("Is anybody there?").run()
    [talk] = context.records.chats.conversations(context.owner, character)
    assert [one.text for one in context.records.chats.messages(talk.id)] == ["Is anybody there?"], "once"


def test_a_part_of_a_page_says_it_in_its_place() -> None:
    def part() -> None:
        import streamlit as st

        from pipelines.core.jobs.job import RecordsUnusable
        from studio import widgets

        def draw() -> None:
            raise RecordsUnusable("gone")

        st.write("above")
        widgets.live(draw, 2.0)()
        st.write("below")

    shown = AppTest.from_function(part).run()
    assert not shown.exception and [one.value for one in shown.markdown] == ["above", "below"]
    assert shown.warning[0].value == f"{OUT} It is tried again every 2 seconds."
