"""Texts that no page can draw and messages that no page sends: nothing of them breaks the editor, now or later."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from pipelines.core.problems import CharacterProblems
from studio import autosave
from studio.actions import characters, compare, drafts
from studio.actions.training_jobs import clone_with_text
from studio.context import AppContext
from tests.studio import staged

OWN = {"sec-fetch-site": "same-origin"}
APP = Path(__file__).resolve().parents[2] / "studio" / "navigation.py"
ODD = "half \\ud800, red \\u001b[31m, none \\u0000, csi \\u009b2J, \\ud83d\\ude00"
"""As JSON has it."""
TIDY = "half \ufffd, red , none , csi 2J, \U0001f600"


@pytest.fixture
def id(context: AppContext) -> str:
    found = characters.try_bundled(context, "quibb")
    characters.open_draft(context, found)
    return found


@pytest.fixture
def browser() -> TestClient:
    return TestClient(Starlette(routes=autosave.ROUTES))


def message(id: str, **changes: str) -> bytes:
    """A message as the script sends it; values are written as they stand."""
    parts = {"key": f'"text-{id}-persona"', "value": '"He"', "base": '""', "tab": '"t"', "number": "1", **changes}
    return ("{" + ",".join(f'"{key}":{value}' for key, value in parts.items()) + "}").encode()


BROKEN: dict[str, Callable[[str], bytes]] = {
    "nothing": lambda id: b"",
    "no JSON": lambda id: b"{",
    "no UTF-8": lambda id: b'{"key":"\xff\xfe"}',
    "a number": lambda id: b"7",
    "a list": lambda id: b"[]",
    "a text": lambda id: b'"key"',
    "deep": lambda id: b"[" * 100_000,
    "deep inside": lambda id: message(id, value='{"a":' * 5_000 + "1" + "}" * 5_000),
    "deep and closed": lambda id: b"[" * 50_000 + b"]" * 50_000,
    "a number for the text": lambda id: message(id, value="7"),
    "an object for the text": lambda id: message(id, value='{"a": 1}'),
    "nothing for the text": lambda id: message(id, value="null"),
    "a list for the base": lambda id: message(id, base="[1]"),
    "a truth for the number": lambda id: message(id, number="true"),
    "infinity": lambda id: message(id, number="Infinity"),
    "not a number": lambda id: message(id, number="NaN"),
    "more than any number": lambda id: message(id, number="1e999"),
    "a long number": lambda id: message(id, number="9" * 5_000),
    "a part of a number": lambda id: message(id, number="1.5"),
    "another part": lambda id: message(id, more="1"),
    "a tab with a long name": lambda id: message(id, tab='"' + "t" * 1_000 + '"'),
    "an odd key": lambda id: message(id, key='"text-\\ud800-persona"'),
    "a script that is nobody": lambda id: b'{"tab": 7}',
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_message_that_no_page_sends_is_refused_and_changes_nothing(
    context: AppContext, id: str, browser: TestClient, what: str
) -> None:
    before = drafts.own_character(context, id).draft
    assert browser.post("/keep", content=BROKEN[what](id), headers=OWN).status_code == 400
    assert browser.post("/keep", content=BROKEN[what](id), headers={**OWN, "content-length": "x"}).status_code == 403
    assert drafts.own_character(context, id).draft == before


@pytest.mark.parametrize("place", ["text-{id}-persona", "text-{id}-name", "fact-{id}-0123abcd-answer"])
def test_what_no_page_can_draw_is_kept_as_far_as_it_can(
    context: AppContext, id: str, browser: TestClient, place: str
) -> None:
    key, base = place.format(id=id), drafts.own_character(context, id).draft["persona"]
    base = {"persona": base, "name": "Quibb"}.get(key.rsplit("-", 1)[1], "")
    parts = {"key": json.dumps(key), "value": f'"{ODD}"', "base": json.dumps(base)}
    answer = browser.post("/keep", content=message(id, **parts), headers=OWN)
    assert answer.status_code == 200 and answer.json()["state"] == "kept"
    assert json.dumps(TIDY)[1:-1] in json.dumps(drafts.own_character(context, id).draft)
    # The same tab types on, from the odd text that its field still shows: no second version of it.
    more = {**parts, "value": f'"{ODD}!"', "base": f'"{ODD}"', "number": "2"}
    assert browser.post("/keep", content=message(id, **more), headers=OWN).json()["state"] == "kept"
    assert "clashes" not in drafts.own_character(context, id).draft
    assert not opened(character=id).exception


def opened(**params: str) -> AppTest:
    """The wizard, drawn."""
    page = AppTest.from_file(str(APP), default_timeout=120).switch_page("app_pages/create.py")
    for name, value in params.items():
        page.query_params[name] = value
    page.run()
    assert not any("Something went wrong" in title.value for title in page.title)
    return page


def test_a_draft_that_was_kept_with_half_a_character_opens_again(context: AppContext, id: str) -> None:
    """Earlier versions kept such texts, and then no page of the character could be drawn any more."""
    draft = {**drafts.own_character(context, id).draft, "persona": "half \ud800", "style": "\udfff"}
    with closing(sqlite3.connect(context.settings.home / "understudy.db")) as records, records:
        records.execute("UPDATE characters SET draft = ? WHERE id = ?", (json.dumps(draft), id))
    page = opened(character=id, step="2")
    assert "half \ufffd" in [area.value for area in page.text_area]


def test_every_other_text_is_kept_without_halves(context: AppContext, id: str, tmp_path: Path) -> None:
    drafts.set_text(context, id, "style", "a\ud800b")
    drafts.set_facts(context, id, [("q\ud800", "a\udc00")])
    draft = drafts.own_character(context, id).draft
    assert draft["style"] == "a\ufffdb" and draft["facts"][0]["question"] == "q\ufffd"
    job = staged.trained(context, staged.published(context, tmp_path / "ada", name="A\ud800"))
    conversation = compare.start_conversation(context, job.character, f"{job.id}:base", f"{job.id}:sft-000004", True)
    said = compare.send_message(context, conversation.id, "x\ud800\0")
    json.dumps(context.records.chats.messages(conversation.id)[0].text, ensure_ascii=False).encode()
    json.dumps(context.records.jobs.get(said.job).request, ensure_ascii=False).encode()
    assert context.records.characters.get(job.character).name.encode()


@pytest.mark.parametrize(
    "text", ["[" * 50_000, "7", "[]", '{"sft_steps": {}}', '{"sft_steps": -1}', '{"sft_steps": 1e999}']
)
def test_settings_of_an_engineer_are_refused_in_words(context: AppContext, tmp_path: Path, text: str) -> None:
    job = staged.trained(context, staged.published(context, tmp_path / "ada"))
    with pytest.raises((ValueError, CharacterProblems), match=r"settings|sft_steps"):
        clone_with_text(context, job.id, {}, text)
