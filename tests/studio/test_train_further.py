"""Training further for real: the trainer starts from the saved state and learns what the draft has got since."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.core.jobs.job import Conversation, Job, new_id
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.problems import CharacterProblems
from pipelines.core.run_folder import BASE, adapters, read_events, read_json
from pipelines.data.packing import NO_IMAGES
from pipelines.models.presets import load
from pipelines.train import train
from pipelines.training.sft_loss import packed_sft_rows
from studio.actions import characters, compare, create, drafts, drawings, feedback, interactions, training_jobs
from studio.actions.new_material import compared, further_steps, new_material, one_pass_rows
from studio.context import AppContext
from tests.studio import staged
from tests.toys import TOY_BASE, TOY_STEPS, toy, write_toy
from worker.run_folders import make_run_folder, restore_progress
from worker.uploads import put_checkpoint


@pytest.fixture
def learnt(context: AppContext, toy_run: Path, tmp_path: Path) -> Job:
    """A training of Ada as her draft was then."""
    draft = characters.draft_of_folder(context, write_toy(tmp_path / "ada"))
    id = context.records.characters.create(context.owner, draft).id
    create.give_consent(context, id, "drawn", "Ann")
    version = create.publish_draft(context, id)
    recipe = Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS)
    old = context.records.jobs.add(
        Job(new_id(), "train", context.owner, id, version.version, recipe.to_json(), status="succeeded")
    )
    for name in (BASE, *adapters(toy_run)):
        put_checkpoint(context.records, context.store, old.id, toy_run, name)
    return old


def corrected(context: AppContext, job: Job) -> None:
    """An answer in a chat that was put right."""
    talk = compare.start_conversation(context, job.character, f"{job.id}:sft-000004", f"{job.id}:base", blind=False)
    assert isinstance(talk, Conversation)
    message = compare.send_message(context, talk.id, "Who rings?", seed=1)
    staged.answered(context, message.job, ("No idea.", "I am a model."))
    feedback.correct(context, talk.id, message.number + 1, "left", "I ring, at six bells.")


def test_what_is_new_is_said(context: AppContext, learnt: Job) -> None:
    assert new_material(context, learnt).words == "Nothing is new since this training."
    corrected(context, learnt)
    interactions.add_interaction(context, learnt.character, [{"user": "New?"}, {"character": "Aye, new."}])
    drafts.change(context, learnt.character, drafts.name_places)  # type: ignore[arg-type]
    turn = context.records.characters.get(learnt.character).draft["interactions"][0][1]
    interactions.set_words(context, learnt.character, turn["id"], "Aye, changed.")
    drafts.set_text(context, learnt.character, "persona", "A ferry pilot who counts bells and gulls.")
    material = new_material(context, learnt)
    assert (material.corrections, material.conversations, material.pictures) == (1, 2, 0)
    assert material.words == (
        "New since this training: 1 corrected answer, 2 conversations and a change of who they are."
    )
    assert material.share == pytest.approx(3 / 10)


def test_pictures_captions_and_facts_are_counted() -> None:
    before = {"images": [{"file": "01.png", "place": "here"}, {"file": "02.png"}], "facts": [{"question": "a"}]}
    draft = {
        "images": [{"file": "01.png", "place": "there"}, {"file": "02.png", "pose": ""}, {"file": "03.png"}],
        "facts": [{"question": "a"}, {"question": "b"}],
    }
    found = compared(before, draft)
    assert found.lines == ("1 picture", "1 changed caption", "1 fact") and found.share == pytest.approx(2 / 3)
    assert compared(before, before | {"references": ["02.png"]}).lines == ("other pictures to draw from",)


def test_other_references_are_new(context: AppContext, learnt: Job) -> None:
    drawings.use_reference(context, learnt.character, "03.png", True)
    assert new_material(context, learnt).words == "New since this training: other pictures to draw from."
    drawings.forget_references(context, learnt.character)
    assert not new_material(context, learnt).is_anything


def test_what_is_new_gets_steps_of_the_basics_in_which_it_comes_up(context: AppContext, learnt: Job) -> None:
    recipe = Recipe.for_effort("starter", "quick")
    draft = context.records.characters.get(learnt.character).draft
    assert further_steps(new_material(context, learnt), draft, recipe) == 0, "nothing is new"
    corrected(context, learnt)
    draft = context.records.characters.get(learnt.character).draft
    steps = further_steps(new_material(context, learnt), draft, recipe)
    assert steps % 3 == 0 and 3 <= steps <= recipe.sft_steps
    # As a trainer plans it: within these rows every conversation comes up (the toy reads bytes, five to a token).
    model, tokenizer = load(TOY_BASE)
    character, _ = toy()
    shares = {"dialogue": 0.8, "fact": 0.2}
    small = Recipe.for_effort(TOY_BASE, "quick", sft_row_max_tokens=600, sft_image_rows=0, task_shares=shares)
    rows = one_pass_rows(character, small)
    packed = packed_sft_rows(character, small, model.spec, tokenizer, NO_IMAGES, 5 * rows)
    words = "\n".join(tokenizer.decode([token for token in row.ids if token < model.spec.text_vocab]) for row in packed)
    assert all(talk[-1].text in words for talk in character.interactions)


def test_the_trainer_goes_on_from_the_saved_state_with_the_newest_draft(
    context: AppContext, learnt: Job, tmp_path: Path
) -> None:
    corrected(context, learnt)
    changes = training_jobs.old_settings(learnt)
    assert "sft_steps" in changes and changes["sft_steps"] == (4, 84)
    new = training_jobs.continue_training(context, learnt.id, "grpo-000002", 2, 1, newest=True)
    assert new.version == learnt.version + 1
    run = tmp_path / "run"
    published = context.records.characters.version(new.character, new.version)
    make_run_folder(run, published, Recipe.from_json(new.recipe or {}), context.store)
    told = read_json(run / "run.json")["character"]["interactions"]
    assert told[-1] == [{"user": "Who rings?"}, {"character": "I ring, at six bells."}]
    restore_progress(run, new.id, context.records, context.store)
    result = train(run)
    events = read_events(run)
    assert [event.step for event in events if event.stage == "sft" and event.metrics] == [1, 2]
    assert [event.step for event in events if event.stage == "grpo" and event.metrics] == [1]
    assert [one["name"] for one in result["checkpoints"]] == ["base", "start", "sft-000002", "grpo-000001"]


def test_a_draft_that_cannot_be_trained_says_why(context: AppContext, learnt: Job) -> None:
    drafts.set_text(context, learnt.character, "name", "")
    with pytest.raises(CharacterProblems):
        training_jobs.continue_training(context, learnt.id, "sft-000004", 2, 1, newest=True)
    assert training_jobs.continue_training(context, learnt.id, "sft-000004", 2, 1).version == learnt.version
