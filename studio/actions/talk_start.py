"""The state that Chat and Compare begin with when somebody comes from a training's page, and what is said of it there.

Never another training's, and while this one runs never a state that is hardly trained: then there is nothing to lead to
yet, and the page says when there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.core.jobs.job import ENDED, Checkpoint, Job
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.jobs.training_extent import HARDLY_TRAINED_SHARE, training_extents
from pipelines.core.run_folder import START
from studio.actions.being_trained import first_saved_step
from studio.actions.checkpoint_options import marks_of
from studio.actions.scores import checkpoint_title
from studio.context import AppContext


@dataclass(frozen=True)
class TalkStart:
    """Where the page's buttons lead."""

    ref: str
    """`JOB:NAME`; "" when there is no state to talk with."""
    words: str
    """What is said beside them while the training runs; "" later."""


def talk_start(context: AppContext, job: Job, checkpoints: Sequence[Checkpoint]) -> TalkStart:
    """The marked state of this training, else the newest; while it runs, else what was measured, else the newest that
    is not hardly trained. checkpoints: all of the job, oldest first."""
    learnt = [one for one in checkpoints if one.adapter_key]
    marks = marks_of(context, job) if learnt else {}
    marked = next((one for one in learnt if one.name in marks), None)
    if job.status in ENDED:
        found = marked or (learnt[-1] if learnt else None)
        return TalkStart(f"{job.id}:{found.name}" if found else "", "")
    extents = training_extents(job, checkpoints)
    usable = [one for one in learnt if one.name not in extents or not extents[one.name].is_hardly_trained]
    ranked = sorted(usable, key=lambda one: (one is marked, bool(one.scores), one.name != START))  # stable: newest last
    if not ranked:
        return TalkStart("", _when(job))
    found = ranked[-1]
    return TalkStart(
        f"{job.id}:{found.name}", f"Chat and compare begin with “{checkpoint_title(found.name)}”{_of(found)}"
    )


def _of(state: Checkpoint) -> str:
    if state.name == START:
        return ", until this training has saved a state of its own."
    if state.scores:
        return ": of what this training has checked so far it comes first."
    return ". It is not checked yet, so nobody knows how much they look and talk like themselves."


def _when(job: Job) -> str:
    if job.status == "stopping":
        return "The training is stopping just now; what it keeps can answer in a moment."
    step = first_saved_step(Recipe.from_json(job.recipe or {}), HARDLY_TRAINED_SHARE)
    return f"You can chat and compare once a state is saved that has learned enough, after step {step}."
