"""Which stage of a training is at work: events say what is done, so what follows from the last of them is under way.

A checkpoint is measured for half a minute and longer before its event comes, and the event before belongs to the stage
that made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from pipelines.core.events import Event
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import CHECKPOINTS


def stage_at_work(events: Sequence[Event], recipe: Recipe) -> str:
    """The stage that the events of all attempts lead to; "" before the first step of any."""
    told = [event for event in events if event.stage != "prepare"]
    if not told:
        return ""
    last = told[-1]
    if last.stage in ("sft", "grpo"):
        return "evaluate" if is_over(told, last.stage) else last.stage
    if last.stage == "evaluate" and _measures_more(told):
        return "evaluate"
    if last.stage == "evaluate" and recipe.grpo_steps and not is_over(told, "grpo"):
        return "grpo"
    return "save"


def is_over(events: Sequence[Event], stage: str) -> bool:
    """Whether SFT or GRPO had its last step, as planned or by itself."""
    own = [event for event in events if event.stage == stage]
    return any("ended_early" in event.payload for event in own) or bool(own and 0 < own[-1].total <= own[-1].step)


def _measures_more(told: Sequence[Event]) -> bool:
    """Whether a checkpoint is to be measured after the one of the last event; they are measured in the order of
    training, so the newest is the last."""
    last = told[-1]
    saved = [PurePosixPath(path) for event in told if event.stage in ("sft", "grpo") for path in event.artifacts]
    names = [path.name for path in saved if path.parent.name == CHECKPOINTS]
    return last.step < last.total and last.payload.get("checkpoint") != (names[-1] if names else None)
