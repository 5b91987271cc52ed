"""What one training was tested on the next one is tested on too, whatever was added, moved or mended in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.character import held_out_split
from pipelines.core.character.character import CharacterImage, Fact, HeldOut
from pipelines.core.character.character_folder import read_character, write_character
from pipelines.core.character.held_out_split import with_held_out
from pipelines.core.jobs.job import CharacterVersion, Job, new_id
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.queue.submit import publish_folder
from pipelines.core.run_folder import BASE, adapters
from pipelines.data.chat_template import reply, user
from studio.actions import characters, create, drafts, held_out, interactions, training_jobs
from studio.context import AppContext
from tests.toys import TOY_BASE, TOY_STEPS, toy, write_toy
from worker.uploads import put_checkpoint


@pytest.fixture
def own(context: AppContext, tmp_path: Path) -> str:
    """Ada without a held-out split: six pictures, six facts, ten more conversations of one answer each."""
    draft = characters.draft_of_folder(context, write_toy(tmp_path / "ada"))
    del draft["test"], draft["test_pictures"]
    draft["interactions"] = [said(number) for number in range(16)]
    id = context.records.characters.create(context.owner, draft).id
    create.give_consent(context, id, "drawn", "Ann")
    return id


def said(number: int) -> list[dict[str, Any]]:
    return [{"user": f"What of night {number}?"}, {"character": f"{number} bells, aye."}]


def kept_in(version: CharacterVersion) -> dict[str, list[str]]:
    """What a version keeps for the test, by what it says."""
    entries, kept = version.entries, version.entries["held_out"]
    return {
        "conversations": [entries["interactions"][place][0]["user"] for place in kept["conversations"]],
        "facts": [entries["facts"][place]["question"] for place in kept["facts"]],
        "images": kept["images"],
    }


def learned(version: CharacterVersion) -> list[str]:
    kept = version.entries["held_out"]["conversations"]
    return [talk[0]["user"] for place, talk in enumerate(version.entries["interactions"]) if place not in kept]


def move_first(context: AppContext, id: str, *talks: list[dict[str, Any]]) -> None:
    """New conversations and facts before all others, and the pictures the other way round."""

    def edit(draft: drafts.Draft) -> None:
        draft["interactions"] = [*talks, *draft["interactions"]]
        draft["facts"].insert(0, {"question": "Who rings?", "answer": "I do."})
        draft["images"].reverse()
        draft["pictures"].reverse()

    drafts.change(context, id, edit)


def test_sixteen_of_one_answer_are_tested_and_fifteen_say_what_is_missing(context: AppContext, own: str) -> None:
    drafts.change(context, own, lambda draft: draft["interactions"].pop())
    draft = drafts.own_character(context, own).draft
    said_in_step_3 = [item.mend for item in create.summary(draft).problems[3] if item.field == "interactions"]
    assert said_in_step_3 == ["Longer conversations or 1 more make it possible."]
    missing = held_out.draft_test(draft).missing
    assert missing[0] == "Sounds like them: Longer conversations or 1 more make it possible."
    assert "or 1 more" in interactions.how_many_more(draft)
    interactions.add_interaction(context, own, said(15))
    draft = drafts.own_character(context, own).draft
    test = held_out.draft_test(draft)
    assert test.replies == 4 and not any(words.startswith("Sounds") for words in test.missing)
    assert not [item for item in create.summary(draft).problems[3] if item.field == "interactions"]
    assert "4 of them are kept for the test" in interactions.how_many_more(draft)


def test_the_test_stays_when_things_are_added_moved_and_mended(context: AppContext, own: str) -> None:
    first = create.publish_draft(context, own)
    move_first(context, own, said(99))
    drafts.change(context, own, drafts.name_places)  # type: ignore[arg-type]
    draft = drafts.own_character(context, own).draft
    mended = next(talk for talk in draft["interactions"] if talk[0]["user"] == kept_in(first)["conversations"][0])
    interactions.set_words(context, own, mended[1]["id"], "Mended, aye.")
    shown = held_out.draft_test(drafts.own_character(context, own).draft)
    second = create.publish_draft(context, own)
    assert second.version == 2 and list(shown.conversations) == kept_in(second)["conversations"]
    assert kept_in(second)["conversations"] == kept_in(first)["conversations"] and len(shown.conversations) == 4
    assert kept_in(second)["images"] == kept_in(first)["images"]
    assert set(kept_in(first)["facts"]) < set(kept_in(second)["facts"])
    assert create.publish_draft(context, own) == second, "nothing has changed since"


def test_what_is_missing_is_filled_up_with_what_nobody_learned(context: AppContext, own: str) -> None:
    first = create.publish_draft(context, own)
    move_first(context, own, *(said(number) for number in range(100, 124)))
    gone = kept_in(first)["conversations"][3]
    drafts.change(
        context,
        own,
        lambda draft: draft.update(interactions=[t for t in draft["interactions"] if t[0]["user"] != gone]),
    )
    second = create.publish_draft(context, own)
    kept = kept_in(second)["conversations"]
    assert set(kept_in(first)["conversations"]) - {gone} < set(kept) and len(kept) == 4
    assert not set(kept) & set(learned(first))
    characters.restore_version(context, own, 1)
    again = create.publish_draft(context, own)
    assert set(kept_in(second)["conversations"]) - set(kept) <= set(kept_in(again)["conversations"])
    assert set(kept_in(first)["conversations"]) == set(kept_in(again)["conversations"])


def test_a_choice_is_followed_and_left_stays(context: AppContext, own: str) -> None:
    held_out.choose(context, own, "conversations", ["0", "1", "2", "3"])
    first = create.publish_draft(context, own)
    held_out.choose(context, own, "conversations", None)
    interactions.add_interaction(context, own, said(50))
    assert kept_in(create.publish_draft(context, own))["conversations"] == kept_in(first)["conversations"]
    held_out.choose(context, own, "conversations", ["8", "9", "10", "11"])
    assert kept_in(create.publish_draft(context, own))["conversations"][0] == "What of night 8?"


def test_a_further_training_is_tested_on_nothing_that_it_learned(context: AppContext, own: str, toy_run: Path) -> None:
    version = create.publish_draft(context, own)
    recipe = Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS)
    old = context.records.jobs.add(
        Job(new_id(), "train", context.owner, own, version.version, recipe.to_json(), status="succeeded")
    )
    for name in (BASE, *adapters(toy_run)):
        put_checkpoint(context.records, context.store, old.id, toy_run, name)
    for number in range(40, 65):
        interactions.add_interaction(context, own, said(number))
    new = training_jobs.continue_training(context, old.id, "sft-000004", 2, 1, newest=True)
    now = context.records.characters.version(own, new.version)
    assert set(kept_in(version)["conversations"]) < set(kept_in(now)["conversations"])
    assert not set(kept_in(now)["conversations"]) & set(learned(version))


def test_a_draft_of_before_keeps_what_its_version_kept(context: AppContext, own: str) -> None:
    """Versions of before name two conversations, and their drafts say nothing of what was tested."""
    draft = drafts.own_character(context, own).draft
    entries = {
        **create.published_entries(draft),
        "held_out": {"conversations": [3, 9], "facts": [0], "images": ["02.png"]},
    }
    context.records.characters.publish(own, entries, None, {one["file"]: one["key"] for one in draft["pictures"]})
    found = kept_in(create.publish_draft(context, own))
    assert {"What of night 3?", "What of night 9?"} < set(found["conversations"]) and len(found["conversations"]) == 4
    assert found["images"] == ["02.png"]


def test_pictures_and_facts_that_are_missing_are_none_that_were_learned() -> None:
    ada = replace(
        toy()[0],
        images=tuple(CharacterImage(f"{n:02d}.png", "happy" if n % 2 else "", "a coat") for n in range(16)),
        facts=tuple(Fact(f"Question {n}?", f"Answer {n}.") for n in range(30)),
    )
    learned = tuple(f"{n:02d}.png" for n in range(16) if n not in (5, 12))
    kept = with_held_out(
        ada, held_out_split.Tested(HeldOut((), (1, 2), ("05.png",)), HeldOut((), None, learned))
    ).held_out
    assert kept.images == ("05.png", "12.png")
    assert kept.facts is not None and {1, 2} < set(kept.facts) and len(kept.facts) == 20


def test_a_folder_that_is_published_twice_keeps_its_test(context: AppContext, tmp_path: Path) -> None:
    folder = write_toy(tmp_path / "ada")
    (folder / "test.yaml").unlink()
    first = publish_folder(context.records, context.store, context.owner, folder)
    assert publish_folder(context.records, context.store, context.owner, folder) == first
    ada = read_character(folder)
    more = tuple((user(f"Night {n}?"), reply(f"Aye, {n}.")) for n in range(3))
    write_character(replace(ada, interactions=(*more, *ada.interactions)), folder)
    second = publish_folder(context.records, context.store, context.owner, folder)
    assert second.version == 2 and kept_in(second) == kept_in(first)
