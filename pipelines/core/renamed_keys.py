"""Keys of stored JSON that have been renamed, and how data written before is read.

Recipes, scores and metrics of runs lie in run folders, records and object stores for longer than a version lives, so
whatever reads one of them passes it through here first. A key that neither version knows is left as it is: the reader
it belongs to refuses it as before. Only 0.1 is older than this file (`tests/fixtures/v0_1`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")

RECIPE_KEYS = {
    "sft_step_tokens": "sft_row_max_tokens",
    "sft_step_pictures": "sft_row_max_images",
    "request_loss_weight": "scene_loss_weight",
    "grpo_prompts": "grpo_prompts_per_step",
    "grpo_group": "grpo_group_size",
    "grpo_anchor_weight": "grpo_replay_weight",
    "reply_tokens": "max_new_tokens",
    "picture_guidance": "image_cfg_scale",
    "picture_temperature": "image_temperature",
}
"""Fields of a recipe."""

NEWER_RECIPE_KEYS: dict[str, Any] = {
    "foreign_image_learning_rate": 0.0,
    "image_learning_rate": 0.0,
    "sft_max_epochs": 0.0,
    "sft_image_rows": 0,
    "sft_replay_images": 0,
}
"""Fields of a recipe that 0.1 did not have, with the values that say what it did. `image_lora_rank` is another: a LoRA
had one rank for both sides."""

TASKS = {
    "caption_picture": "text_to_image",
    "reply_picture": "reply_with_image",
    "picture_question": "image_qa",
}
"""Keys of a recipe's `task_shares`."""

REWARDS = {
    "picture_answers": "image_vqa",
    "meaning": "semantic_match",
}
"""Keys of a recipe's `reward_weights`, and metrics of a GRPO step."""

SCORES = {
    "copying": "training_image_similarity",
    "agreement": "reply_image_match",
}
"""Keys of a scorecard: `scores.json`, `result.json`, a checkpoint's row, metrics of an `evaluate` event."""

REPLY_PARTS = {
    "reply/fresh": "reply/non_repetition",
}
"""Metrics of a GRPO step: what the `reply` reward is made of."""

METRICS = {**REWARDS, **SCORES, **REPLY_PARTS}
"""Metrics of an event of any stage."""


def renamed(data: Mapping[str, Value], table: Mapping[str, str]) -> dict[str, Value]:
    """The same values under today's keys, in the same order. ValueError when a key stands there under both names."""
    for old, new in table.items():
        if old in data and new in data:
            raise ValueError(f"{old} is called {new} now, and both are given: leave out {old}")
    return {table.get(key, key): value for key, value in data.items()}


def recipe_keys(data: Mapping[str, Any]) -> dict[str, Any]:
    """A stored recipe, whole or in part, under today's keys."""
    recipe = renamed(data, RECIPE_KEYS)
    for field, table in (("task_shares", TASKS), ("reward_weights", REWARDS)):
        if isinstance(recipe.get(field), Mapping):
            recipe[field] = renamed(recipe[field], table)
    return recipe


def run_result_keys(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a `result.json` or `scores.json` holds, with today's names of the scores in it."""
    result = dict(data)
    if isinstance(result.get("scores"), Mapping):
        result["scores"] = renamed(result["scores"], SCORES)
    if isinstance(result.get("checkpoints"), list):
        result["checkpoints"] = [run_result_keys(entry) for entry in result["checkpoints"]]
    return result
