"""Keys of earlier versions: what 0.1 wrote is read under today's names, and what nobody knows is still refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.core import renamed_keys
from pipelines.core.events import Event
from pipelines.core.jobs.model_specs import LARGE
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import adapters, read_events, read_json, read_result, read_scores
from pipelines.core.score_names import SCORE_NAMES

OLD = Path(__file__).parents[1] / "fixtures" / "v0_1" / "run"


def test_every_new_name_is_in_use() -> None:
    recipe = Recipe().to_json()
    assert {*renamed_keys.RECIPE_KEYS.values(), *renamed_keys.NEWER_RECIPE_KEYS} <= recipe.keys()
    assert set(renamed_keys.TASKS.values()) <= recipe["task_shares"].keys()
    rewards = Recipe.for_effort(next(iter(LARGE)), "standard").reward_weights
    assert set(renamed_keys.REWARDS.values()) <= rewards.keys()
    assert set(renamed_keys.SCORES.values()) <= SCORE_NAMES.keys()


def test_an_old_recipe_goes_on_as_it_was() -> None:
    """That every value is kept is in tests/test_saved_by_older_versions.py."""
    stored = read_json(OLD / "run.json")["recipe"]
    assert stored.keys() >= renamed_keys.RECIPE_KEYS.keys()
    recipe = Recipe.from_json(stored)
    assert recipe.image_lora_rank == recipe.lora_rank and recipe.image_learning_rate == 0 == recipe.sft_image_rows
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_json(Recipe().to_json()) == Recipe()


def test_unknown_keys_are_refused_as_before() -> None:
    with pytest.raises(TypeError, match="grpo_groups"):
        Recipe.from_json({"grpo_groups": 4})
    with pytest.raises(TypeError, match="mood"):
        Event.from_json({"stage": "sft", "mood": "fine"})


def test_both_names_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="grpo_group is called grpo_group_size now"):
        Recipe.from_json({"grpo_group": 4, "grpo_group_size": 6})


def test_an_old_run_has_scores_and_metrics_under_todays_names() -> None:
    result = read_result(OLD)
    assert result is not None and [one["name"] for one in result["checkpoints"]] == ["base", *adapters(OLD)]
    stored = {one["name"]: one["scores"] for one in read_json(OLD / "result.json")["checkpoints"]}
    for one in result["checkpoints"]:
        measured = read_scores(OLD, one["name"])
        assert measured is not None and measured["scores"] == one["scores"] and measured["replies"]
        assert one["scores"].keys() <= SCORE_NAMES.keys()
        assert one["scores"]["training_image_similarity"] == stored[one["name"]]["copying"]
        assert one["scores"]["reply_image_match"] == stored[one["name"]]["agreement"]
    old_names = renamed_keys.METRICS.keys()
    written = [json.loads(line) for line in (OLD / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert old_names <= {name for event in written for name in event["metrics"]} | {"meaning"}
    for event, line in zip(read_events(OLD), written, strict=True):
        assert not old_names & event.metrics.keys()
        assert list(event.metrics.values()) == list(line["metrics"].values())
        assert Event.from_line(event.to_line()) == event
