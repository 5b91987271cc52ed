"""Warnings that a training goes wrong, shown while something can still be done: what was seen, and what to do about it.

Each is a rule over the numbers that the run reported. Rewards of single steps are noisy, so halves are
compared, and a difference counts only when it is larger than the spread of the steps makes likely.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.core.checkpoint_selection import FAULTS, UNUSABLE, faults_of
from pipelines.core.events import EarlyEnd
from pipelines.core.run_folder import BASE, stage_and_step
from pipelines.core.score_names import GENERAL_PERPLEXITY_LIMIT, TRAINING_IMAGE_SIMILARITY_LIMIT
from studio.actions.scores import checkpoint_title
from studio.labels import listed

Series = Sequence[tuple[int, float]]
LEAST_STEPS = 6
"""GRPO steps before the halves of a series are compared."""
FALL = 0.05
"""A score that falls by less raises no warning."""


@dataclass(frozen=True)
class TrainingWarning:
    """One thing that looks wrong."""

    kind: str
    """A key for programs and tests."""
    text: str
    """What was seen."""
    mend: str
    """What to do about it."""


def training_warnings(
    loss: Series,
    rewards: Mapping[str, Series],
    scores: Mapping[str, Mapping[str, float]],
    ended: Mapping[EarlyEnd, int] | None = None,
) -> tuple[TrainingWarning, ...]:
    """All warnings that the numbers of a run give so far, the most serious first.

    ended: why a stage ended before its last step -> the step it ended with.
    """
    found = [
        *(TrainingWarning(why, ENDED[why][0].format(step=step), ENDED[why][1]) for why, step in (ended or {}).items()),
        None if ended else _not_a_number(loss),
        _unusable(scores),
        _copying(scores),
        _reward_without_likeness(rewards, scores),
        _forgets(scores),
        _does_not_learn(loss),
    ]
    return tuple(warning for warning in found if warning is not None)


ENDED: Mapping[EarlyEnd, tuple[str, str]] = {
    "not_a_number": (
        "At step {step} the numbers of this training broke, so the stage ended there by itself, with what it knew.",
        "Nothing that was learnt is lost. Train again for more: the same training breaks at the same step, so take "
        "another effort.",
    ),
    "reward_collapsed": (
        "Practice was making them worse, so it ended at step {step} by itself, with the best of what it had learnt.",
        "Talk with the state before practice as well. More pictures and conversations make practice steadier.",
    ),
}
"""Why a stage ended before its last step -> what was seen, and what to do."""


def _not_a_number(loss: Series) -> TrainingWarning | None:
    bad = [step for step, value in loss if not math.isfinite(value)]
    if not bad:
        return None
    return TrainingWarning(
        "not_a_number",
        f"From step {bad[0]} on the error is not a number any more: what is learnt after it is worth nothing.",
        "Stop, and use a state saved before that step, or train again with another seed.",
    )


def _unusable(scores: Mapping[str, Mapping[str, float]]) -> TrainingWarning | None:
    wrong = {name: faults_of(one, {}) for name, one in scores.items() if name != BASE}
    found = {name: [fault for fault in UNUSABLE if fault in faults] for name, faults in wrong.items()}
    named = [name for name, faults in found.items() if faults]
    if not named:
        return None
    worst = named[-1]
    said = listed([FAULTS[fault] for fault in found[worst]])
    return TrainingWarning(
        found[worst][0],
        f"“{checkpoint_title(worst)}” is not fit to talk with: {said}.",
        "It is never called the best. More conversations with short, whole answers help, and a shorter description.",
    )


def _copying(scores: Mapping[str, Mapping[str, float]]) -> TrainingWarning | None:
    copying = {
        name: value
        for name, one in scores.items()
        if (value := one.get("training_image_similarity", 0.0)) > TRAINING_IMAGE_SIMILARITY_LIMIT
    }
    if not copying:
        return None
    name = max(copying, key=lambda one: copying[one])
    return TrainingWarning(
        "copying",
        f"“{checkpoint_title(name)}” draws its training pictures again instead of new ones "
        f"(it copies to {100 * copying[name]:.0f} of 100; above {100 * TRAINING_IMAGE_SIMILARITY_LIMIT:.0f} it is only "
        "repeating).",
        "Add pictures that differ more from each other, or train for a shorter time.",
    )


def _reward_without_likeness(
    rewards: Mapping[str, Series], scores: Mapping[str, Mapping[str, float]]
) -> TrainingWarning | None:
    reward, likeness = rewards.get("reward", ()), rewards.get("likeness", ())
    falling = _change(reward) > 0 and _change(likeness) < -FALL
    measured = sorted((stage_and_step(name), one) for name, one in scores.items() if name.startswith(("sft-", "grpo-")))
    basics = [one for (stage, _), one in measured if stage == "sft" and "likeness" in one]
    practised = [one for (stage, _), one in measured if stage == "grpo" and "likeness" in one]
    if not falling and basics and practised and len(reward) > 1:
        falling = practised[-1]["likeness"] < basics[-1]["likeness"] - FALL and reward[-1][1] > reward[0][1]
    if not falling:
        return None
    return TrainingWarning(
        "reward_without_likeness",
        "The marks in practice rise while the pictures look less like the character: it has found a way to please the "
        "marking instead of learning.",
        "Use the last state of “Learning the basics”, or the earliest state of practice that still looks right.",
    )


def _forgets(scores: Mapping[str, Mapping[str, float]]) -> TrainingWarning | None:
    before = scores.get(BASE, {}).get("general_perplexity")
    if not before:
        return None
    worst = {name: one.get("general_perplexity", 0.0) / before for name, one in scores.items() if name != BASE}
    far = [name for name, ratio in worst.items() if ratio > GENERAL_PERPLEXITY_LIMIT]
    if not far or len(far) < len(worst):
        return None  # a checkpoint within the limit is preferred as the best
    return TrainingWarning(
        "forgets",
        "Every saved state has become worse at plain conversation than the model was before training.",
        "Train for a shorter time, or give it more and more varied example conversations.",
    )


def _does_not_learn(loss: Series) -> TrainingWarning | None:
    values = [value for _, value in loss if math.isfinite(value)]
    if len(values) < 4 * LEAST_STEPS:
        return None
    quarter = len(values) // 4
    if statistics.fmean(values[-quarter:]) < statistics.fmean(values[:quarter]):
        return None
    return TrainingWarning(
        "does_not_learn",
        "The error is not smaller than at the beginning: nothing is being learnt.",
        "Stop it, look at the example conversations and captions for mistakes, and train again.",
    )


def _change(series: Series) -> float:
    """Mean of the later half minus that of the earlier; 0 for too few steps, or within two standard errors."""
    values = [value for _, value in series]
    if len(values) < LEAST_STEPS:
        return 0.0
    half = len(values) // 2
    earlier, later = values[:half], values[-half:]
    change = statistics.fmean(later) - statistics.fmean(earlier)
    spread = math.sqrt((statistics.variance(earlier) + statistics.variance(later)) / half)
    return change if abs(change) > 2 * spread else 0.0
