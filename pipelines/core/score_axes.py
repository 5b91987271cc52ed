"""The five scores that a creator reads, made from the scores of a checkpoint, and what each of them rests on.

A score that rests on too little is withheld and says what would make it possible: one hidden conversation would decide
by chance. `counts` says what a checkpoint was measured on (`scores.json`); measurements of earlier versions have none,
and nothing of theirs is withheld. `pipelines.evaluation.scorecard` measures; what is here is arithmetic on its dicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.core.character.amounts import TESTED_REPLIES
from pipelines.core.score_names import AXIS_NAMES

LEAST: Mapping[str, Mapping[str, int]] = {
    "likeness": {"held_out_images": 1, "captioned_drawings": 4},
    "voice": {"held_out_conversations": 2, "held_out_replies": TESTED_REPLIES},
    "facts_accuracy": {"questions": 8},
    "image_text_match": {"sampled_replies": 4},
    "variety": {"captioned_drawings": 4},
}
"""Axis -> what it must rest on at least, by key of `counts`."""

WANTED: Mapping[str, str] = {
    "likeness": "Six pictures or more make it possible: one is then kept for the test, and it needs a caption.",
    "voice": "Two conversations or more that are kept for the test, with four answers in all, make it possible: "
    "longer conversations, or more of them.",
    "facts_accuracy": "Eight facts or more make it possible, with four different answers among them.",
    "image_text_match": "Measure it again: it was measured on fewer answers than there are today.",
    "variety": "Six pictures or more with captions make it possible.",
}
"""Axis -> what would make it possible, for a creator."""

AXIS_KEYS: Mapping[str, tuple[str, ...]] = {
    "likeness": ("likeness", "training_image_similarity"),
    "voice": ("reply_perplexity",),
    "facts_accuracy": ("facts_accuracy",),
    "image_text_match": ("caption_match", "reply_image_match"),
    "variety": ("variety",),
}
"""Axis -> the scores that stand or fall with it."""


@dataclass(frozen=True)
class ScoreAxis:
    """One of the five scores, 0 to 1; None where it was not measured or rests on too little."""

    key: str
    name: str
    value: float | None
    help: str
    interval: tuple[float, float] | None = None
    """95 %, where it was measured."""
    withheld: str = ""
    """What would make it possible, for a creator; "" where there is a value or nothing was measured at all."""

    @property
    def shown(self) -> str:
        """Of 100, with its interval: "62 (55 to 70)"; "-" without a value."""
        if self.value is None:
            return "-"
        spread = f" ({100 * self.interval[0]:.0f} to {100 * self.interval[1]:.0f})" if self.interval else ""
        return f"{100 * self.value:.0f}{spread}"


def will_be_withheld(
    conversations: int, replies: int, questions: int, described_images: int, voice: str = ""
) -> tuple[str, ...]:
    """What would make the scores possible that a test of this size will withhold; what it holds is counted.

    `voice`: what would make that score possible for this very character.
    """
    wanted = {**WANTED, "voice": voice or WANTED["voice"]}
    counts = {
        "held_out_conversations": conversations,
        "held_out_replies": replies,
        "questions": questions,
        "held_out_images": described_images,
        "captioned_drawings": 4 if described_images else 0,
        "sampled_replies": 4,
    }
    return tuple(f"{AXIS_NAMES[axis].words}: {wanted[axis]}" for axis in LEAST if is_too_little(axis, counts))


def is_too_little(axis: str, counts: Mapping[str, int]) -> bool:
    """Whether a score rests on less than LEAST; without counts nobody knows, and it stands."""
    return bool(counts) and any(counts.get(what, 0) < least for what, least in LEAST[axis].items())


def trusted(scores: Mapping[str, float], counts: Mapping[str, int]) -> dict[str, float]:
    """The scores without those that rest on too little."""
    left_out = {key for axis, keys in AXIS_KEYS.items() if is_too_little(axis, counts) for key in keys}
    return {key: value for key, value in scores.items() if key not in left_out}


def scorecard(
    scores: Mapping[str, float],
    base: Mapping[str, float] | None = None,
    measurement: Mapping[str, Any] | None = None,
) -> tuple[ScoreAxis, ...]:
    """The five scores of a checkpoint; `base` are the scores of the model before training.

    The voice is 1 - perplexity of held-out replies / the base's, and at least 0, so it is None without the base's.
    `measurement` has `counts`, and `intervals` by axis.
    """
    counts = (measurement or {}).get("counts", {})
    intervals = (measurement or {}).get("intervals", {})
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
    axes = []
    for key, axis in AXIS_NAMES.items():
        held_back = bool(scores) and is_too_little(key, counts)
        value = None if held_back else values[key]
        low_high = intervals.get(key) if value is not None else None
        axes.append(
            ScoreAxis(
                key,
                axis.words,
                value,
                axis.help,
                (float(low_high[0]), float(low_high[1])) if low_high else None,
                WANTED[key] if held_back else "",
            )
        )
    return tuple(axes)


def overall(
    scores: Mapping[str, float],
    base: Mapping[str, float] | None = None,
    measurement: Mapping[str, Any] | None = None,
) -> float | None:
    """Mean of the scores that there are, without variety: being different is no merit by itself."""
    card = scorecard(scores, base, measurement)
    values = [axis.value for axis in card if axis.value is not None and axis.key != "variety"]
    return sum(values) / len(values) if values else None
