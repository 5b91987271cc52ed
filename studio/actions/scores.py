"""Names of checkpoints in words.

What was measured of them is in `pipelines.core.score_axes`.
"""

from __future__ import annotations

from pipelines.core.run_folder import BASE, START, stage_and_step

TITLES = {BASE: "Before training", START: "Where it went on from"}
"""Checkpoints that no step of the training made."""


def checkpoint_title(name: str) -> str:
    """`base` -> "Before training", `sft-000060` -> "Basics, step 60", `grpo-000008` -> "Practice, step 8"."""
    if name in TITLES:
        return TITLES[name]
    try:
        stage, step = stage_and_step(name)
    except ValueError:
        return name  # a name of a later version is shown as it is
    return f"{'Basics' if stage == 'sft' else 'Practice'}, step {step}"
