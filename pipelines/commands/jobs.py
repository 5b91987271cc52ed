"""Jobs from the command line: sending a training through the queue and following it, listing, stopping, resuming.

understudy train quibb --queue           sends it; Ctrl-C leaves it running
understudy jobs                          the latest jobs
understudy jobs show|stop|resume ID      the start of an id is enough
understudy jobs clone ID --set sft_steps=60                 a new training like that one, with changes
understudy jobs further ID:sft-000028 --set sft_steps=60    a new training that goes on from a checkpoint
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.commands.console import CommandFailed, CommandResult, WrongUsage, scorecard, table
from pipelines.core.jobs.job import ENDED, Job, RecordMissing
from pipelines.core.settings import Settings
from pipelines.core.stage_names import STAGE_NAMES

if TYPE_CHECKING:
    from celery import Celery

    from pipelines.core.events import Report
    from pipelines.core.jobs.recipe import Recipe
    from pipelines.core.records import Records
    from pipelines.core.storage.store import Store

FOLLOW_S = 0.5
"""Seconds between looks at a job that is followed."""


@dataclass(frozen=True)
class JobContext:
    """What sending and following needs."""

    settings: Settings
    records: Records
    store: Store
    app: Celery


def open_job_context() -> JobContext:
    """Open records, objects and broker as the environment says."""
    from pipelines.core.queue.broker import make_app
    from pipelines.core.records import open_records
    from pipelines.core.storage.store import open_store

    settings = Settings.from_environment()
    return JobContext(settings, open_records(settings.database_url), open_store(settings), make_app(settings))


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the command on the command line."""
    command = commands.add_parser("jobs", parents=[shared], help="list, show, stop, resume or repeat jobs")
    verbs = ("list", "show", "stop", "resume", "clone", "further")
    command.add_argument("what", nargs="?", default="list", choices=verbs)
    command.add_argument("id", nargs="?", help="the job's id, or its first characters; with further ID:CHECKPOINT")
    command.add_argument("--discard", action="store_true", help="with stop: delete what the job made")
    command.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="with clone and further: a changed field of the recipe",
    )
    command.add_argument("--limit", type=int, default=20, help="with list: how many (default 20)")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one of the verbs; the JSON object is `{"jobs": [...]}` or `{"job": {...}}`."""
    from pipelines.core.queue import submit

    desk = open_job_context()
    if arguments.what == "list":
        return _list(desk, arguments.limit)
    if arguments.overrides and arguments.what not in ("clone", "further"):
        raise WrongUsage("--set goes with clone and further; the recipe of a job that is there never changes")
    if arguments.what in ("clone", "further"):
        job = _send_like(desk, arguments.what, arguments.id or "", arguments.overrides)
        print(f"job {job.id}, place {desk.records.jobs.position(job.id) or 'taken'} in the queue")
        return {"job": job.to_json()}, 0
    job = find(desk, arguments.id or "")
    if arguments.what == "stop":
        job = submit.stop(desk.records, job.id, "discard" if arguments.discard else "keep")
        kept = "" if arguments.discard else f"; what was learnt is kept (understudy jobs resume {job.id[:8]})"
        print(f"{job.id[:8]} is {job.status}{kept}")
    elif arguments.what == "resume":
        job = submit.resume(desk.records, desk.app, job.id)
        print(f"{job.id[:8]} is {job.status}")
    else:
        _show(desk, job)
    return {"job": job.to_json()}, 0


def _send_like(desk: JobContext, what: str, id: str, overrides: list[str]) -> Job:
    """A new training made from an earlier one."""
    from pipelines.commands.train import recipe_overrides
    from pipelines.core.jobs.recipe import Recipe
    from pipelines.core.queue import submit

    start, _, checkpoint = id.partition(":")
    old = find(desk, start)
    if old.recipe is None:
        raise CommandFailed(f"{old.id[:8]} is no training; only trainings can be cloned or go further")
    changes = recipe_overrides(overrides, Recipe.from_json(old.recipe))
    if what == "clone":
        return submit.clone(desk.records, desk.app, old.id, changes)
    if not checkpoint:
        raise WrongUsage(f"name a checkpoint, such as {start}:sft-000028; `understudy jobs show {start}` lists them")
    return submit.continue_training(desk.records, desk.app, old.id, checkpoint, changes)


def find(desk: JobContext, start: str) -> Job:
    """The owner's job whose id begins so; CommandFailed when there is none or more than one."""
    if not start:
        raise CommandFailed("name a job: `understudy jobs` lists them")
    try:
        return desk.records.jobs.get(start)
    except RecordMissing:
        found = [job for job in desk.records.jobs.list(desk.settings.owner, limit=1000) if job.id.startswith(start)]
    if len(found) != 1:
        what = "no job" if not found else f"{len(found)} jobs"
        raise CommandFailed(f"{what} with an id that begins with {start}: `understudy jobs` lists them")
    return found[0]


def _list(desk: JobContext, limit: int) -> CommandResult:
    jobs = desk.records.jobs.list(desk.settings.owner, limit=limit)
    rows = [["id", "kind", "status", "character", "made (UTC)", "note"]]
    for job in jobs:
        made = job.created[:16].replace("T", " ")
        rows.append([job.id[:8], job.kind, job.status, _name(desk, job), made, _note(desk, job)])
    print(table(rows) if jobs else "no jobs yet: understudy train CHARACTER --queue")
    return {"jobs": [job.to_json() for job in jobs]}, 0


def _name(desk: JobContext, job: Job) -> str:
    return desk.records.characters.get(job.character).name if job.character else ""


def _note(desk: JobContext, job: Job) -> str:
    if job.status == "queued":
        return f"place {desk.records.jobs.position(job.id)}"
    if job.status in ("running", "stopping"):
        event = desk.records.events.latest(job.id)
        place = f" {event.step}/{event.total}" if event and event.total else ""
        return f"{STAGE_NAMES[event.stage]}{place}" if event else ""
    return job.error[:80]


def _show(desk: JobContext, job: Job) -> None:
    for label, text in (
        ("job", job.id),
        ("kind", job.kind),
        ("status", job.status),
        ("character", _name(desk, job)),
        ("made", job.created),
        ("began", job.started),
        ("ended", job.ended),
        ("attempt", str(job.attempt)),
        ("worker", job.worker),
        ("now", _note(desk, job) if job.status not in ENDED else ""),
        ("error", job.error),
    ):
        if text:
            print(f"{label:<10} {text}")
    checkpoints = desk.records.checkpoints.of_job(job.id)
    if checkpoints:
        print(scorecard([{"name": item.name, "scores": item.scores} for item in checkpoints]))
    if job.log_tail:
        print(f"the end of its log:\n{job.log_tail}")


def send_and_follow(character_dir: Path, recipe: Recipe) -> CommandResult:
    """Publish a character folder, queue a training on it, and follow that to its end with progress bars.

    Ctrl-C leaves the job running. CommandFailed with the job's own reason when it fails.
    """
    from pipelines.commands.train import progress
    from pipelines.core.queue import submit

    desk = open_job_context()
    version = submit.publish_folder(desk.records, desk.store, desk.settings.owner, character_dir)
    job = submit.submit_training(desk.records, desk.app, desk.settings.owner, version, recipe)
    print(f"job {job.id}, place {desk.records.jobs.position(job.id) or 'taken'} in the queue")
    print(f"stop it with: understudy jobs stop {job.id[:8]} (Ctrl-C here leaves it running)")
    alive = desk.records.workers.list(alive_within_s=desk.settings.worker_alive_s)
    if not any("train" in worker.queues for worker in alive):
        print("No training worker is running; it waits until one is: understudy up")
    try:
        with progress() as show:
            job = follow(desk, job.id, show)
    except KeyboardInterrupt as error:
        raise CommandFailed(
            f"job {job.id[:8]} goes on without this window; look at it with: understudy jobs show {job.id[:8]}"
        ) from error
    return _outcome(desk, job)


def follow(desk: JobContext, id: str, show: Report) -> Job:
    """Hand on the job's events until it has ended; returns the job."""
    last = -1
    while True:
        job = desk.records.jobs.get(id)  # before the events, so that none is missed at the end
        events = desk.records.events.after(id, last)
        for event in events:
            show(event)
            last = event.sequence
        if job.status in ENDED and not events:
            return job
        if not events:
            time.sleep(FOLLOW_S)


def _outcome(desk: JobContext, job: Job) -> CommandResult:
    from pipelines.core.queue.submit import result_of

    if job.status != "succeeded":
        raise CommandFailed(job.error or f"job {job.id[:8]} was stopped; understudy jobs resume {job.id[:8]} goes on")
    result: dict[str, Any] = result_of(desk.records, desk.store, job.id) or {}
    checkpoints = [
        {"name": item.name, "stage": item.stage, "step": item.step, "scores": item.scores}
        for item in desk.records.checkpoints.of_job(job.id)
    ]
    print(scorecard(checkpoints, str(result.get("best", ""))))
    return {
        "job": job.id,
        "seconds": result.get("seconds"),
        "stages": result.get("stages"),
        "best": result.get("best"),
        "checkpoints": checkpoints,
    }, 0
