"""The dial: what a recipe of each effort holds, and that it comes back from JSON as it was."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from pipelines.core.jobs.model_specs import LARGE
from pipelines.core.jobs.recipe import REWARD_PARTS, TASKS, Effort, Recipe

EFFORTS = get_args(Effort)


def test_a_longer_stage_1_takes_a_smaller_rate() -> None:
    recipes = [Recipe.for_effort("starter", effort) for effort in EFFORTS]
    assert [recipe.sft_steps for recipe in recipes] == sorted({recipe.sft_steps for recipe in recipes})
    assert len({round(recipe.sft_steps * recipe.sft_learning_rate, 6) for recipe in recipes}) == 1
    practice = [recipe.grpo_steps * recipe.grpo_learning_rate for recipe in recipes]
    assert practice[0] < practice[1] == pytest.approx(practice[2])


@pytest.mark.parametrize("base", ["starter", *LARGE])
def test_the_dial_gives_more_practice_and_whole_savings(base: str) -> None:
    recipes = [Recipe.for_effort(base, effort) for effort in EFFORTS]
    assert [recipe.grpo_steps for recipe in recipes] == sorted({recipe.grpo_steps for recipe in recipes})
    for recipe in recipes:
        assert recipe.sft_steps % recipe.sft_save_every == recipe.grpo_steps % recipe.grpo_save_every == 0
        assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    assert Recipe.for_effort(base, "standard", sft_learning_rate=1e-5).sft_learning_rate == 1e-5


@pytest.mark.parametrize("base", ["starter", *LARGE])
def test_the_tables_name_what_there_is(base: str) -> None:
    recipe = Recipe.for_effort(base, "standard")
    assert set(recipe.task_shares) == set(TASKS)
    assert set(recipe.reward_weights) <= set(REWARD_PARTS)


def test_changes_go_on_top_and_a_new_effort_brings_its_numbers() -> None:
    recipe = Recipe.for_effort("starter", "quick", seed=4, sft_steps=9)
    assert recipe.with_changes({}) == recipe
    assert recipe.with_changes({"sft_steps": 12, "temperature": 1}).to_json() == {
        **recipe.to_json(),
        "sft_steps": 12,
        "temperature": 1,
    }
    longer = recipe.with_changes({"effort": "standard", "grpo_steps": 2})
    assert longer == Recipe.for_effort("starter", "standard", seed=4, grpo_steps=2)
    moved = recipe.with_changes({"effort": "standard", "base": "janus-pro-1b"})
    assert moved == Recipe.for_effort("janus-pro-1b", "standard", seed=4)


def test_tables_are_changed_in_part_and_old_names_are_understood() -> None:
    recipe = Recipe()
    changed = recipe.with_changes({"reward_weights": {"reply": 0.5}, "task_shares": {"reply_picture": 0.4}})
    assert changed.reward_weights == {**recipe.reward_weights, "reply": 0.5}
    assert changed.task_shares == {**recipe.task_shares, "reply_with_image": 0.4}
    assert recipe.with_changes({"grpo_group": 8}).grpo_group_size == 8
    assert recipe.with_changes({"reward_weights": {"semantic_match": 0.1}}).reward_weights["semantic_match"] == 0.1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"speed": 3}, "no setting speed"),
        ({"effort": "lazy"}, "not one of quick, standard, thorough"),
        ({"sft_steps": "many"}, f"wrong kind of value: it was {Recipe().sft_steps}"),
        ({"sft_steps": True}, "wrong kind"),
        ({"sft_steps": 2.5}, "wrong kind"),
        ({"task_shares": {"singing": 0.5}}, "task_shares has no singing, only dialogue"),
        ({"reward_weights": {"reply": "much"}}, r"reward_weights\.reply is 'much'"),
        ({"sft_steps": 0, "grpo_steps": 0}, "nothing to train"),
    ],
)
def test_changes_that_make_no_recipe_are_told_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Recipe().with_changes(changes)
