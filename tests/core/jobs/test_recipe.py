"""The dial: what a recipe of each effort holds, and that it comes back from JSON as it was."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from pipelines.core.jobs.model_specs import LARGE
from pipelines.core.jobs.recipe import Effort, Recipe

EFFORTS = get_args(Effort)


def test_a_longer_stage_1_takes_a_smaller_rate() -> None:
    recipes = [Recipe.for_effort("starter", effort) for effort in EFFORTS]
    assert [recipe.sft_steps for recipe in recipes] == sorted({recipe.sft_steps for recipe in recipes})
    assert {round(recipe.sft_steps * recipe.sft_learning_rate, 6) for recipe in recipes} == {0.042}
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
