"""Measuring the checkpoints of a training again: an evaluation job, found again by the training that it measures.

A worker runs the scorecard on every checkpoint of the training, the model before training included, with the same
held-out questions, prompts and seeds. New scores and sample pictures replace the old ones checkpoint by checkpoint.
Nothing is trained, and the best checkpoint stays the one that the training chose.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.core.command_line import as_typed
from pipelines.core.jobs.job import ENDED, Job
from pipelines.core.queue import submit
from pipelines.core.run_folder import BASE
from studio.actions.training_jobs import own_job
from studio.actions.workers import TRAIN_WORKER, live_workers
from studio.context import AppContext
from studio.labels import ago, counted

SEARCHED = 50
"""Latest evaluations of a character among which those of one training are looked for."""


@dataclass(frozen=True)
class EvaluationView:
    """The latest evaluation of a training, as the training page shows it."""

    job: Job
    words: str
    """Where it is, in words for people."""
    measured: int
    """Checkpoints that are done."""
    total: int
    """Checkpoints that it measures; 0 while it is not known."""

    @property
    def is_over(self) -> bool:
        """Nothing more will happen by itself."""
        return self.job.status in ENDED

    @property
    def fraction(self) -> float:
        """0 to 1."""
        return min(1.0, self.measured / self.total) if self.total else 0.0


def latest_evaluation(context: AppContext, training: Job) -> Job | None:
    """The evaluation of a training that was asked for last; None when there is none."""
    found = context.records.jobs.list(
        owner=context.owner, kind="evaluate", character=training.character, limit=SEARCHED
    )
    return next((job for job in found if job.request.get("job") == training.id), None)


def is_being_measured(context: AppContext, training: Job) -> bool:
    """Whether an evaluation of the training waits or runs."""
    latest = latest_evaluation(context, training)
    return latest is not None and latest.status not in ENDED


def why_not_measurable(context: AppContext, training: Job) -> str:
    """Why a training cannot be measured now, in words for people; "" when it can."""
    if training.kind != "train":
        return "this is no training, so there is nothing to measure"
    if training.status not in ENDED:
        return "this training is not over yet: it measures its saved states itself"
    states = context.records.checkpoints.of_job(training.id)
    if not any(one.adapter_key for one in states if one.name != BASE):
        return "this training has no saved state yet: there is nothing to measure"
    if is_being_measured(context, training):
        return "it is being measured already: wait until that is done"
    return ""


def measure_again(context: AppContext, id: str) -> Job:
    """Queue an evaluation of all checkpoints of a training. ValueError, in words for people, when it cannot be."""
    with context.editing:  # two tabs must not queue two
        training = own_job(context, id)
        refusal = why_not_measurable(context, training)
        if refusal:
            raise ValueError(refusal)
        return submit.submit_evaluation(context.records, context.queue, id)


def stop_measuring(context: AppContext, id: str) -> Job:
    """Stop the evaluation of a training; what is measured by then stays. ValueError when none is under way."""
    latest = latest_evaluation(context, own_job(context, id))
    if latest is None or latest.status in ENDED:
        raise ValueError("nothing is being measured just now")
    return submit.stop(context.records, latest.id, "keep")


def evaluation_view(context: AppContext, training: Job) -> EvaluationView | None:
    """The latest evaluation of a training and how far it is; None when it was never measured again."""
    job = latest_evaluation(context, training)
    if job is None:
        return None
    last = context.records.events.latest(job.id, "evaluate")
    measured, total = (last.step, last.total) if last else (0, 0)
    return EvaluationView(job, _words(context, job, measured, total), measured, total)


def _words(context: AppContext, job: Job, measured: int, total: int) -> str:
    if job.status == "queued":
        if not live_workers(context, "train"):
            return f"Waits to be measured again. No worker is running: start one with `{as_typed(TRAIN_WORKER)}`."
        return "Waits to be measured again, until a worker is free."
    if job.status == "running":
        done = f"{measured} of {counted(total, 'saved state')} done" if total else "loading the model"
        return f"Is being measured again: {done}. The old scores stand until it is over."
    if job.status == "stopping":
        return "Measuring again is being stopped."
    if job.status == "succeeded":
        return f"Measured again {ago(job.ended)}: scores and pictures are those of this measuring."
    kept = (
        "What was measured before that is new, the rest is as it was." if measured else "The scores are as they were."
    )
    if job.status == "stopped":
        return f"Measuring again was stopped {ago(job.ended)}. {kept}"
    return f"Measuring again failed {ago(job.ended)}. {kept}"
