"""How long a running training takes still, in words that stay true while nothing moves.

Before its first steps were measured there is only a guess, from other runs or as shipped; it is called one, and beside
it stands how long the training has been going. Then what was measured in this attempt counts alone, also for the
stages to come, and where that is much more than the guess it says so. What is at work counts down by the clock; where
the time left does not fall, and where nothing has come for long, the words say why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from studio.labels import minutes

MEASURED_STEPS = 4
"""Steps of SFT or GRPO in an attempt from which on its own pace counts: rows of words and pictures are among them."""
BUSY_FACTOR = 2.0
"""So many times as long as guessed is much longer: the shipped paces are right within a factor of two."""
STILL_S, STILL_STEPS = 60.0, 3.0
"""Nothing moves when no event came for so long, and for so many usual steps."""
RECENT_S = 180.0
"""The time left is compared with that of so long ago."""
NEARLY_DONE_S = 1.0
"""Less is not counted down any more."""
PREPARE_USUAL_S = 60.0
"""Reading the character and loading the model on a quiet machine, at most."""
BUSY = "the machine is busy with something else"


@dataclass(frozen=True)
class RunClock:
    """What is known of the time of one attempt of a training."""

    elapsed_s: float
    """Since it began."""
    still_s: float
    """Since its last event."""
    guess_s: float | None
    """The whole attempt on a quiet machine; None where nobody knows."""
    left_s: float | None
    """By the latest steps; None where a stage is to come of which nobody knows."""
    measured_steps: int
    """Steps of SFT and GRPO in this attempt."""
    step_s: float | None
    """A usual step of the stage at work; None before the first stage, or where nobody knows."""
    doing: str
    """What it does before the first stage, such as "reading the model"; "" later."""
    is_resumed: bool = False
    at_work: str = ""
    """The stage; "" before the first one."""
    left_recently_s: float | None = None
    """What was left RECENT_S ago; None where too little was measured then."""


def time_words(clock: RunClock) -> str:
    """One or two sentences without their last full stop; "" where nothing can be said."""
    how_long, waits_for = _how_long(clock), _what_it_waits_for(clock)
    if waits_for:
        busy = "" if BUSY in how_long else f": perhaps {BUSY}"  # once is enough
        return f"{how_long}. {waits_for}{busy}"
    if _is_over_its_time(clock):
        return f"{how_long}. The {_unit(clock)} at hand takes a moment more than expected"
    return how_long


def slowed(guessed: Mapping[str, float], own: Mapping[str, float]) -> dict[str, float]:
    """The paces to reckon with: measured ones, and guesses as much slower or faster as the measured ones turned out."""
    ratios = [own[stage] / guessed[stage] for stage in own if guessed.get(stage)]
    factor = sum(ratios) / len(ratios) if ratios else 1.0
    # Of a stage that is not known the others say nothing; `prepare` and `save` are too short to matter.
    return {**{stage: seconds * factor for stage, seconds in guessed.items()}, **own}


def _how_long(clock: RunClock) -> str:
    if clock.measured_steps >= MEASURED_STEPS and clock.left_s is not None:
        if clock.left_s < NEARLY_DONE_S:
            return "nearly done"
        words = f"about {minutes(clock.left_s)} left"
        if clock.guess_s and clock.elapsed_s + clock.left_s > BUSY_FACTOR * clock.guess_s:
            words += f", as the latest steps went. On a quiet machine it is {minutes(clock.guess_s)} in all: {BUSY}"
        elif clock.left_recently_s and clock.left_s > clock.left_recently_s - RECENT_S / 2:
            words += ", as the latest steps went: they took longer than was expected of them"
        return words
    so_far = f"{minutes(clock.elapsed_s)} so far"
    if clock.guess_s is None:
        return f"{so_far}; how long it takes is known after the first steps" if clock.left_s is None else so_far
    rest = "for what is left of it" if clock.is_resumed else "in all"
    words = f"{so_far}. Usually about {minutes(clock.guess_s)} {rest} on a quiet machine, a first guess"
    if clock.elapsed_s > clock.guess_s:
        return f"{words}; it takes longer now, so {BUSY}"
    return f"{words} until the first steps are measured"


def _what_it_waits_for(clock: RunClock) -> str:
    usual = PREPARE_USUAL_S if clock.step_s is None else clock.step_s
    if clock.still_s < max(STILL_S, STILL_STEPS * usual):
        return ""
    if clock.doing:
        return f"It has been {clock.doing} for {minutes(clock.still_s)}, usually less than a minute"
    return f"The {_unit(clock)} at hand takes {minutes(clock.still_s)} already, usually about {minutes(usual)}"


def _is_over_its_time(clock: RunClock) -> bool:
    """Only of stages whose steps take about the same time: a row of words takes as long as three rows of pictures."""
    return clock.at_work in ("grpo", "evaluate") and clock.step_s is not None and clock.still_s > clock.step_s


def _unit(clock: RunClock) -> str:
    return "check" if clock.at_work == "evaluate" else "step"
