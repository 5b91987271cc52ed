"""No text replaces one that its writer has not seen, and none is cut."""

from __future__ import annotations

import pytest

from pipelines.core.jobs.job import RecordsUnusable
from pipelines.core.problems import CharacterProblems
from studio.actions import characters, create, drafts, interactions, typed
from studio.actions.typed import Typed
from studio.context import AppContext


@pytest.fixture
def id(context: AppContext) -> str:
    return drafts.create(context)


def draft_of(context: AppContext, id: str) -> drafts.Draft:
    return drafts.own_character(context, id).draft


def test_a_tab_goes_on_from_its_own_text(context: AppContext, id: str) -> None:
    key = f"text-{id}-persona"
    for number, text in enumerate(("H", "He", "Hello"), 1):
        assert typed.keep(context, Typed(key, text, "", "a", number)) == "kept"  # all of them edited from ""
    assert typed.keep(context, Typed(key, "He", "", "a", 2)) == "kept"  # late: nothing changes
    assert typed.keep(context, Typed(key, "He", "", "a")) == "kept"  # the page's own run, later still
    assert draft_of(context, id)["persona"] == "Hello" and "clashes" not in draft_of(context, id)
    assert typed.keep(context, Typed(key, "Hello you", "Hello", "b", 9)) == "kept"  # another tab that has seen it
    assert draft_of(context, id)["persona"] == "Hello you"


def test_a_field_drawn_anew_by_the_browser_empties_nothing(context: AppContext, id: str) -> None:
    """Streamlit tells the beginning of such a field as a change: empty, or a text that stood there once."""
    key = f"text-{id}-persona"
    typed.keep(context, Typed(key, "Keeps bees", "", "a"))
    typed.note_shown(context, key, "Keeps bees", "b")
    assert typed.keep(context, Typed(key, "", "Keeps bees", "b")) == "kept"  # a page without the script
    assert draft_of(context, id)["persona"] == ""
    typed.keep(context, Typed(key, "Keeps bees", "", "a"))
    context.note_script("b")
    for told, stands in (
        ("", "Keeps bees"),
        ("Keeps bees and cats", "Keeps bees and cats"),
        ("Keeps bees", "Keeps bees and cats"),
    ):
        typed.keep(context, Typed(key, told, draft_of(context, id)["persona"], "b"))
        assert draft_of(context, id)["persona"] == stands
    assert typed.keep(context, Typed(key, "", "Keeps bees and cats", "b", 7)) == "kept"  # emptied by somebody
    assert draft_of(context, id)["persona"] == ""


def test_a_stale_tab_leaves_the_newer_text_and_keeps_its_own(context: AppContext, id: str) -> None:
    key = f"text-{id}-persona"
    typed.keep(context, Typed(key, "New words", "", "a", 1))
    assert typed.keep(context, Typed(key, "Old", "", "b", 2)) == "clash"
    assert typed.keep(context, Typed(key, "Old words", "", "b", 3)) == "clash"
    assert typed.keep(context, Typed(key, "", "", "c", 4)) == "clash"  # emptied: there is nothing to keep
    draft = draft_of(context, id)
    [clash] = typed.clashes(id, draft)
    assert draft["persona"] == "New words" and clash.text == "Old words" and clash.stands == "New words"
    assert clash.title == "Who they are"
    typed.settle(context, clash, takes_it=True)
    assert draft_of(context, id)["persona"] == "Old words" and "clashes" not in draft_of(context, id)
    typed.settle(context, clash, takes_it=True)  # pressed twice
    # What the other tab had written is no longer what stands there: it may not go on as if it were.
    assert typed.keep(context, Typed(key, "New words, more", "New words", "a", 5)) == "clash"


def test_other_fields_of_a_stale_tab_are_kept(context: AppContext, id: str) -> None:
    typed.keep(context, Typed(f"text-{id}-persona", "New", "", "a", 1))
    assert typed.keep(context, Typed(f"text-{id}-style", "Dry", "", "b", 2)) == "kept"
    assert draft_of(context, id)["persona"] == "New" and draft_of(context, id)["style"] == "Dry"


def test_line_ends_of_a_browser_make_no_clash(context: AppContext, id: str) -> None:
    drafts.set_text(context, id, "persona", "One\r\ntwo ")
    assert typed.keep(context, Typed(f"text-{id}-persona", "One\ntwo three", "One\ntwo", "a", 1)) == "kept"
    assert draft_of(context, id)["persona"] == "One\ntwo three"


def test_what_was_taken_out_elsewhere_is_kept_beside(context: AppContext, id: str) -> None:
    interactions.add_interaction(context, id, [{"user": "Hi"}, {"character": "Aye."}])
    [talk] = interactions.interaction_views(draft_of(context, id))
    interactions.remove_interaction(context, id, talk.ids)
    assert typed.keep(context, Typed(f"words-{id}-{talk.ids[1]}", "Aye, and more.", "Aye.", "b", 1)) == "gone"
    [clash] = typed.clashes(id, draft_of(context, id))
    assert clash.stands is None and clash.text == "Aye, and more."
    typed.settle(context, clash, takes_it=False)
    assert typed.clashes(id, draft_of(context, id)) == []


def test_a_text_over_its_limit_is_kept_counted_and_told(context: AppContext, id: str) -> None:
    long = "x" * 8300
    assert typed.keep(context, Typed(f"text-{id}-persona", long, "", "a", 1)) == "kept"
    assert draft_of(context, id)["persona"] == long
    told = [one for one in create.summary(draft_of(context, id)).problems[2] if one.severity == "error"]
    assert any("8,300 characters, 300 more than the 8,000" in one.message for one in told)
    with pytest.raises(CharacterProblems, match="more than can be kept"):
        typed.keep(context, Typed(f"text-{id}-persona", "x" * 1_000_001, long, "a", 2))
    assert draft_of(context, id)["persona"] == long


def test_a_text_that_could_not_be_saved_may_come_again(context: AppContext, id: str) -> None:
    key, save = f"text-{id}-name", context.records.characters.save_draft

    def fails(id: str, draft: object) -> None:
        raise RecordsUnusable("the disk is full")

    context.records.characters.save_draft = fails  # type: ignore[method-assign, assignment]
    with pytest.raises(RecordsUnusable):
        typed.keep(context, Typed(key, "Ada", "", "a", 1))
    context.records.characters.save_draft = save  # type: ignore[method-assign]
    assert typed.keep(context, Typed(key, "Ada", "", "a", 1)) == "kept"
    assert draft_of(context, id)["name"] == "Ada"


def test_rows_of_facts_keep_their_ids_and_empty_ones_are_no_facts(context: AppContext, id: str) -> None:
    drafts.set_facts(context, id, [("Where?", "Here"), ("Who?", "Me")])
    rows = [fact["id"] for fact in characters.open_draft(context, id)["facts"]]
    assert rows == [fact["id"] for fact in characters.open_draft(context, id)["facts"]]
    typed.keep(context, Typed(f"fact-{id}-{rows[0]}-question", "", "Where?", "a", 1))
    typed.keep(context, Typed(f"fact-{id}-{rows[0]}-answer", "", "Here", "a", 2))
    typed.keep(context, Typed(f"fact-{id}-00aa00aa-question", "Why?", "", "a", 3))
    draft = draft_of(context, id)
    assert [fact["id"] for fact in draft["facts"]] == [*rows, "00aa00aa"]
    assert [fact["question"] for fact in drafts.entries_of(draft)["facts"]] == ["Who?", "Why?"]
    typed.remove_fact(context, id, rows[1])
    # Somebody still writes into the row in another tab: it comes back with what they wrote.
    assert typed.keep(context, Typed(f"fact-{id}-{rows[1]}-question", "Who are you?", "Who?", "b", 4)) == "clash"
    assert draft_of(context, id)["facts"][-1]["question"] == "Why?"
