"""The command line's side of the queue: open records, store and broker; queue a training and follow its events.

Used by `understudy train --queue` and by `understudy jobs`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.commands.console import CommandFailed, CommandResult, best_words, say, scorecard
from pipelines.commands.progress import progress
from pipelines.core.command_line import as_typed
from pipelines.core.jobs.job import ENDED, Job
from pipelines.core.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

    from pipelines.core.events import Report
    from pipelines.core.jobs.recipe import Recipe
    from pipelines.core.records import Records
    from pipelines.core.storage.store import Store

POLL_S = 0.5
"""Seconds between two reads of a job that is followed."""


@dataclass(frozen=True)
class JobContext:
    """What is open while a command works with jobs."""

    settings: Settings
    records: Records
    store: Store
    app: Celery


def open_job_context() -> JobContext:
    """Open records, objects and broker as the environment says."""
    from pipelines.core.queue.broker import make_app
    from pipelines.core.records import open_records
    from pipelines.core.storage.open_store import open_store

    settings = Settings.from_environment()
    return JobContext(settings, open_records(settings.database_url), open_store(settings), make_app(settings))


def place_in_queue(context: JobContext, job: Job) -> str:
    """The line that is printed when a job was queued."""
    return f"job {job.id}, place {context.records.jobs.position(job.id) or 'taken'} in the queue"


def train_in_queue(character_dir: Path, recipe: Recipe) -> CommandResult:
    """Publish a character folder, queue a training on it, and follow that to its end with progress bars.

    Ctrl-C leaves the job running. CommandFailed with the job's own reason when it fails.
    """
    from pipelines.core.queue import submit

    context = open_job_context()
    records, owner = context.records, context.settings.owner
    version = submit.publish_folder(records, context.store, owner, character_dir)
    job = submit.submit_training(records, context.app, owner, version, recipe)
    say(place_in_queue(context, job))
    say(f"stop it with: {as_typed('jobs stop', job.id[:8])} (Ctrl-C here leaves it running)")
    alive = records.workers.list(alive_within_s=context.settings.worker_alive_s)
    if not any("train" in worker.queues for worker in alive):
        say(f"No training worker is running; it waits until one is: {as_typed('up --only train-worker')}")
    try:
        with progress() as show:
            job = follow(context, job.id, show)
    except KeyboardInterrupt as error:
        raise CommandFailed(
            f"job {job.id[:8]} goes on without this window; look at it with: {as_typed('jobs show', job.id[:8])}"
        ) from error
    return _result(context, job)


def follow(context: JobContext, id: str, show: Report) -> Job:
    """Hand on the job's events until it has ended; returns the job."""
    last = -1
    while True:
        job = context.records.jobs.get(id)  # before the events, so that none is missed at the end
        events = context.records.events.after(id, last)
        for event in events:
            show(event)
            last = event.sequence
        if job.status in ENDED and not events:
            return job
        if not events:
            time.sleep(POLL_S)


def _result(context: JobContext, job: Job) -> CommandResult:
    """Print the scorecard; the JSON object is that of `train`, with `job` in place of `run`."""
    from pipelines.core.queue.training_results import result_of

    if job.status != "succeeded":
        raise CommandFailed(job.error or f"job {job.id[:8]} was stopped; {as_typed('jobs resume', job.id[:8])} goes on")
    result: dict[str, Any] = result_of(context.records, context.store, job.id) or {}
    checkpoints = [
        {key: row[key] for key in ("name", "stage", "step", "scores", "measurement")}
        for row in (one.to_json() for one in context.records.checkpoints.of_job(job.id))
    ]
    say(scorecard(checkpoints, str(result.get("best", ""))))
    say(best_words(result))
    return {
        "job": job.id,
        "seconds": result.get("seconds"),
        "stages": result.get("stages"),
        "best": result.get("best"),
        "best_faults": result.get("best_faults", []),
        "checkpoints": checkpoints,
    }, 0
