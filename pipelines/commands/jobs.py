"""`understudy jobs`: list jobs, show one, stop or resume it, queue a new training made from an earlier one.

understudy jobs                     the latest jobs
understudy jobs show|stop|resume ID the start of an id is enough
understudy jobs clone ID --set sft_steps=60                  a new training with the same recipe but for this
understudy jobs continue ID:sft-000028 --set sft_steps=60    a new training from a checkpoint, for steps of its own
"""

from __future__ import annotations

import argparse

from pipelines.commands.console import CommandFailed, CommandResult, WrongUsage, say, scorecard, table
from pipelines.commands.follow_job import JobContext, open_job_context, place_in_queue
from pipelines.commands.recipe_flags import add_set_flag, recipe_overrides
from pipelines.core.command_line import as_typed
from pipelines.core.jobs.job import ENDED, Job, RecordMissing
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.queue.training_results import best_of
from pipelines.core.stage_names import STAGE_NAMES

VERBS = ("list", "show", "stop", "resume", "clone", "continue")
NEW_TRAINING = ("clone", "continue")
"""Verbs that queue a new job."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the command on the command line."""
    command = commands.add_parser("jobs", parents=[shared], help="list, show, stop, resume, clone or continue jobs")
    command.add_argument("verb", nargs="?", default="list", choices=VERBS)
    command.add_argument("id", nargs="?", help="the job's id, or its first characters; with continue ID:CHECKPOINT")
    command.add_argument("--discard", action="store_true", help="with stop: delete what the job made")
    add_set_flag(command, "with clone and continue: a changed field of the recipe")
    command.add_argument(
        "--latest-version",
        action="store_true",
        help="with clone and continue: train the character as it is published now, not as the earlier job did",
    )
    command.add_argument(
        "--new-defaults",
        action="store_true",
        help="with clone and continue: today's settings of the same effort, not those of then",
    )
    command.add_argument("--limit", type=int, default=20, help="with list: how many (default 20)")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one of the verbs; the JSON object is `{"jobs": [...]}` or `{"job": {...}}`."""
    from pipelines.core.queue import submit

    context = open_job_context()
    if arguments.verb == "list":
        return _list(context, arguments.limit)
    new_only = arguments.overrides or arguments.latest_version or arguments.new_defaults
    if new_only and arguments.verb not in NEW_TRAINING:
        flags = "--set, --latest-version and --new-defaults"
        raise WrongUsage(f"{flags} go with clone and continue; the recipe of a job never changes")
    if arguments.verb in NEW_TRAINING:
        job = _new_training(context, arguments)
        say(place_in_queue(context, job))
        return {"job": job.to_json()}, 0
    job = find(context, arguments.id or "")
    if arguments.verb == "stop":
        job = submit.stop(context.records, job.id, "discard" if arguments.discard else "keep")
        kept = "" if arguments.discard else f"; what was learnt is kept ({as_typed('jobs resume', job.id[:8])})"
        say(f"{job.id[:8]} is {job.status}{kept}")
    elif arguments.verb == "resume":
        job = submit.resume(context.records, context.app, job.id)
        say(f"{job.id[:8]} is {job.status}")
    else:
        _show(context, job)
    return {"job": job.to_json()}, 0


def _new_training(context: JobContext, arguments: argparse.Namespace) -> Job:
    """Queue a training made from an earlier one."""
    from pipelines.core.queue import submit

    start, _, checkpoint = (arguments.id or "").partition(":")
    old = find(context, start)
    if old.recipe is None:
        raise CommandFailed(f"{old.id[:8]} is no training; only trainings can be cloned or continued")
    recipe = Recipe.from_json(old.recipe)
    changes = recipe_overrides(arguments.overrides, recipe)
    latest, new = bool(arguments.latest_version), bool(arguments.new_defaults)
    kept = {} if new else recipe.differences(recipe.with_new_defaults())
    for name, (then, today) in kept.items():
        if name.partition(".")[0] not in changes:
            say(f"kept from then: {name} {then} (today {today}); --new-defaults takes today's")
    if arguments.verb == "clone":
        return submit.clone(context.records, context.app, old.id, changes, latest, new)
    if not checkpoint:
        raise WrongUsage(f"name a checkpoint, such as {start}:sft-000028; `{as_typed('jobs show', start)}` lists them")
    return submit.continue_training(context.records, context.app, old.id, checkpoint, changes, latest, new)


def find(context: JobContext, start: str) -> Job:
    """The owner's job whose id begins with `start`; CommandFailed when there is none or more than one."""
    if not start:
        raise CommandFailed(f"name a job: `{as_typed('jobs')}` lists them")
    jobs = context.records.jobs
    try:
        return jobs.get(start)
    except RecordMissing:
        matches = [job for job in jobs.list(context.settings.owner, limit=1000) if job.id.startswith(start)]
    if len(matches) != 1:
        what = "no job" if not matches else f"{len(matches)} jobs"
        raise CommandFailed(f"{what} with an id that begins with {start}: `{as_typed('jobs')}` lists them")
    return matches[0]


def _list(context: JobContext, limit: int) -> CommandResult:
    jobs = context.records.jobs.list(context.settings.owner, limit=limit)
    rows = [["id", "kind", "status", "character", "made (UTC)", "note"]]
    for job in jobs:
        made = job.created[:16].replace("T", " ")
        rows.append([job.id[:8], job.kind, job.status, _character_name(context, job), made, _note(context, job)])
    say(table(rows) if jobs else f"no jobs yet: {as_typed('train CHARACTER --queue')}")
    return {"jobs": [job.to_json() for job in jobs]}, 0


def _character_name(context: JobContext, job: Job) -> str:
    return context.records.characters.get(job.character).name if job.character else ""


def _note(context: JobContext, job: Job) -> str:
    """Place in the queue, progress or reason, whichever the status calls for."""
    if job.status == "queued":
        return f"place {context.records.jobs.position(job.id)}"
    if job.status in ("running", "stopping"):
        event = context.records.events.latest(job.id)
        step = f" {event.step}/{event.total}" if event and event.total else ""
        return f"{STAGE_NAMES[event.stage]}{step}" if event else ""
    return job.error[:80]


def _show(context: JobContext, job: Job) -> None:
    for label, text in (
        ("job", job.id),
        ("kind", job.kind),
        ("status", job.status),
        ("character", _character_name(context, job)),
        ("made", job.created),
        ("began", job.started),
        ("ended", job.ended),
        ("attempt", str(job.attempt)),
        ("worker", job.worker),
        ("now", _note(context, job) if job.status not in ENDED else ""),
        ("error", job.error),
    ):
        if text:
            say(f"{label:<10} {text}")
    checkpoints = context.records.checkpoints.of_job(job.id)
    if checkpoints:
        best = best_of(context.records, job)
        say(scorecard([one.to_json() for one in checkpoints], best.name if best else ""))
    if job.log_tail:
        say(f"the end of its log:\n{job.log_tail}")
