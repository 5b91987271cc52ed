"""How much of its planned training a saved state has had: data for whoever offers states to talk and draw with.

A training that somebody stops saves the step at hand. After a few steps such a state draws fields of colour, worse than
the model before training does from the character's references, and no scorecard says so, since it is never measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.core.jobs.job import Checkpoint, Job
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import START

HARDLY_TRAINED_SHARE = 0.25
"""Below this share of the planned steps of stage 1 a state counts as hardly trained: seen at 6 of 84 (docs/log.md); the
plans of all efforts save their own first state later."""


@dataclass(frozen=True)
class TrainingExtent:
    """Of a state from within stage 1 that nothing else vouches for."""

    step: int
    planned: int
    """Steps of stage 1."""
    is_hardly_trained: bool
    """Else it is only unmeasured."""


def training_extents(job: Job, checkpoints: Sequence[Checkpoint]) -> dict[str, TrainingExtent]:
    """Name of a checkpoint -> its extent, for those of a training that are hardly trained, or stand within stage 1
    without scores; the others are not in it.

    checkpoints: all of the job. Where it goes on from another training (START) its own few steps say nothing about how
    much was learned, so none is hardly trained.
    """
    planned = Recipe.from_json(job.recipe).sft_steps if job.recipe else 0
    goes_on = any(one.name == START for one in checkpoints)
    found = {}
    for one in checkpoints:
        if one.stage != "sft" or one.step >= planned:
            continue
        is_hardly_trained = not goes_on and one.step < HARDLY_TRAINED_SHARE * planned
        if is_hardly_trained or not one.scores:
            found[one.name] = TrainingExtent(one.step, planned, is_hardly_trained)
    return found
