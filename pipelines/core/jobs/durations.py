"""How long a training takes before any has run here: paces that were measured and ship with the program.

Seconds of one step of each stage, on two cores of a server without a GPU; other numbers of cores follow by a rule of
thumb, so times are told as a wide range. Trainings that ran here correct them (`studio/actions/estimates.py`). Nobody
has measured the starter on a GPU, or a large base model anywhere, so nothing is promised there.

Measured is one training at `quick` (2026-11-27, 20 held-out conversations and 40 held-out questions). What measuring a
checkpoint takes at `standard` and `thorough` is computed from it: so many more drawings and questions than at `quick`,
times what one more costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

from pipelines.core.jobs.case_counts import CASES
from pipelines.core.jobs.model_specs import STARTER_PRESETS
from pipelines.core.jobs.recipe import Effort, Recipe

Pace = Mapping[str, float]
"""Stage -> seconds of one step; of `prepare` and `save` in all."""
MEASURED_CORES = 2
CONVERSATION_ROW_S, IMAGE_ROW_S = 6.3, 1.9
GRPO_STEP_S, GRPO_SAMPLES = 43.0, 12
"""A step, and how many replies it samples."""
QUICK_EVALUATE_S = 40.0
"""A checkpoint at `quick`: 30 for the base, 43 and 44 behind each stage."""
DRAWING_S, QUESTION_S = 1.0, 0.3
"""One more drawing of a batch; one more question with its options (0.6 s of one core's time)."""
PREPARE_S, SAVE_S = 15.0, 5.0
LONGEST_STEP_S = 6 * 3600.0
"""No step and no check takes so long: a trainer that is silent for a quarter of an hour counts as hung."""
CORES_EXPONENT = 0.6
"""Twice the cores take 2 ** -0.6 of the time: small matrices do not fill many cores."""


def working_seconds(before: str, after: str) -> float:
    """Seconds from one event to the next (UTC, ISO 8601); 0 where the clock was set, or the machine slept, between."""
    seconds = (datetime.fromisoformat(after) - datetime.fromisoformat(before)).total_seconds()
    return seconds if 0 <= seconds <= LONGEST_STEP_S else 0.0


def evaluate_seconds(effort: Effort) -> float:
    """Of measuring one checkpoint on MEASURED_CORES; how much longer one effort takes than another holds anywhere."""
    more, quick = CASES[effort], CASES["quick"]
    return (
        QUICK_EVALUATE_S
        + DRAWING_S * (more.drawings - quick.drawings)
        + QUESTION_S * (more.questions - quick.questions)
    )


def shipped_pace(recipe: Recipe, cores: int, has_gpu: bool) -> dict[str, float]:
    """The pace of a recipe on a machine with so many cores (0: not known, as measured); {} where nobody knows."""
    if recipe.base not in STARTER_PRESETS or has_gpu:
        return {}
    factor = (MEASURED_CORES / cores) ** (CORES_EXPONENT if cores > MEASURED_CORES else 1.0) if cores else 1.0
    rows = recipe.sft_image_rows
    sft = (CONVERSATION_ROW_S + rows * IMAGE_ROW_S) / (1 + rows)
    samples = recipe.grpo_prompts_per_step * recipe.grpo_group_size
    pace = {
        "prepare": PREPARE_S,
        "sft": sft,
        "grpo": GRPO_STEP_S * samples / GRPO_SAMPLES,
        "evaluate": evaluate_seconds(recipe.effort),
        "save": SAVE_S,
    }
    return {stage: seconds * factor for stage, seconds in pace.items()}


def planned_seconds(recipe: Recipe, pace: Pace) -> float:
    """Seconds of a whole training; NaN where a stage that it has is not known."""
    steps = {"sft": recipe.sft_steps, "grpo": recipe.grpo_steps, "evaluate": recipe.checkpoint_count}
    known = [pace.get(stage, math.nan) * count for stage, count in steps.items() if count]
    return sum(known) + pace.get("prepare", 0.0) + pace.get("save", 0.0)
