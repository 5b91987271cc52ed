"""How long a training takes: from trainings that ran here, else from the paces that ship with the program.

`known_pace` is what the countdown of a running training begins with, and what is called its time on a quiet machine;
its own steps take over as they come, and never count as such a time.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipelines.core.events import Event
from pipelines.core.jobs.durations import (
    LONGEST_STEP_S,
    Pace,
    evaluate_seconds,
    planned_seconds,
    shipped_pace,
    working_seconds,
)
from pipelines.core.jobs.job import ENDED, Job, JobStatus
from pipelines.core.jobs.recipe import Recipe
from studio.actions.job_progress import pace_of
from studio.actions.run_log import RunLog
from studio.actions.workers import live_workers
from studio.context import AppContext
from studio.labels import counted, time_range

PAST_RUNS = 5
"""Latest runs whose pace counts."""
SAME_RUNS = 20
"""Finished runs of the same length whose whole duration counts."""
PARTIAL: tuple[JobStatus, ...] = ("running", "stopping", "stopped", "failed")
FEWEST_STEPS = 6
"""Steps after which a run that is not finished counts: rows of words and of pictures are among them."""
OWN_SPREAD, SHIPPED_SPREAD = 1.5, 2.0
"""A time from other runs here, and from the shipped paces, is told as a range from 1/spread to spread of it."""


@dataclass(frozen=True)
class Estimate:
    """How long a training may take on this system."""

    words: str
    """A range of time, or that it is not known yet."""
    low_s: float = 0.0
    high_s: float = 0.0
    runs: int = 0
    """Runs that it is taken from; 0 for a shipped pace, or no estimate."""


def estimate(context: AppContext, recipe: Recipe) -> Estimate:
    """How long such a training takes: as such trainings took here; else reckoned stage by stage from the pace of others
    that ran here, and of what never ran here from the paces that ship with the program; else honestly nothing."""
    same = _whole_durations(context, recipe)
    if same:
        low, high = _range(same)
        told = f"{time_range(low, high)}, as {counted(len(same), 'such training')} took here"
        return Estimate(told, low, high, len(same))
    pace, past = _pace_here(context, recipe)
    seconds = planned_seconds(recipe, pace)
    if math.isnan(seconds):
        return Estimate("nobody knows yet: this will be the first training with this base model here")
    if past:
        low, high = seconds / OWN_SPREAD, seconds * OWN_SPREAD
        told = f"roughly {time_range(low, high)}, reckoned from {_which(past)}"
        return Estimate(told, low, high, len(past))
    low, high = seconds / SHIPPED_SPREAD, seconds * SHIPPED_SPREAD
    told = (
        f"{time_range(low, high)}, as measured elsewhere{_on_what(context)}; the first training here will tell better"
    )
    return Estimate(told, low, high)


def _which(past: Sequence[Job]) -> str:
    """The trainings of an estimate; one that still runs is called so, since nobody knows yet how long it takes."""
    running = sum(job.status not in ENDED for job in past)
    if running == len(past):
        return "the training that runs here just now" if running == 1 else f"{running} trainings that run here just now"
    still = f", {running} of which {'runs' if running == 1 else 'run'} still" if running else ""
    return f"{counted(len(past), 'training')} that ran here{still}"


def known_pace(context: AppContext, recipe: Recipe, but: str = "") -> Pace:
    """Seconds of a step of each stage, as far as anybody knows: from runs here, else as shipped.

    Where whole runs of this length are known their sum lies within what `estimate` says of them. `but`: id of the
    training that asks, whose own pace is that of this hour.
    """
    pace, _ = _pace_here(context, recipe, but)
    same, seconds = _whole_durations(context, recipe), planned_seconds(recipe, pace)
    if not same or math.isnan(seconds):
        return pace
    low, high = _range(same)
    return {stage: each * min(max(seconds, low), high) / seconds for stage, each in pace.items()}


def past_pace(context: AppContext, recipe: Recipe, but: str = "") -> tuple[dict[str, float], int]:
    """Seconds of a step of each stage in the latest runs on the same base model, and how many runs they are.

    The time of a GRPO step is scaled by how many replies it samples, that of measuring by its cases. Of two middle
    paces the faster counts, since other work on a machine only ever slows one down. Where none is finished, a run that
    was stopped, failed or is still under way says something of this machine too, once it has some steps.
    """
    pace, past = _past(context, recipe, but)
    return pace, len(past)


def _past(context: AppContext, recipe: Recipe, but: str) -> tuple[dict[str, float], list[Job]]:
    found: dict[str, list[float]] = {}
    logs = _past_logs(context, recipe.base, but)
    for job, log in logs:
        theirs = Recipe.from_json(job.recipe or {})
        ratios = {
            "grpo": (recipe.grpo_prompts_per_step * recipe.grpo_group_size)
            / (theirs.grpo_prompts_per_step * theirs.grpo_group_size),
            "evaluate": evaluate_seconds(recipe.effort) / evaluate_seconds(theirs.effort),
        }
        for stage, seconds in pace_of(log).items():
            found.setdefault(stage, []).append(seconds * ratios.get(stage, 1.0))
    return {stage: statistics.median_low(values) for stage, values in found.items()}, [job for job, _ in logs]


def _past_logs(context: AppContext, base: str, but: str) -> list[tuple[Job, Sequence[Event]]]:
    """The latest finished runs on a base model with their events; where there are none, those that came some way."""
    finished = [job for job in _finished(context) if (job.recipe or {}).get("base") == base]
    if finished:
        return [(job, RunLog(job.id).read_new(context.records)) for job in finished[:PAST_RUNS]]
    there = context.records.jobs.list(owner=None, kind="train", statuses=PARTIAL, limit=10 * SAME_RUNS)
    partial = [job for job in there if (job.recipe or {}).get("base") == base and job.id != but][: 2 * PAST_RUNS]
    logs = [(job, RunLog(job.id).read_new(context.records)) for job in partial]
    some_way = [(job, log) for job, log in logs if sum(one.stage in ("sft", "grpo") for one in log) >= FEWEST_STEPS]
    return some_way[:PAST_RUNS]


def _pace_here(context: AppContext, recipe: Recipe, but: str = "") -> tuple[dict[str, float], list[Job]]:
    """The pace, and the runs here that it is taken from: none where it is as shipped, or not known."""
    (own, past), shipped = _past(context, recipe, but), _shipped(context, recipe)
    if past and not own:  # their steps are not known, but how long they took in all
        factor = _correction(context, recipe)
        return {stage: seconds * factor for stage, seconds in shipped.items()}, past
    return {**shipped, **own}, past


def _range(same: Sequence[float]) -> tuple[float, float]:
    """What is told of the durations of such runs: few of them say little about the next."""
    low, high = min(same), max(same)
    return (low, high) if len(same) >= 3 else (0.8 * low, 1.25 * high)


def _whole_durations(context: AppContext, recipe: Recipe) -> list[float]:
    """Seconds of the latest finished runs of the same base model and steps."""
    lengths = ("base", "sft_steps", "grpo_steps")
    wanted = [recipe.to_json()[name] for name in lengths]
    alike = [job for job in _finished(context) if [(job.recipe or {}).get(name) for name in lengths] == wanted]
    return [seconds for job in alike if (seconds := _took(context, job))][:SAME_RUNS]


def _correction(context: AppContext, recipe: Recipe) -> float:
    """How much longer finished runs on the same base model took here than the shipped pace says; 1 without any."""
    ratios = []
    for job in _finished(context):
        if (job.recipe or {}).get("base") == recipe.base and (seconds := _took(context, job)):
            theirs = Recipe.from_json(job.recipe or {})
            ratios.append(seconds / planned_seconds(theirs, _shipped(context, theirs)))
    return statistics.median(ratios[:PAST_RUNS]) if ratios else 1.0


def _took(context: AppContext, job: Job) -> float:
    """Seconds of a finished run; 0 for one that was resumed, since its start is overwritten.

    Where the clock was set meanwhile its events tell, each of which is near the one before.
    """
    if job.attempt != 1 or not job.started or not job.ended:
        return 0.0
    whole = (datetime.fromisoformat(job.ended) - datetime.fromisoformat(job.started)).total_seconds()
    if 0 < whole <= LONGEST_STEP_S:
        return whole
    times = [job.started, *(event.time for event in RunLog(job.id).read_new(context.records)), job.ended]
    return sum(working_seconds(before, after) for before, after in itertools.pairwise(times))


def _finished(context: AppContext) -> list[Job]:
    return context.records.jobs.list(owner=None, kind="train", statuses=["succeeded"], limit=10 * SAME_RUNS)


def _shipped(context: AppContext, recipe: Recipe) -> dict[str, float]:
    workers = live_workers(context, "train")
    cores = max((worker.cores for worker in workers), default=0)
    return shipped_pace(recipe, cores, any(worker.gpu for worker in workers))


def _on_what(context: AppContext) -> str:
    cores = max((worker.cores for worker in live_workers(context, "train")), default=0)
    return f" and reckoned for {counted(cores, 'core')}" if cores else ""
