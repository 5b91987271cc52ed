"""What the training page does: list jobs, follow one, stop, resume, train further, clone with changes.

Plain functions on an `AppContext`; `job_progress.py` makes what is shown of a job from its row and its events. A job of
somebody else is treated as one that does not exist.
"""

from __future__ import annotations

import json
import statistics
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pipelines.core.character.held_out_split import hold_out
from pipelines.core.character.serialize import character_from_entries, split_from_entries
from pipelines.core.events import Event
from pipelines.core.jobs.job import ENDED, Checkpoint, Job, RecordMissing
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.problems import Problem
from pipelines.core.queue import submit
from pipelines.core.queue.training_results import best_of
from pipelines.core.records import Records
from pipelines.core.run_folder import BASE
from pipelines.core.stage_names import STAGE_NAMES
from studio.actions.images import portrait
from studio.actions.job_progress import JobProgress, Pace, pace_of, progress_of
from studio.actions.report import replies as replies_of
from studio.actions.scores import checkpoint_title
from studio.actions.workers import live_workers
from studio.context import AppContext
from studio.labels import STATUS

PAGE = 500
"""Events that one query reads."""
PAST_RUNS = 5
"""Finished runs whose pace gives the remaining time of a new one."""


@dataclass
class RunLog:
    """The events of one job as far as they were read; a log only grows, so any number of pages may share one."""

    job: str
    events: list[Event] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read_new(self, records: Records) -> Sequence[Event]:
        """Read what is new; returns all events so far."""
        with self.lock:
            while True:
                last = self.events[-1].sequence if self.events else -1
                new = records.events.after(self.job, last, PAGE)
                self.events.extend(new)
                if len(new) < PAGE:
                    return tuple(self.events)


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


@dataclass(frozen=True)
class JobView:
    """A job as the page shows it."""

    job: Job
    name: str
    progress: JobProgress
    events: Sequence[Event]

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
    if job.status in ENDED:  # it may have been measured again since
        measured = {one.name: one.scores for one in context.records.checkpoints.of_job(id) if one.scores}
    progress = progress_of(job, events, position=position, workers=workers, pace=pace, at=at, measured=measured)
    if job.status == "succeeded" and not progress.best:  # trained by 0.1, whose events do not name it
        progress = replace(progress, best=best_of(context.records, job))
    return JobView(job, name, progress, events)


def past_pace(context: AppContext, recipe: Recipe) -> dict[str, float]:
    """Seconds of a step of each stage in the latest finished runs on the same base model; {} when there are none.

    The time of a GRPO step is scaled by how many replies it samples.
    """
    found: dict[str, list[float]] = {}
    done = context.records.jobs.list(kind="train", statuses=["succeeded"], limit=4 * PAST_RUNS)
    alike = [job for job in done if job.recipe and job.recipe.get("base") == recipe.base][:PAST_RUNS]
    for job in alike:
        theirs = Recipe.from_json(job.recipe or {})
        ratio = (recipe.grpo_prompts_per_step * recipe.grpo_group_size) / (
            theirs.grpo_prompts_per_step * theirs.grpo_group_size
        )
        for stage, seconds in pace_of(RunLog(job.id).read_new(context.records)).items():
            found.setdefault(stage, []).append(seconds * ratio if stage == "grpo" else seconds)
    return {stage: statistics.median(values) for stage, values in found.items()}


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
    problems: list[Problem] = []  # a published version has none that matter here
    version = context.records.characters.version(job.character, job.version)
    if version.test_entries is None:
        split = hold_out(character_from_entries(version.entries, problems))[1]
    else:
        split = split_from_entries(version.test_entries, problems)
    return [image.description for image in split.images if image.description]


# ---------------------------------------------------------------- what a person can do


def stop(context: AppContext, id: str, what: Literal["keep", "discard"]) -> Job:
    """Ask for a stop: keep what is learnt, or throw it away."""
    own_job(context, id)
    return submit.stop(context.records, id, what)


def resume(context: AppContext, id: str) -> Job:
    """Queue a stopped or failed job again; it goes on from its last checkpoint. ValueError when it is done."""
    own_job(context, id)
    return submit.resume(context.records, context.queue, id)


def adapters_of(context: AppContext, id: str) -> list[Checkpoint]:
    """The job's checkpoints that have an adapter, oldest first."""
    own_job(context, id)
    return [one for one in context.records.checkpoints.of_job(id) if one.name != BASE and one.adapter_key]


def clone(context: AppContext, id: str, changes: Mapping[str, Any], latest_version: bool = False) -> Job:
    """Queue a new training like this one with some fields of its recipe changed.

    `latest_version` takes the character as it was last published instead of the version that the old job learnt.
    Raises ValueError, in words for people, when the changes contradict each other.
    """
    own_job(context, id)
    return submit.clone(context.records, context.queue, id, changes, latest_version)


def clone_with_text(
    context: AppContext, id: str, changes: Mapping[str, Any], text: str, latest_version: bool = False
) -> Job:
    """`clone` with more changes written as a JSON object by an engineer; they count more than the others."""
    more: object = {}
    if text.strip():
        try:
            more = json.loads(text)
        except ValueError as error:
            raise ValueError(f'these settings are not JSON ({error}); write them like {{"sft_steps": 60}}') from error
    if not isinstance(more, dict):
        raise ValueError('these settings are no JSON object; write them like {"sft_steps": 60}')
    return clone(context, id, {**changes, **more}, latest_version)


def continue_training(
    context: AppContext, id: str, checkpoint: str, sft_steps: int, grpo_steps: int, latest_version: bool = False
) -> Job:
    """Queue a training that goes on from a checkpoint of this one, so many steps of each stage further.

    Raises RecordMissing when there is no such checkpoint, ValueError, in words for people, when it cannot go on so.
    """
    recipe = Recipe.from_json(own_job(context, id).recipe or {})
    changes = submit.more_steps(recipe, context.records.checkpoints.get(id, checkpoint), sft_steps, grpo_steps)
    return submit.continue_training(context.records, context.queue, id, checkpoint, changes, latest_version)
