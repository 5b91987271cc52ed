"""What a character without any saved state is told to be doing: being trained, how far, and when it can answer.

Read from the records alone; drawn by `no_state_yet.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.core.jobs.job import Job
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.stage_names import STAGE_NAMES
from studio.context import AppContext


@dataclass(frozen=True)
class BeingTrained:
    """A training that goes on."""

    job: str
    words: str
    """As the end of a sentence that begins with the character: "is being trained: ..."."""


def being_trained(context: AppContext, character: str) -> BeingTrained | None:
    """The newest training of the character that waits or runs; None when there is none."""
    records = context.records
    found = records.jobs.list(
        owner=context.owner, kind="train", character=character, statuses=["queued", "running", "stopping"], limit=1
    )
    return BeingTrained(found[0].id, _words(context, found[0])) if found else None


def first_saved_step(recipe: Recipe, share: float = 0.0) -> int:
    """The step after which a training first saves a state, or first one with at least this share of the basics."""
    if not recipe.sft_steps:
        return min(recipe.grpo_steps, recipe.grpo_save_every)
    every, least = recipe.sft_save_every, max(1.0, share * recipe.sft_steps)
    return min(recipe.sft_steps, every * math.ceil(least / every))


def _words(context: AppContext, job: Job) -> str:
    recipe = Recipe.from_json(job.recipe or {})
    then = f"They can answer once the first state is saved, after step {first_saved_step(recipe)}."
    if job.status == "queued":
        return f"waits to be trained. {then}"
    if job.status == "stopping":
        return "is being trained, and the training is stopping just now. What it keeps can answer in a moment."
    last = context.records.events.latest(job.id)
    stage = STAGE_NAMES.get(last.stage, STAGE_NAMES["prepare"]) if last else STAGE_NAMES["prepare"]
    at = f", step {last.step} of {last.total}" if last and last.total and last.stage != "prepare" else ""
    return f"is being trained just now: {stage[0].lower()}{stage[1:]}{at}. {then}"
