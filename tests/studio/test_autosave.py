"""Words that were being written when a page went away."""

from __future__ import annotations

import json

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from studio import autosave
from studio.actions import characters, drafts, images, interactions
from studio.context import AppContext

OWN = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def id(context: AppContext) -> str:
    return characters.try_bundled(context, "quibb")


def test_every_kind_of_field_is_kept(context: AppContext, id: str) -> None:
    assert autosave.autosave(context, f"text-{id}-persona", "Somebody")
    assert autosave.autosave(context, f"caption-{id}-03-png-place", "on a ship")
    turn = interactions.interaction_views(drafts.own_character(context, id).draft)[0].turns[1]
    mark = autosave.turn_digest(turn.words, turn.scene, turn.image)
    assert autosave.autosave(context, f"words-{id}-0-1-{mark}", "Quibb counts one.")
    draft = drafts.own_character(context, id).draft
    assert draft["persona"] == "Somebody" and draft["interactions"][0][1]["character"] == "Quibb counts one."
    assert images.image_views(context, draft)[2].caption.place == "on a ship"
    assert not autosave.autosave(context, f"words-{id}-0-1-{mark}", "Late.")  # the turn has changed since


def test_what_is_none_of_ours_is_left_alone(context: AppContext, id: str) -> None:
    before = drafts.own_character(context, id).draft
    for key in (f"text-{id}-consent", f"words-{id}-999-0-0", f"caption-{id}-03-png-file", "find", f"text-{id}-name-x"):
        assert not autosave.autosave(context, key, "x")
    assert drafts.own_character(context, id).draft == before


def test_the_route_takes_it_from_our_own_pages_only(context: AppContext, id: str) -> None:
    browser = TestClient(Starlette(routes=[autosave.ROUTE]))
    said = json.dumps({"key": f"text-{id}-name", "value": "Quibble"})
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "http://elsewhere"}, {}):
        assert browser.post("/keep", content=said, headers=headers).status_code == 403
    assert browser.post("/keep", content=said + " " * autosave.MAX_BYTES, headers=OWN).status_code == 403
    assert browser.post("/keep", content="[", headers=OWN).status_code == 400
    long = json.dumps({"key": f"text-{id}-name", "value": "x" * 200})
    assert browser.post("/keep", content=long, headers=OWN).status_code == 400
    assert drafts.own_character(context, id).name == "Quibb"
    assert browser.post("/keep", content=said, headers=OWN).status_code == 204
    assert browser.post("/keep", content=said, headers={"origin": "http://testserver"}).status_code == 204
    assert drafts.own_character(context, id).name == "Quibble"
