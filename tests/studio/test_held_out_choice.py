"""What is kept for the test is shown, can be chosen, stays chosen over edits, and is what a training measures on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.core.character.character_folder import read_character, write_character
from pipelines.core.character.held_out_split import hold_out, with_held_out
from pipelines.core.character.references import ranked_references
from pipelines.core.character.serialize import character_from_entries, character_to_entries
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.problems import CharacterProblems
from pipelines.core.run_folder import read_json
from pipelines.core.score_axes import WANTED
from studio.actions import characters, create, drafts, drawings, held_out, interactions
from studio.actions.drafts import Draft, moved_places
from studio.context import AppContext
from tests.studio import staged
from tests.toys import toy, write_toy
from worker.run_folders import make_run_folder

APP = Path(__file__).resolve().parents[2] / "studio" / "navigation.py"


@pytest.fixture
def own(context: AppContext, tmp_path: Path) -> str:
    """A character that came without a held-out split: six pictures, eight conversations, six facts."""
    draft = characters.draft_of_folder(context, write_toy(tmp_path / "ada"))
    del draft["test"], draft["test_pictures"]
    return context.records.characters.create(context.owner, draft).id


def draft_of(context: AppContext, id: str) -> Draft:
    return context.records.characters.get(id).draft


def kept(context: AppContext, id: str) -> dict[str, tuple[str, ...]]:
    return {view.kind: view.kept for view in held_out.kinds(draft_of(context, id))}


def turns(context: AppContext, id: str, number: int) -> list[str]:
    """Ids of the turns of a conversation."""
    drafts.change(context, id, drafts.name_places)  # type: ignore[arg-type]
    return [turn["id"] for turn in draft_of(context, id)["interactions"][number]]


def test_the_even_spread(context: AppContext, own: str) -> None:
    everything = ("0", "1", "2", "3", "4", "5")
    assert kept(context, own) == {"conversations": ("2", "5"), "facts": everything, "images": ("05.png",)}
    test = held_out.draft_test(draft_of(context, own))
    assert test.words == "2 conversations, 6 questions and 1 picture (05 of step 1)"
    assert test.conversations[0] == "Question 3?"
    assert test.replies == 4, "the last two have one answer each, so a longer one is kept"
    assert test.missing == (f"Knows the facts: {WANTED['facts_accuracy']}",)
    assert interactions.learned(draft_of(context, own)).pictures == 5, "the picture that is kept is not learned"
    few = held_out.draft_test({**draft_of(context, own), "interactions": []})
    assert few.conversations == () and few.words.startswith("no conversations")


def test_pictures_of_a_test_of_its_own_are_not_taken_for_those_of_step_1(context: AppContext) -> None:
    id = characters.try_bundled(context, "nella-tarn")
    test = held_out.draft_test(draft_of(context, id))
    assert test.words.endswith(" and 5 pictures of its own") and ".png" not in test.words
    page = AppTest.from_file(str(APP), default_timeout=120).switch_page("app_pages/create.py")
    page.query_params["character"], page.query_params["step"] = id, "4"
    page.run()
    assert not page.exception
    assert sum(str(one.value).startswith("- Test picture ") for one in page.markdown) == 5


def test_a_choice_stays_over_edits(context: AppContext, own: str) -> None:
    held_out.choose(context, own, "conversations", ["1", "5"])
    held_out.choose(context, own, "images", ["02.png"])
    interactions.remove_interaction(context, own, turns(context, own, 0))
    assert kept(context, own)["conversations"] == ("0", "4")
    interactions.move_interaction(context, own, turns(context, own, 0), 1)
    interactions.set_words(context, own, turns(context, own, 4)[0], "Asked anew?")
    assert kept(context, own)["conversations"] == ("1", "4")
    assert [view.is_chosen for view in held_out.kinds(draft_of(context, own))] == [True, False, True]
    interactions.remove_interaction(context, own, turns(context, own, 4))
    assert kept(context, own)["conversations"] == ("1",)
    held_out.choose(context, own, "facts", ["5"])
    facts = [(fact["question"], fact["answer"]) for fact in draft_of(context, own)["facts"]]
    drafts.set_facts(context, own, [("What is new?", "This."), *facts])
    assert kept(context, own)["facts"] == ("6",)
    for kind in ("conversations", "facts", "images"):
        held_out.choose(context, own, kind, None)
    assert "held_out" not in draft_of(context, own)


@pytest.mark.parametrize(
    ("described", "chosen"), [((), ()), (("01.png", "02.png"), ()), (("02.png",), ("02.png",)), ((), ("05.png",))]
)
def test_a_picture_is_looked_at_or_kept_and_step_one_says_which(
    context: AppContext, own: str, tmp_path: Path, described: tuple[str, ...], chosen: tuple[str, ...]
) -> None:
    def describe(draft: Draft) -> None:
        draft["images"] = [
            {"file": entry["file"], **({"expression": "happy"} if entry["file"] in described else {})}
            for entry in draft["images"]
        ]

    drafts.change(context, own, describe)
    for file in chosen:
        held_out.choose(context, own, "images", [file])
        drawings.use_reference(context, own, file, True)
    draft = draft_of(context, own)
    shown = drawings.used_references(draft)
    assert set(chosen) <= set(shown) and len(shown) == 2
    assert not set(shown) & {file for file, _ in held_out.draft_test(draft).images}
    images = {entry["file"]: entry["key"] for entry in draft["pictures"]}
    version = context.records.characters.publish(own, create.published_entries(draft), None, images, None)
    make_run_folder(tmp_path / "run", version, Recipe.for_effort("starter", "quick"), context.store)
    assert ranked_references(read_character(tmp_path / "run" / "character"))[:2] == shown


def test_where_things_are_after_an_edit() -> None:
    first, second = {"a": 1}, {"a": 1}
    assert moved_places([first, second], [second], [1]) == [0], "the same one, not an equal one"
    assert moved_places([first], [{"a": 2}], [0]) == [0], "changed at its place"
    assert moved_places([first, second], [{"a": 3}], [0]) == [] and moved_places([], [], [3]) == []


def test_a_version_names_all_of_it_and_the_trainer_finds_it(context: AppContext, own: str, tmp_path: Path) -> None:
    held_out.choose(context, own, "conversations", ["0", "3"])
    entries = create.published_entries(draft_of(context, own))
    assert entries["held_out"] == {"conversations": [0, 3], "facts": [0, 1, 2, 3, 4, 5], "images": ["05.png"]}
    told = [talk[0]["user"] for talk in draft_of(context, own)["interactions"]]
    images = {entry["file"]: entry["key"] for entry in draft_of(context, own)["pictures"]}
    version = context.records.characters.publish(own, entries, None, images, None)
    job = staged.queued(context, own)
    run = tmp_path / "run"
    make_run_folder(run, version, Recipe.from_json(job.recipe or {}), context.store)
    trained = read_json(run / "run.json")["character"]
    learned = [talk[0]["user"] for talk in trained["interactions"]]
    assert learned == [words for place, words in enumerate(told) if place not in (0, 3)]
    assert "held_out" not in trained and len(trained["images"]) == 5
    test = held_out.job_test(context, replace(job, version=version.version))
    assert test is not None and test.conversations == ("Question 1?", "Question 4?")


def test_a_version_of_before_keeps_the_split_it_was_trained_with() -> None:
    character, _ = toy()
    before = hold_out(character)[1]
    assert [talk[0].text for talk in before.dialogues] == ["Cold there?"] and before.images[0].file == "06.png"
    named = with_held_out(character)
    problems: list[Any] = []
    assert character_from_entries(character_to_entries(named), problems) == named and not problems
    assert hold_out(named)[1] != before


def test_what_cannot_be_kept(context: AppContext, own: str) -> None:
    held_out.choose(context, own, "images", ["02.png"])
    held_out.choose(context, own, "conversations", [str(place) for place in range(8)])
    drafts.change(context, own, lambda draft: draft.update(references=["02.png"]))
    found = {problem.field: problem.message for problem in create.all_problems(draft_of(context, own))}
    assert "a reference as well" in found["held_out.images"]
    assert "nothing is left to learn from" in found["held_out.conversations"]
    with pytest.raises(CharacterProblems):
        create.start(context, own, "quick", "starter")


def test_step_four_shows_and_keeps_a_choice(context: AppContext, own: str) -> None:
    test = AppTest.from_file(str(APP), default_timeout=120).switch_page("app_pages/create.py")
    test.query_params["character"], test.query_params["step"] = own, "4"
    test.run()
    assert not test.exception, test.exception
    boxes = {box.label: box for box in test.multiselect}
    assert boxes["Conversations"].value == ["2", "5"] and boxes["Pictures"].value == ["05.png"]
    boxes["Conversations"].set_value(["0", "7"]).run()
    assert kept(context, own)["conversations"] == ("0", "7")
    next(button for button in test.button if button.label == "Spread them evenly again").click().run()
    assert kept(context, own)["conversations"] == ("2", "5")


def test_a_folder_may_name_what_is_held_out(tmp_path: Path) -> None:
    folder = write_toy(tmp_path / "ada")
    named = with_held_out(read_character(folder))
    write_character(named, folder)
    assert read_character(folder).held_out == named.held_out
