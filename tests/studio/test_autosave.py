"""The route that takes what is typed while it is typed."""

from __future__ import annotations

import json

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from studio import autosave
from studio.actions import characters, drafts, images, interactions
from studio.actions.typed import Typed
from studio.context import AppContext

OWN = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def id(context: AppContext) -> str:
    found = characters.try_bundled(context, "quibb")
    characters.open_draft(context, found)  # facts and turns have ids from here on
    return found


def sent(context: AppContext, key: str, text: str, base: str, number: int = 1) -> dict[str, object]:
    return autosave.autosave(context, Typed(key, text, base, "tab", number))


def test_every_kind_of_field_is_kept(context: AppContext, id: str) -> None:
    before = drafts.own_character(context, id).draft
    turn = interactions.interaction_views(before)[0].turns[1]
    fact = before["facts"][0]
    picture = images.image_views(context, before)[2].caption
    for key, text, base in (
        (f"text-{id}-persona", "Somebody", before["persona"]),
        (f"text-{id}-stated_by", "Me", ""),
        (f"caption-{id}-03-png-place", "on a ship", picture.place),
        (f"words-{id}-{turn.id}", "Quibb counts one.", turn.words),
        (f"scene-{id}-{turn.id}", "Quibb, counting", turn.scene),
        (f"fact-{id}-{fact['id']}-answer", "Nine", fact["answer"]),
    ):
        assert sent(context, key, text, base) == {"state": "kept", "look": False}, key
    assert sent(context, f"fact-{id}-0123abcd-question", "Why?", "") == {"state": "kept", "look": True}
    draft = drafts.own_character(context, id).draft
    assert draft["persona"] == "Somebody" and draft["stated_by"] == "Me"
    assert (
        draft["interactions"][0][1] | {"character": "Quibb counts one.", "scene": "Quibb, counting"}
        == (draft["interactions"][0][1])
    )
    assert images.image_views(context, draft)[2].caption.place == "on a ship"
    assert draft["facts"][0]["answer"] == "Nine"
    assert draft["facts"][-1] == {"question": "Why?", "answer": "", "id": "0123abcd"}


def test_what_is_none_of_ours_is_left_alone(context: AppContext, id: str) -> None:
    before = drafts.own_character(context, id).draft
    for key in (f"text-{id}-consent", f"caption-{id}-03-png-file", "find", f"text-{id}-name-x", f"fact-{id}-1-file"):
        with pytest.raises(ValueError, match="names no field"):
            sent(context, key, "x", "")
    assert drafts.own_character(context, id).draft == before


def test_the_route_takes_it_from_our_own_pages_only(context: AppContext, id: str) -> None:
    browser = TestClient(Starlette(routes=autosave.ROUTES))
    told = {"key": f"text-{id}-name", "value": "Quibble", "base": "Quibb", "tab": "t", "number": 1}
    said = json.dumps(told)
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "http://elsewhere"}, {}):
        assert browser.post("/keep", content=said, headers=headers).status_code == 403
    assert browser.post("/keep", content=said + " " * autosave.MAX_BYTES, headers=OWN).status_code == 403
    for wrong in ("[", "{}", json.dumps(told | {"number": "x"}), json.dumps(told | {"key": "find"})):
        assert browser.post("/keep", content=wrong, headers=OWN).status_code == 400
    assert drafts.own_character(context, id).name == "Quibb"
    kept = browser.post("/keep", content=said, headers=OWN)
    assert kept.status_code == 200 and kept.json() == {"state": "kept", "look": False}
    more = json.dumps(told | {"value": "Quibbles", "number": 2})
    assert browser.post("/keep", content=more, headers={"origin": "http://testserver"}).status_code == 200
    assert drafts.own_character(context, id).name == "Quibbles"


def test_the_script_stands_in_every_page_and_nowhere_else() -> None:
    page = "<html><head><title>x</title></head></html>"
    routes = [
        *autosave.ROUTES,
        Route("/create", lambda request: HTMLResponse(page, headers={"etag": "1"})),
        Route("/data", lambda request: PlainTextResponse("<head>")),
    ]
    browser = TestClient(Starlette(routes=routes, middleware=[Middleware(autosave.PageScript)]))
    html = {"accept": "text/html,*/*", "if-none-match": "1"}
    shown = browser.get("/create", headers=html)
    assert shown.text.count(f"<head>{autosave.PageScript.TAG.decode()}") == 1 and "etag" not in shown.headers
    assert browser.get("/create", headers={"accept": "*/*"}).text == page
    assert browser.get("/data", headers=html).text == "<head>"
    assert browser.get("/autosave.js").text == autosave.AUTOSAVE_JS.read_text()
