"""The checkpoints that a character can be talked with, compared and downloaded as, and which of them comes first.

One checkpoint of a character is marked (`pipelines.core.queue.training_results`): as the best, or, when it has a fault,
as the one that comes closest. It is the default everywhere; an unmeasured state of a training that still runs never is,
nor one that is hardly trained. The model before training is always offered beside a trained state: it needs no row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipelines.core.checkpoint_selection import FAULTS
from pipelines.core.jobs.job import ENDED, Checkpoint, Job, RecordMissing
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.jobs.training_extent import TrainingExtent, training_extents
from pipelines.core.queue.training_results import TRAININGS, BestCheckpoint, best_of, best_of_character
from pipelines.core.run_folder import BASE, START
from studio.actions.drafts import own_character
from studio.actions.scores import checkpoint_title
from studio.actions.training_jobs import own_job
from studio.context import AppContext
from studio.labels import EFFORTS, NOT_CHECKED, base_title, extent_words, listed

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
    """As a default where none is marked: 3 measured; of a training that is over, 2 saved as planned, 1 saved by a stop;
    0 never."""
    warning: str = ""
    """What somebody should know who chooses it; "" when there is nothing to say."""
    is_over: bool = True
    """Its training does nothing more."""

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
    unsaved: dict[str, CheckpointOption] = {}
    for job in context.records.jobs.list(owner=context.owner, kind="train", character=character, limit=TRAININGS):
        rows = context.records.checkpoints.of_job(job.id)
        extents = training_extents(job, rows)
        for one in reversed(rows):
            if one.name == BASE:
                bases.setdefault(one.base, _base_option(job, one.base))
            elif one.adapter_key:
                found.append(_option(job, one, mark_of(first, job.id, one.name), extents.get(one.name)))
                unsaved.setdefault(one.base, _base_option(job, one.base))
    return [*found, *{**unsaved, **bases}.values()]


def _option(job: Job, one: Checkpoint, mark: Mark, extent: TrainingExtent | None) -> CheckpointOption:
    ref, words = f"{job.id}:{one.name}", label(job, one, mark, extent)
    warning = "" if mark else state_warning(job, one, extent)
    return CheckpointOption(ref, words, one.base, mark, _rank(job, one, extent), warning, job.status in ENDED)


def _base_option(job: Job, base: str) -> CheckpointOption:
    return CheckpointOption(f"{job.id}:{BASE}", _base_label(base), base)


def _base_label(base: str) -> str:
    return f"{checkpoint_title(BASE)} ({base_title(base)})"


def _rank(job: Job, one: Checkpoint, extent: TrainingExtent | None) -> int:
    if extent is not None and extent.is_hardly_trained:
        return 0
    if one.scores:
        return 3
    return 0 if job.status not in ENDED else 2 if one.saved_for == "plan" else 1


def state_warning(job: Job, one: Checkpoint, extent: TrainingExtent | None) -> str:
    """What somebody should know of a state without a mark: little training, or that nobody has measured it."""
    unchecked = job.status not in ENDED and not one.scores and one.name not in (BASE, START)
    if unchecked and not (extent and extent.is_hardly_trained):
        return NOT_CHECKED
    return extent_words(extent) if extent else ""


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


def base_of(options: Sequence[CheckpointOption], ref: str = "") -> str:
    """`JOB:NAME` of the model before training that `ref`, or the newest state, was made from."""
    preset = next((one.base for one in options if one.ref == ref), options[0].base)
    return next((one.ref for one in options if one.ref.endswith(f":{BASE}") and one.base == preset), options[-1].ref)


def sides_of(options: Sequence[CheckpointOption]) -> tuple[str, str]:
    """The two that are compared until others are chosen: the first, and the model before training.

    The first is `default_of`; where nothing deserves to be it, the only state, so that comparing shows how little it
    has learned.
    """
    first = default_of(options) or only_one_of(options)
    return first, base_of(options, first)


def only_one_of(options: Sequence[CheckpointOption]) -> str:
    """`JOB:NAME` of the trained state where there is a single one and its training is over, so that nobody has to
    choose it; else ""."""
    trained = [one for one in options if not one.ref.endswith(f":{BASE}")]
    return trained[0].ref if len(trained) == 1 and trained[0].is_over else ""


def why_no_default(options: Sequence[CheckpointOption]) -> str:
    """Why no trained state stands there by itself, as the beginning of a sentence; "" where one does."""
    if default_of(options):
        return ""
    saved = next((one.label for one in options if one.warning == NOT_CHECKED), "")
    if saved:
        return f"“{saved}” is saved, but its training still runs and has not checked it yet"
    return "No saved state is far enough yet"


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


def label(job: Job, one: Checkpoint, mark: Mark = "", extent: TrainingExtent | None = None) -> str:
    """What a trained checkpoint is called in a list."""
    effort = EFFORTS.get(str((job.recipe or {}).get("effort", "")), "")
    when = datetime.fromisoformat(job.created).strftime("%d %b %H:%M").lstrip("0")
    marked = f" ({mark})" if mark else ""
    stopped = "saved when it was stopped" if one.saved_for == "stop" else ""
    little = f"hardly trained ({extent.step} of {extent.planned} steps)" if extent and extent.is_hardly_trained else ""
    said = [little if not mark else "", effort.lower(), when, stopped]
    return f"{checkpoint_title(one.name)}{marked} · " + ", ".join(filter(None, said))


def label_of(context: AppContext, ref: str) -> str:
    """What a checkpoint is called; "a deleted checkpoint" when it is gone."""
    try:
        job, one = checkpoint_of(context, ref)
    except RecordMissing:
        return "a deleted checkpoint"
    if one.name == BASE:
        return _base_label(one.base)
    return label(job, one, extent=_extents(context, job).get(one.name))


def warning_of(context: AppContext, ref: str) -> str:
    """`CheckpointOption.warning` of a state that a conversation was begun with."""
    try:
        job, one = checkpoint_of(context, ref)
    except RecordMissing:
        return ""
    return "" if one.name in marks_of(context, job) else state_warning(job, one, _extents(context, job).get(one.name))


def _extents(context: AppContext, job: Job) -> Mapping[str, TrainingExtent]:
    return training_extents(job, context.records.checkpoints.of_job(job.id))


def checkpoint_of(context: AppContext, ref: str) -> tuple[Job, Checkpoint]:
    """The job and the checkpoint of `JOB:NAME`; RecordMissing when either is gone or somebody else's.

    The base has a row only once it is measured, which a training that is stopped early never does; it is there anyway.
    """
    id, _, name = ref.rpartition(":")
    job = own_job(context, id)
    try:
        return job, context.records.checkpoints.get(id, name)
    except RecordMissing:
        if name != BASE or job.recipe is None:
            raise
        return job, unmeasured_base(job)


def unmeasured_base(job: Job) -> Checkpoint:
    """The model before a training, as a checkpoint without scores and files."""
    return Checkpoint(job.id, BASE, BASE, 0, Recipe.from_json(job.recipe or {}).base)
