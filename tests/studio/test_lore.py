"""The lorebook in step 2: entries shown, taught by a button, and a book of its own added."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines.core.problems import CharacterProblems
from studio.actions import drafts, lore
from studio.context import AppContext
from tests.core.formats.card_samples import as_json, foreign
from tests.studio.staged import took
from tests.studio.test_create_pages import Open, button, open_page, words

__all__ = ["open_page"]  # the fixture

ENTRIES: list[dict[str, Any]] = [
    {"keys": ["rain"], "content": "It rains on {{user}}.", "name": "Rain"},
    {"keys": ["bell"], "content": "The bell of {{char}} lies.", "constant": True},
    {"keys": ["shop"], "content": "The shop is old.", "constant": True},
]


@pytest.fixture
def id(context: AppContext) -> str:
    """A character whose card has a lorebook."""
    card = foreign(nickname="", character_book={"entries": ENTRIES, "extensions": {}})
    return took(context, "a.json", as_json(card)).id


def draft_of(context: AppContext, id: str) -> drafts.Draft:
    return drafts.own_character(context, id).draft


def test_entries_are_taught_once_as_the_creator_chooses(context: AppContext, id: str) -> None:
    views = lore.lore_views(draft_of(context, id))
    assert [view.entry.topic for view in views] == ["bell", "shop", "Rain"]
    for _ in range(2):
        lore.take(context, id, [views[0].id], "facts")
        lore.take(context, id, [views[1].id], "persona")
    draft = draft_of(context, id)
    assert [(fact["question"], fact["answer"]) for fact in draft["facts"]] == [
        ("What do you know about bell?", "The bell of Haruhi Vale lies.")
    ]
    assert draft["persona"].count("The shop is old.") == 1 and all(fact["id"] for fact in draft["facts"])
    assert [view.taught for view in lore.lore_views(draft)] == ["facts", "persona", "keep"]


def test_a_book_of_its_own_is_added_and_anything_else_is_refused(context: AppContext, id: str) -> None:
    book = {"type": "risu", "data": [{"key": "sea", "content": "The sea is far.", "alwaysActive": True}]}
    notes = lore.upload(context, id, "book.json", json.dumps(book).encode())
    assert len(lore.lore_views(draft_of(context, id))) == 4 and "were added" in notes[0].message
    for data, said in ((b"{}", "no lorebook"), (b"{", "not JSON"), (as_json(foreign()), "no lorebook")):
        with pytest.raises(CharacterProblems, match=said):
            lore.upload(context, id, "book.json", data)


def test_the_page_shows_every_entry_and_its_buttons_teach(context: AppContext, id: str, open_page: Open) -> None:
    shown = open_page("create", character=id, step=2)
    assert "Lorebook: 3 entries" in str([one.label for one in shown.expander])
    assert "It rains on the user" in words(shown) and "always used" in words(shown)
    button(shown, "Make them facts").click()
    shown.run()
    assert not shown.exception and len(draft_of(context, id)["facts"]) == 2 and "Is a fact" in words(shown)
