"""What the training page does: list jobs, follow one, stop, resume, train further, clone with changes.

Plain functions on an `AppContext`; `job_progress.py` makes what is shown of a job from its row and its events. A job of
somebody else is treated as one that does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipelines.core.events import Event
from pipelines.core.formats.json_text import parse_json
from pipelines.core.jobs.job import ENDED, Checkpoint, Job, RecordMissing
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.jobs.training_extent import training_extents
from pipelines.core.queue import submit
from pipelines.core.queue.training_results import best_of
from pipelines.core.run_folder import BASE
from pipelines.core.stage_names import STAGE_NAMES
from studio.actions import create, drawings
from studio.actions.held_out import split_of
from studio.actions.images import portrait
from studio.actions.job_progress import JobProgress, Pace, progress_of
from studio.actions.report import replies as replies_of
from studio.actions.run_log import RunLog
from studio.actions.safekeeping import safekeeping_words
from studio.actions.scores import checkpoint_title
from studio.actions.verdict import Verdict, shortfall, verdict_of
from studio.actions.workers import live_workers
from studio.context import AppContext
from studio.labels import STATUS, extent_words


@dataclass(frozen=True)
class JobLine:
    """One line of the list of jobs."""

    job: Job
    name: str
    """The character's name."""
    words: str
    """Status in words."""
    stage: str
    """Where it is, in words; "" before it began and after its end."""
    fraction: float
    """Of the stage it is in, 0 to 1."""
    portrait: bytes | None = None
    """The character's small picture."""
    shortfall: str = ""
    """Why a training that has succeeded is not good yet; "" for any other."""


@dataclass(frozen=True)
class JobView:
    """A job as the page shows it."""

    job: Job
    name: str
    progress: JobProgress
    events: Sequence[Event]
    verdict: Verdict | None = None
    """What came of it; None before its end."""
    safekeeping: tuple[str, ...] = ()
    """Sentences about saved states that are not safe yet, or were damaged."""

    @property
    def is_over(self) -> bool:
        """Nothing more will happen by itself."""
        return self.job.status in ENDED


@dataclass(frozen=True)
class SampleView:
    """One picture of the sample strip."""

    key: str
    label: str
    """The caption or prompt that it was drawn from."""
    answer: str = ""
    """What the character said with it."""


@dataclass(frozen=True)
class SampleRow:
    """The samples of one checkpoint."""

    checkpoint: Checkpoint
    title: str
    samples: tuple[SampleView, ...]


def own_job(context: AppContext, id: str) -> Job:
    """A job of this context's owner; RecordMissing for any other."""
    job = context.records.jobs.get(id)
    if job.owner != context.owner:
        raise RecordMissing(f"there is no job {id}: it was deleted, or the id is wrong")
    return job


def jobs(context: AppContext, limit: int = 20, before: str | None = None) -> list[JobLine]:
    """The owner's trainings, newest first; for the next page, `before` is the id of the last one."""
    rows = context.records.jobs.list(owner=context.owner, kind="train", limit=limit, before=before)
    people = {row.id: row for row in context.records.characters.list(context.owner)}
    faces = {id: portrait(context, people[id].draft) for id in {job.character for job in rows} & people.keys()}
    return [
        replace(
            _line(context, job, people[job.character].name if job.character in people else ""),
            portrait=faces.get(job.character),
            shortfall=shortfall(context, job),
        )
        for job in rows
    ]


def portrait_of(context: AppContext, job: Job) -> bytes | None:
    """The small picture of the character that a job trains."""
    return portrait(context, context.records.characters.get(job.character).draft) if job.character else None


def _line(context: AppContext, job: Job, name: str) -> JobLine:
    words = STATUS[job.status]
    if job.status in ENDED or job.status == "queued":
        return JobLine(job, name, words, "", 1.0 if job.status == "succeeded" else 0.0)
    last = context.records.events.latest(job.id)
    if last is None:
        return JobLine(job, name, words, STAGE_NAMES["prepare"], 0.0)
    return JobLine(job, name, words, STAGE_NAMES.get(last.stage, ""), last.step / last.total if last.total else 0.0)


def job_view(context: AppContext, id: str, log: RunLog, pace: Pace | None = None, at: str = "") -> JobView:
    """The job as it is now. New events are read into `log`; `at` is the time now (UTC, ISO 8601)."""
    job = own_job(context, id)
    events = log.read_new(context.records)
    position = workers = None
    if job.status == "queued":
        position = context.records.jobs.position(id)
        workers = len(live_workers(context, "train"))
    name = context.records.characters.get(job.character).name if job.character else ""
    measured: dict[str, dict[str, Any]] = {}
    kept = context.records.checkpoints.of_job(id)
    if job.status in ENDED:  # it may have been measured again since
        measured = {one.name: one.scores for one in kept if one.scores}
    progress = progress_of(job, events, position=position, workers=workers, pace=pace, at=at, measured=measured)
    if job.status == "succeeded" and not progress.best:  # trained by 0.1, whose events do not name it
        found = best_of(context.records, job)
        progress = replace(progress, best=found.name if found else "")
    if job.status == "stopped" and (said := _hardly_trained(context, job)):
        progress = replace(progress, detail=f"{said} Training can go on from there.")
    judged = verdict_of(context, job)
    if judged is not None and judged.findings:
        detail = "What falls short stands below, with what to do. Every saved state can be talked with all the same."
        progress = replace(progress, headline=judged.headline, detail=detail)
    safe = safekeeping_words(job, events, {one.name for one in kept}, at)
    return JobView(job, name, progress, events, judged, safe)


def _hardly_trained(context: AppContext, job: Job) -> str:
    """What is to be said where all that a training has kept is hardly trained; else ""."""
    rows = context.records.checkpoints.of_job(job.id)
    extents = training_extents(job, rows)
    kept = [extents.get(row.name) for row in rows if row.adapter_key]
    little = [extent for extent in kept if extent is not None and extent.is_hardly_trained]
    return extent_words(little[-1]) if little and len(little) == len(kept) else ""


def sample_rows(context: AppContext, job: Job) -> list[SampleRow]:
    """The fixed prompts as each checkpoint draws them, the model before training first."""
    captions = _held_out_captions(context, job)
    return [
        SampleRow(checkpoint, checkpoint_title(checkpoint.name), _samples_of(context, checkpoint, captions))
        for checkpoint in context.records.checkpoints.of_job(job.id)
    ]


def _samples_of(context: AppContext, checkpoint: Checkpoint, captions: list[str]) -> tuple[SampleView, ...]:
    keys = [key for path, key in sorted(checkpoint.files.items()) if _is_sample(path)]
    replies = replies_of(context, checkpoint)
    drawn = len(keys) - len(replies)
    samples = []
    for number, key in enumerate(keys):
        if number < drawn:
            samples.append(SampleView(key, captions[number] if number < len(captions) else f"Picture {number + 1}"))
        else:
            said = replies[number - drawn]
            samples.append(SampleView(key, str(said.get("prompt", "")), str(said.get("text", ""))))
    return tuple(samples)


def _is_sample(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return folder == "samples" and name.removesuffix(".png").isdigit()


def _held_out_captions(context: AppContext, job: Job) -> list[str]:
    """What the first sample pictures were drawn from: the held-out captions, as the trainer finds them."""
    if not job.character or not job.version:
        return []
    split = split_of(context.records.characters.version(job.character, job.version))
    return [image.description for image in split.images if image.description]


# ---------------------------------------------------------------- what a person can do


def stop(context: AppContext, id: str, what: Literal["keep", "discard"]) -> Job:
    """Ask for a stop: keep what is learnt, or throw it away."""
    own_job(context, id)
    return submit.stop(context.records, id, what)


def resume(context: AppContext, id: str) -> Job:
    """Queue a stopped or failed job again; it goes on from its last checkpoint. ValueError when it is done."""
    drawings.put_off(context, own_job(context, id).character)
    return submit.resume(context.records, context.queue, id)


def adapters_of(context: AppContext, id: str) -> list[Checkpoint]:
    """The job's checkpoints that have an adapter, oldest first."""
    own_job(context, id)
    return [one for one in context.records.checkpoints.of_job(id) if one.name != BASE and one.adapter_key]


def clone(
    context: AppContext, id: str, changes: Mapping[str, Any], newest: bool = False, new_defaults: bool = False
) -> Job:
    """Queue a new training like this one with some fields of its recipe changed.

    `newest` takes the character as its draft is now instead of the version that the old job learnt, `new_defaults` what
    the effort gives today instead of the settings of then. Raises ValueError, in words for people, when the changes
    contradict each other, CharacterProblems when the draft cannot be trained.
    """
    job = own_job(context, id)
    newest = newest and _publish(context, job)
    drawings.put_off(context, job.character)
    return submit.clone(context.records, context.queue, id, changes, newest, new_defaults)


def clone_with_text(
    context: AppContext,
    id: str,
    changes: Mapping[str, Any],
    text: str,
    newest: bool = False,
    new_defaults: bool = False,
) -> Job:
    """`clone` with more changes written as a JSON object by an engineer; they count more than the others."""
    more: object = {}
    if text.strip():
        try:
            more = parse_json(text, "these settings")
        except ValueError as error:
            raise ValueError(f'these settings are not JSON ({error}); write them like {{"sft_steps": 60}}') from error
    if not isinstance(more, dict):
        raise ValueError('these settings are no JSON object; write them like {"sft_steps": 60}')
    return clone(context, id, {**changes, **more}, newest, new_defaults)


def continue_training(
    context: AppContext,
    id: str,
    checkpoint: str,
    sft_steps: int,
    grpo_steps: int,
    newest: bool = False,
    new_defaults: bool = False,
) -> Job:
    """Queue a training that goes on from a checkpoint of this one, for so many steps of its own of each stage.

    `newest` and `new_defaults` as `clone` has them. Raises RecordMissing when there is no such checkpoint, ValueError
    or CharacterProblems, in words for people, when it cannot go on so.
    """
    job = own_job(context, id)
    newest = newest and _publish(context, job)
    changes = {"sft_steps": sft_steps, "grpo_steps": grpo_steps}
    drawings.put_off(context, job.character)
    return submit.continue_training(context.records, context.queue, id, checkpoint, changes, newest, new_defaults)


def _publish(context: AppContext, job: Job) -> bool:
    """Make the draft a version to train on; a character that the command line published has no draft of its own."""
    if "pictures" in context.records.characters.get(job.character).draft:
        create.publish_draft(context, job.character)
    return True


def old_settings(job: Job) -> dict[str, tuple[Any, Any]]:
    """Settings of a training that its effort would set otherwise today: name -> (then, today)."""
    recipe = Recipe.from_json(job.recipe or {})
    return recipe.differences(recipe.with_new_defaults())
