"""The progress of a training job: a pure function of its row and its events, so every page shows the same.

`progress_of(job, events, ...)` is called anew each time a page is drawn. A refresh, a second tab or a restarted studio
lose nothing, because nothing is remembered here. Steps that a resumed attempt repeated count once, with their last
values.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from pipelines.core.command_line import as_typed
from pipelines.core.events import EarlyEnd, Event, PreferenceCounts, best_in
from pipelines.core.jobs.job import ENDED, Job
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.score_names import LOSS_NAMES, REWARD_NAMES
from pipelines.core.stage_names import STAGE_NAMES
from studio.actions.stage_at_work import is_over, stage_at_work
from studio.actions.time_left import MEASURED_STEPS, RECENT_S, RunClock, slowed, time_words
from studio.actions.training_warnings import TrainingWarning, training_warnings
from studio.actions.workers import TRAIN_WORKER
from studio.labels import counted

SHOWN_STAGES = ("sft", "grpo", "evaluate")
StageState = Literal["waiting", "running", "done", "left_out", "stopped"]

ABOUT = {
    "sft": "Reading the conversations, facts and pictures again and again until the voice and the face stick.",
    "grpo": "Answering and drawing by itself; what looks and sounds like the character is encouraged.",
    "evaluate": "Measuring every saved state on questions and pictures that training never saw.",
}
"""Stage -> one sentence for people."""

PAUSE = 3.0
"""A gap this many times longer than most is no step's work."""
PACE_STEPS = 9
"""Latest steps whose mean pace gives the remaining time: whole rounds of a row of words and two rows of pictures."""

Pace = Mapping[str, float]
"""Stage -> seconds of one step, taken from earlier runs; a stage that is missing is not known."""


@dataclass(frozen=True)
class StageProgress:
    """One of the stages, as a progress bar."""

    stage: str
    title: str
    about: str
    state: StageState
    step: int
    total: int
    seconds_left: float | None = None
    """While it runs or waits; None while no pace is known."""

    @property
    def fraction(self) -> float:
        """0 to 1."""
        if self.state == "done":
            return 1.0
        return min(1.0, self.step / self.total) if self.total else 0.0


@dataclass(frozen=True)
class JobProgress:
    """Everything the training page shows of one job, pictures and buttons apart."""

    headline: str
    detail: str
    stages: tuple[StageProgress, ...]
    seconds_left: float | None
    """To the very end; None when it is not known."""
    losses: dict[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    """Metric name (`loss_words`, `loss_codes`) -> (step, value) of SFT: a step learns one, the other, or both."""
    rewards: dict[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    """Metric name -> (step, value) of GRPO, `reward` first."""
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    """Checkpoint name -> scores, as they were reported."""
    best: str = ""
    warnings: tuple[TrainingWarning, ...] = ()
    resumes: int = 0
    """How often the job was taken up again."""
    time_words: str = ""
    """How long it takes still, and what it waits for; "" unless it runs."""
    preferences: PreferenceCounts | None = None
    """What the newest checkpoint has learned from votes and corrections; None where there were none."""

    @property
    def preference_words(self) -> str:
        """The same in a sentence; "" where there were none."""
        if self.preferences is None:
            return ""
        learned, held_out = self.preferences["learned"], self.preferences["held_out"]
        said = f"Learned from {counted(learned, 'vote or correction', 'votes and corrections')}"
        if not held_out:
            return f"{said}."
        return f"{said}; of {held_out} that were kept back it now leans to your choice in {self.preferences['agreed']}."


def progress_of(
    job: Job,
    events: Sequence[Event],
    *,
    position: int | None = None,
    workers: int | None = None,
    pace: Pace | None = None,
    at: str = "",
    measured: Mapping[str, Mapping[str, float]] | None = None,
) -> JobProgress:
    """The progress so far. `position` is the place in the queue, `workers` how many can take the job (None: not asked).

    `at` is the time to reckon with (UTC, ISO 8601); without it the time of the last event. `measured` are scores by
    checkpoint that are newer than those of the events.
    """
    stages, left = _stages(job, events, pace or {}, at)
    scores = {event.payload["checkpoint"]: dict(event.metrics) for event in events if "checkpoint" in event.payload}
    scores |= {name: dict(one) for name, one in (measured or {}).items()}
    rewards = _rewards(events)
    loss = _series(events, "sft", "loss")
    parts = {name: _series(events, "sft", name) for name in LOSS_NAMES if name != "loss"}
    headline, detail = _headline(job, events, position, workers)
    return JobProgress(
        headline,
        detail,
        stages,
        left,
        {name: series for name, series in parts.items() if series} or ({"loss": loss} if loss else {}),
        rewards,
        scores,
        best_in(events),
        training_warnings(loss, rewards, scores, _ended_early(events)),
        _resumes(events),
        time_words(_clock(job, events, stages, pace or {}, left, at)) if job.status == "running" else "",
        next((event.payload["preferences"] for event in reversed(events) if "preferences" in event.payload), None),
    )


def _recipe(job: Job) -> Recipe:
    return Recipe.from_json(job.recipe) if job.recipe else Recipe()


def _stages(
    job: Job, events: Sequence[Event], guessed: Pace, at: str
) -> tuple[tuple[StageProgress, ...], float | None]:
    """The stages, and the seconds left of all together; None where those of one are not known."""
    attempt = _last_attempt(events)
    known = slowed(guessed, _own_pace(attempt))
    stages = tuple(_stage(stage, job, events, attempt, known, at) for stage in SHOWN_STAGES)
    open_stages = [stage for stage in stages if stage.state in ("waiting", "running")]
    if job.status != "running" or any(stage.seconds_left is None for stage in open_stages):
        return stages, None
    return stages, sum(stage.seconds_left or 0.0 for stage in open_stages)


def _clock(
    job: Job, events: Sequence[Event], stages: Sequence[StageProgress], guessed: Pace, left: float | None, at: str
) -> RunClock:
    attempt = _last_attempt(events)
    first = len(events) - len(attempt)
    while first and events[first - 1].stage == "prepare" and "attempt" not in events[first].payload:
        first -= 1  # the worker fetches the character before the trainer begins
    begun = events[first].time if attempt else job.started
    last = attempt[-1] if attempt else None
    at = at or (last.time if last else begun)
    before = [event for event in events[:first] if event.stage != "prepare"]
    guess: float | None = guessed.get("prepare", 0.0) + guessed.get("save", 0.0)
    for stage in stages:
        # What earlier attempts did is done.
        rest = stage.total - max((event.step for event in before if event.stage == stage.stage), default=0)
        if stage.state != "left_out" and rest > 0:
            guess = None if guess is None or stage.stage not in guessed else guess + guessed[stage.stage] * rest
    at_work = _at_work(events, attempt, _recipe(job))
    return RunClock(
        _seconds_between(begun, at),
        _seconds_between(last.time if last else begun, at),
        guess,
        left,
        _measured_steps(attempt),
        slowed(guessed, _own_pace(attempt)).get(at_work),
        "" if at_work else _doing(last),
        bool(before),
        at_work,
        _left_recently(job, events, begun, guessed, at),
    )


def _at_work(events: Sequence[Event], attempt: Sequence[Event], recipe: Recipe) -> str:
    """The stage at work; "" while an attempt gets ready, which one that goes on with measuring does not do for long."""
    stage = stage_at_work(events, recipe)
    is_ready = bool(attempt) and attempt[-1].stage != "prepare"
    return stage if is_ready or stage == "evaluate" else ""


def _measured_steps(attempt: Sequence[Event]) -> int:
    return sum(bool(event.metrics) for event in attempt if event.stage in ("sft", "grpo"))


def _left_recently(job: Job, events: Sequence[Event], begun: str, guessed: Pace, at: str) -> float | None:
    """What was left RECENT_S ago by the steps until then; None where too few were measured, or nobody knew."""
    if _seconds_between(begun, at) < RECENT_S:
        return None
    then = (datetime.fromisoformat(at) - timedelta(seconds=RECENT_S)).isoformat()
    until = [event for event in events if _seconds_between(event.time, then) >= 0]
    return _stages(job, until, guessed, then)[1] if _measured_steps(_last_attempt(until)) >= MEASURED_STEPS else None


def _doing(last: Event | None) -> str:
    """What happens before the first stage; the worker's own note says who took the job up."""
    return last.note if last is not None and last.note and "attempt" not in last.payload else "getting ready"


def _ended_early(events: Sequence[Event]) -> dict[EarlyEnd, int]:
    return {event.payload["ended_early"]: event.step for event in events if "ended_early" in event.payload}


def _begins_a_run(event: Event) -> bool:
    # A worker that takes the job up notes a `prepare` of its own before the trainer's.
    return event.stage == "prepare" and not event.step and "attempt" not in event.payload


def _resumes(events: Sequence[Event]) -> int:
    # A trainer that was killed before its first event was taken up all the same; 0.1 noted no attempts.
    attempts = {event.payload["attempt"] for event in events if "attempt" in event.payload}
    return max(0, len(attempts) - 1, sum(_begins_a_run(event) for event in events) - 1)


def pace_of(events: Sequence[Event]) -> dict[str, float]:
    """Seconds of one step of each stage in a run, all its attempts together; stages that did not run are left out."""
    return {stage: value for stage in SHOWN_STAGES if (value := _pace(events, stage, len(events))) is not None}


def _own_pace(attempt: Sequence[Event]) -> dict[str, float]:
    """Of this attempt and its latest steps only, since the load of a machine changes."""
    return {stage: value for stage in SHOWN_STAGES if (value := _pace(attempt, stage, PACE_STEPS)) is not None}


def _pace(events: Sequence[Event], stage: str, most: int) -> float | None:
    gaps = []
    for before, after in itertools.pairwise(events):
        # A checkpoint is measured right behind the stage that made it; other stages load their model first.
        follows = before.stage == stage or (stage == "evaluate" and before.stage in ("sft", "grpo"))
        if after.stage == stage and after.metrics and follows:
            gaps.append(max(0.0, _seconds_between(before.time, after.time)))
    # The first step of a stage includes loading the model; used only while there is no other.
    first = [event.metrics["seconds"] for event in events if event.stage == stage and "seconds" in event.metrics]
    return _mean_without_pauses(gaps[-most:] or first[-1:]) if gaps or first else None


def _mean_without_pauses(gaps: Sequence[float]) -> float:
    """The mean, no gap counting more than PAUSE times the upper quartile: rows of words take four times as long as rows
    of pictures, so a median would promise too much, and a machine that slept would promise too little."""
    limit = PAUSE * (statistics.quantiles(gaps, n=4, method="inclusive")[2] if len(gaps) > 1 else gaps[0])
    return statistics.fmean(min(gap, limit) for gap in gaps)


def _stage(
    stage: str, job: Job, events: Sequence[Event], attempt: Sequence[Event], pace: Pace, at: str
) -> StageProgress:
    recipe = _recipe(job)
    own = [event for event in events if event.stage == stage]
    planned = {"sft": recipe.sft_steps, "grpo": recipe.grpo_steps, "evaluate": recipe.checkpoint_count}[stage]
    total = own[-1].total if own and own[-1].total else planned
    step = own[-1].step if own else 0
    state = _state(stage, job, events, planned, step, total)
    left = None
    if state in ("waiting", "running") and stage in pace:
        left = pace[stage] * max(0, total - step)
        if at and stage == _at_work(events, attempt, recipe):
            # Less the time since the last event, at most one step.
            left -= min(pace[stage], max(0.0, _seconds_between(attempt[-1].time, at)))
        left = max(0.0, left)
    shown = total if state == "done" else step
    return StageProgress(stage, STAGE_NAMES[stage], ABOUT[stage], state, shown, total, left)


def _state(stage: str, job: Job, events: Sequence[Event], planned: int, step: int, total: int) -> StageState:
    reached = any(event.stage == stage for event in events)
    if planned == 0 and not reached:
        return "left_out"
    at_work = stage_at_work(events, _recipe(job))
    # Checkpoints are measured after each of the two stages, so the order of stages alone does not say what is over.
    over = at_work == "save" or is_over(events, stage) or (stage == "sft" and reached and at_work != "sft")
    if job.status == "succeeded" or over:
        return "done"
    if job.status in ENDED:
        return "stopped" if reached else "waiting"
    return "running" if stage == at_work and job.status != "queued" else "waiting"


def _headline(job: Job, events: Sequence[Event], position: int | None, workers: int | None) -> tuple[str, str]:
    if job.status == "queued":
        if workers == 0:
            start = as_typed(TRAIN_WORKER)
            return "Waiting for a worker", f"No worker is running. Start one with `{start}`; the job waits for it."
        if position is None or position <= 1:
            return "Next in the queue", "It starts as soon as a worker is free."
        return f"Number {position} in the queue", f"{position - 1} before it. It starts as soon as a worker is free."
    if job.status == "running":
        last = next((event for event in reversed(events) if event.stage in STAGE_NAMES), None)
        stage = _at_work(events, _last_attempt(events), _recipe(job)) or "prepare"
        is_of_stage = last is not None and last.stage in (stage, "prepare")
        # Who took it up is for engineers, and a note on the stage before says nothing of this one.
        return STAGE_NAMES[stage], last.note if last and is_of_stage and "attempt" not in last.payload else ""
    if job.status == "stopping":
        kept = "What is learnt so far is kept." if job.cancel == "keep" else "What it learnt is thrown away."
        return "Stopping", f"The step at hand is finished first. {kept}"
    if job.status == "succeeded":
        return "Done", "Every saved state can be talked with on the Compare page."
    if job.status == "stopped":
        if job.cancel == "discard":
            return "Stopped and discarded", "What it learnt is gone. It can be started again from the beginning."
        usable = "What is saved so far can be used, and training can go on from there."
        return "Stopped and kept", f"{job.error} {usable}" if job.error else usable
    return "Something went wrong", job.error or "The job ended without saying why. The log below may tell."


def _rewards(events: Sequence[Event]) -> dict[str, tuple[tuple[int, float], ...]]:
    found = {name: _series(events, "grpo", name) for name in REWARD_NAMES}
    return {name: series for name, series in found.items() if series}


def _series(events: Sequence[Event], stage: str, name: str) -> tuple[tuple[int, float], ...]:
    """(step, value), each step once: of a step repeated after a resume the last value counts."""
    values = {event.step: event.metrics[name] for event in events if event.stage == stage and name in event.metrics}
    return tuple(sorted(values.items()))


def _last_attempt(events: Sequence[Event]) -> Sequence[Event]:
    starts = [number for number, event in enumerate(events) if event.stage == "prepare"]
    return events[starts[-1] :] if starts else events


def _seconds_between(earlier: str, later: str) -> float:
    if not earlier or not later:
        return 0.0
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
