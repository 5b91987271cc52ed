"""The checkpoints that a character can be talked with, compared and downloaded as, and which of them comes first.

One checkpoint of a character is marked (`pipelines.core.queue.training_results`): as the best, or, when it has a fault,
as the one that comes closest. It is the default everywhere; an unmeasured state of a training that still runs never is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipelines.core.checkpoint_selection import FAULTS
from pipelines.core.jobs.job import ENDED, Checkpoint, Job, RecordMissing
from pipelines.core.queue.training_results import TRAININGS, BestCheckpoint, best_of, best_of_character
from pipelines.core.run_folder import BASE
from studio.actions.drafts import own_character
from studio.actions.scores import checkpoint_title
from studio.actions.training_jobs import own_job
from studio.context import AppContext
from studio.labels import EFFORTS, base_title, listed

Mark = Literal["", "best", "comes closest"]


@dataclass(frozen=True)
class CheckpointOption:
    """A checkpoint that can be talked with."""

    ref: str
    """`JOB:NAME`."""
    label: str
    base: str
    """Preset of its base model; only checkpoints of one base model can be compared."""
    mark: Mark = ""
    """Of the one that comes first."""
    rank: int = 0
    """As a default where none is marked: 2 measured, 1 saved as planned by a training that is over, 0 never."""

    @property
    def is_best(self) -> bool:
        """It deserves to be called the best of the character."""
        return self.mark == "best"


def checkpoint_options(context: AppContext, character: str) -> list[CheckpointOption]:
    """The character's checkpoints, newest training and latest step first; each base model once, at the end."""
    own_character(context, character)
    first = best_of_character(context.records, context.owner, character)
    found: list[CheckpointOption] = []
    bases: dict[str, CheckpointOption] = {}
    for job in context.records.jobs.list(owner=context.owner, kind="train", character=character, limit=TRAININGS):
        for one in reversed(context.records.checkpoints.of_job(job.id)):
            ref = f"{job.id}:{one.name}"
            if one.name == BASE:
                bases.setdefault(
                    one.base, CheckpointOption(ref, f"{checkpoint_title(BASE)} ({base_title(one.base)})", one.base)
                )
            elif one.adapter_key:
                mark = mark_of(first, job.id, one.name)
                found.append(CheckpointOption(ref, label(job, one, mark), one.base, mark, _rank(job, one)))
    return [*found, *bases.values()]


def _rank(job: Job, one: Checkpoint) -> int:
    if one.scores:
        return 2
    return 1 if job.status in ENDED and one.saved_for == "plan" else 0


def mark_of(first: BestCheckpoint | None, job: str, name: str) -> Mark:
    """How a checkpoint is marked, given the one that comes first."""
    if first is None or (first.job, first.name) != (job, name):
        return ""
    return "comes closest" if first.faults else "best"


def marks_of(context: AppContext, job: Job) -> dict[str, str]:
    """Name of a checkpoint of a training -> how it is marked there: as the best, or as the best of this training when
    another training's is better."""
    first = best_of_character(context.records, context.owner, job.character) if job.character else None
    if first is not None and first.job == job.id:
        return {first.name: mark_of(first, job.id, first.name)}
    own = best_of(context.records, job)
    return {own.name: "comes closest" if own.faults else "best of this training"} if own else {}


def default_of(options: Sequence[CheckpointOption]) -> str:
    """`JOB:NAME` of the trained state that stands there until another is chosen; "" when somebody has to choose."""
    ranked = [(bool(one.mark), one.rank, -place, one.ref) for place, one in enumerate(options) if one.mark or one.rank]
    return max(ranked)[3] if ranked else ""


def first_in_words(context: AppContext, character: str) -> str:
    """Why the marked state is only the closest, or that votes chose it; "" when there is nothing to say."""
    first = best_of_character(context.records, context.owner, character)
    if first is None:
        return ""
    if first.faults:
        wrong = listed([FAULTS[fault] for fault in first.faults])
        closest = f"“{checkpoint_title(first.name)}” comes closest, but {wrong}"
        return f"No state is good enough yet to be called the best. {closest}."
    if first.by == "votes":
        return f"“{checkpoint_title(first.name)}” is the best because your votes clearly prefer it."
    return ""


def label(job: Job, one: Checkpoint, mark: Mark = "") -> str:
    """What a trained checkpoint is called in a list."""
    effort = EFFORTS.get(str((job.recipe or {}).get("effort", "")), "")
    when = datetime.fromisoformat(job.created).strftime("%d %b %H:%M").lstrip("0")
    marked = f" ({mark})" if mark else ""
    stopped = "saved when it was stopped" if one.saved_for == "stop" else ""
    return f"{checkpoint_title(one.name)}{marked} · " + ", ".join(filter(None, [effort.lower(), when, stopped]))


def label_of(context: AppContext, ref: str) -> str:
    """What a checkpoint is called; "a deleted checkpoint" when it is gone."""
    try:
        job, one = checkpoint_of(context, ref)
    except RecordMissing:
        return "a deleted checkpoint"
    return f"{checkpoint_title(BASE)} ({base_title(one.base)})" if one.name == BASE else label(job, one)


def checkpoint_of(context: AppContext, ref: str) -> tuple[Job, Checkpoint]:
    """The job and the checkpoint of `JOB:NAME`; RecordMissing when either is gone or somebody else's."""
    job, _, name = ref.rpartition(":")
    return own_job(context, job), context.records.checkpoints.get(job, name)
