"""Scores, reward parts and checkpoints in the words that a creator reads, and the numbers behind them.

A scorecard is what `pipelines.evaluation.scorecard` measured on the held-out split; everything here is arithmetic on those dicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.core.run_folder import BASE, stage_and_step

COPYING_LIMIT = 0.5
"""Above this a checkpoint draws its training pictures again; the same limit as in `pipelines.evaluation.scorecard`."""
GENERAL_LIMIT = 1.05
"""Plain chat may become this many times as surprising as to the base model; as in `pipelines.evaluation.scorecard`."""

STAGE_TITLES = {
    "prepare": "Getting ready",
    "sft": "Learning the basics",
    "grpo": "Practising with feedback",
    "evaluate": "Checking",
    "save": "Finishing",
}
"""Stage of an event -> what a creator reads."""

REWARD_NAMES = {
    "reward": "All together",
    "likeness": "Looks like them",
    "reply": "Sounds like them",
    "caption_match": "Picture fits the words",
    "image_vqa": "Shows what was asked",
    "variety": "Variety",
}
"""Metric of a practice step -> what a creator reads; the order is the order on the page."""

SCORE_NAMES = {
    "likeness": "Looks like them",
    "voice": "Sounds like them",
    "facts_accuracy": "Knows the facts",
    "picture_words": "Picture fits the words",
    "variety": "Variety",
}
"""The five spokes of a scorecard."""

SCORE_HELP = {
    "likeness": "Drawn pictures beside pictures of the character that training never saw. 100 is the same person.",
    "voice": "How much less surprising the character's own unseen lines have become, compared with the model before "
    "training. 0 is no better than before.",
    "facts_accuracy": "Share of multiple-choice questions about the character answered rightly.",
    "picture_words": "Whether a picture shows what its caption or the reply says.",
    "variety": "How different pictures of the same caption are. 0 is the same picture every time.",
}
"""One sentence for each spoke."""


@dataclass(frozen=True)
class ScoreAxis:
    """One plain score, 0 to 1; None when the held-out split had nothing to measure it on."""

    key: str
    name: str
    value: float | None
    help: str


def scorecard(scores: Mapping[str, float], base: Mapping[str, float] | None = None) -> tuple[ScoreAxis, ...]:
    """The five plain scores of a checkpoint; `base` are the scores of the model before training.

    The voice is 1 - perplexity of held-out replies / the base's, and at least 0, so it is None without the base's.
    """
    values: dict[str, float | None] = {
        "likeness": scores.get("likeness"),
        "voice": None,
        "facts_accuracy": scores.get("facts_accuracy"),
        "picture_words": None,
        "variety": scores.get("variety"),
    }
    if base and base.get("reply_perplexity") and "reply_perplexity" in scores:
        values["voice"] = max(0.0, 1 - scores["reply_perplexity"] / base["reply_perplexity"])
    fitting = [scores[key] for key in ("caption_match", "reply_image_match") if key in scores]
    if fitting:
        values["picture_words"] = sum(fitting) / len(fitting)
    return tuple(ScoreAxis(key, name, values[key], SCORE_HELP[key]) for key, name in SCORE_NAMES.items())


def overall(scores: Mapping[str, float], base: Mapping[str, float] | None = None) -> float | None:
    """Mean of the plain scores that there are, variety left out: being different is no merit by itself."""
    values = [spoke.value for spoke in scorecard(scores, base) if spoke.value is not None and spoke.key != "variety"]
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


def best_named(note: str) -> str:
    """The checkpoint that the note of a `save` event calls the best; "" when it names none."""
    _, found, rest = note.partition("best checkpoint is ")
    return rest.split()[0] if found and rest.split() else ""
