"""The five scores that a creator reads, computed from the scores of a checkpoint, and checkpoint names in words.

`pipelines.evaluation.scorecard` measures the scores on the held-out split; what is here is arithmetic on those dicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.core.run_folder import BASE, stage_and_step
from pipelines.core.score_names import AXIS_NAMES


@dataclass(frozen=True)
class ScoreAxis:
    """One of the five scores, 0 to 1; None when the held-out split had nothing to measure it on."""

    key: str
    name: str
    value: float | None
    help: str


def scorecard(scores: Mapping[str, float], base: Mapping[str, float] | None = None) -> tuple[ScoreAxis, ...]:
    """The five scores of a checkpoint; `base` are the scores of the model before training.

    The voice is 1 - perplexity of held-out replies / the base's, and at least 0, so it is None without the base's.
    """
    values: dict[str, float | None] = {
        "likeness": scores.get("likeness"),
        "voice": None,
        "facts_accuracy": scores.get("facts_accuracy"),
        "image_text_match": None,
        "variety": scores.get("variety"),
    }
    if base and base.get("reply_perplexity") and "reply_perplexity" in scores:
        values["voice"] = max(0.0, 1 - scores["reply_perplexity"] / base["reply_perplexity"])
    fitting = [scores[key] for key in ("caption_match", "reply_image_match") if key in scores]
    if fitting:
        values["image_text_match"] = sum(fitting) / len(fitting)
    return tuple(ScoreAxis(key, axis.words, values[key], axis.help) for key, axis in AXIS_NAMES.items())


def overall(scores: Mapping[str, float], base: Mapping[str, float] | None = None) -> float | None:
    """Mean of the scores that there are, without variety: being different is no merit by itself."""
    values = [axis.value for axis in scorecard(scores, base) if axis.value is not None and axis.key != "variety"]
    return sum(values) / len(values) if values else None


def checkpoint_title(name: str) -> str:
    """`base` -> "Before training", `sft-000060` -> "Basics, step 60", `grpo-000008` -> "Practice, step 8"."""
    if name == BASE:
        return "Before training"
    try:
        stage, step = stage_and_step(name)
    except ValueError:
        return name  # a name of a later version is shown as it is
    return f"{'Basics' if stage == 'sft' else 'Practice'}, step {step}"
