"""The time left of a training agrees with what was promised for it, and never stands still without a reason."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from pipelines.core.events import Event, Payload
from pipelines.core.jobs.case_counts import CASES
from pipelines.core.jobs.durations import evaluate_seconds, planned_seconds, shipped_pace
from pipelines.core.jobs.job import Job, new_id
from pipelines.core.jobs.recipe import Recipe
from studio.actions import characters, create, estimates
from studio.actions.job_progress import JobProgress, pace_of, progress_of
from studio.actions.stage_at_work import stage_at_work
from studio.context import AppContext
from tests.studio import staged
from tests.studio.staged import START

QUICK = Recipe.for_effort("starter", "quick")
QUIET = {"prepare": 15.0, "sft": 3.5, "grpo": 43.0, "evaluate": 40.0, "save": 5.0}


def trainer_events(recipe: Recipe = QUICK, slower: float = 1.0) -> list[Event]:
    """A whole run as the worker and the trainer tell it, every stage at the pace of QUIET times `slower`."""
    found: list[Event] = []
    seconds = 0.0

    def tell(took: float, event: Event) -> None:
        nonlocal seconds
        seconds += took * slower
        time = (START + timedelta(seconds=seconds)).isoformat(timespec="microseconds")
        found.append(replace(event, sequence=len(found), time=time))

    def train(stage: str, steps: int, every: int, metrics: dict[str, float]) -> list[str]:
        saved = []
        for step in range(1, steps + 1):
            tell(QUIET[stage], Event(stage, step, steps, {**metrics, "seconds": QUIET[stage] * slower}))  # type: ignore[arg-type]
            if step % every == 0 or step == steps:
                saved.append(f"{stage}-{step:06d}")
                path = f"checkpoints/{saved[-1]}"
                tell(0.2, Event(stage, step, steps, note=f"checkpoint {saved[-1]}", artifacts=(path,)))  # type: ignore[arg-type]
        return saved

    def evaluate(names: list[str], first: int) -> None:
        for number, name in enumerate(names, start=first):
            files = (f"checkpoints/{name}/samples/01.png", f"checkpoints/{name}/scores.json")
            shown = Payload(checkpoint=name)
            tell(
                QUIET["evaluate"],
                Event("evaluate", number, recipe.checkpoint_count, {"likeness": 0.3}, name, files, payload=shown),
            )

    tell(0.0, Event("prepare", note="attempt 1 on host", payload=Payload(attempt=1)))
    tell(1.0, Event("prepare", note="reading the character and the model"))
    tell(QUIET["prepare"], Event("sft", 1, recipe.sft_steps, {"loss_words": 5.0, "seconds": QUIET["sft"]}))
    found.pop()  # reading it takes its time before the first step
    basics = ["base", *train("sft", recipe.sft_steps, recipe.sft_save_every, {"loss_words": 4.0})]
    evaluate(basics, 1)
    practice = train("grpo", recipe.grpo_steps, recipe.grpo_save_every, {"reward": 0.5})
    evaluate(practice, 1 + len(basics))
    for step in (0, 1):
        tell(0.0, Event("save", step, 1, note="the best", payload=Payload(best="grpo-000003", best_faults=[])))
    return found


def seconds_of(event: Event) -> float:
    return (datetime.fromisoformat(event.time) - START).total_seconds()


def shown_at(
    events: list[Event], seconds: float, pace: dict[str, float] = QUIET, recipe: Recipe = QUICK
) -> JobProgress:
    job = Job("j", "train", "ada", recipe=recipe.to_json(), status="running", started=START.isoformat())
    until = [event for event in events if seconds_of(event) <= seconds]
    return progress_of(job, until, pace=pace, at=(START + timedelta(seconds=seconds)).isoformat())


def ran(context: AppContext, events: list[Event], ended: bool = False) -> Job:
    """A training with these events, under way, or over and as long as they took."""
    id = characters.try_bundled(context, "quibb")
    version = create.start(context, id, "quick", "starter").version
    job = Job(new_id(), "train", context.owner, id, version, recipe=QUICK.to_json())
    if ended:
        job = replace(job, status="succeeded", attempt=1, started=START.isoformat(), ended=events[-1].time)
    job = context.records.jobs.add(job)
    job = job if ended else staged.claimed(context, job)
    staged.told(context, job, events)
    return job


# ---------------------------------------------------------------- what is at work


def test_what_follows_from_the_last_event_is_at_work() -> None:
    events = trainer_events()
    at = {(event.stage, event.step, bool(event.artifacts)): place for place, event in enumerate(events, start=1)}

    def after(stage: str, step: int, has_files: bool = True) -> str:
        return stage_at_work(events[: at[stage, step, has_files]], QUICK)

    assert stage_at_work(events[:2], QUICK) == "" and after("sft", 83, False) == "sft"
    assert after("sft", 84) == after("evaluate", 1) == "evaluate", "the base, then what the basics taught"
    assert after("evaluate", 2) == after("grpo", 2, False) == "grpo"
    assert after("grpo", 3) == "evaluate" and after("evaluate", 3) == "save"


def test_a_stage_that_ended_early_is_measured_and_then_the_next_begins() -> None:
    standard = Recipe.for_effort("starter", "standard")
    ended = Event("sft", 50, 168, artifacts=("checkpoints/sft-000050",), payload={"ended_early": "not_a_number"})
    steps = [Event("prepare"), Event("sft", 50, 168, {"loss": 1.0}), ended]
    base, own = (
        Event("evaluate", number, 5, {"likeness": 0.3}, payload=Payload(checkpoint=name))
        for number, name in enumerate(("base", "sft-000050"), start=1)
    )
    assert stage_at_work(steps, standard) == stage_at_work([*steps, base], standard) == "evaluate"
    assert stage_at_work([*steps, base, own], standard) == "grpo", "none of the others will come"
    assert stage_at_work([*steps, base, own], replace(standard, grpo_steps=0)) == "save"
    taken_up = [*steps, base, Event("prepare", note="reading")]
    assert shown_at(staged_in_time(taken_up), 60, recipe=standard).headline == "Checking", "it goes on with measuring"


def staged_in_time(events: list[Event]) -> list[Event]:
    return [replace(event, time=(START + timedelta(seconds=at)).isoformat()) for at, event in enumerate(events)]


# ---------------------------------------------------------------- counting down


def test_the_time_left_falls_all_the_way_on_a_quiet_machine() -> None:
    events = trainer_events()
    end = seconds_of(events[-1])
    lefts = [shown_at(events, at).seconds_left for at in range(20, int(end), 5)]
    assert all(left is not None for left in lefts)
    falls = [before - after for before, after in itertools.pairwise(lefts)]  # type: ignore[operator]
    assert min(falls) > 0.5, "also while a state is measured and while practice begins"
    told = [shown_at(events, at).time_words for at in range(20, int(end), 5)]
    assert not any("busy" in words or "longer" in words or "a moment more" in words for words in told)


@pytest.mark.parametrize("last", [("sft", 84), ("evaluate", 1), ("grpo", 3)])
def test_a_check_counts_down_by_the_clock_and_then_says_that_it_takes_longer(last: tuple[str, int]) -> None:
    events = trainer_events()
    place = max(at for at, event in enumerate(events) if (event.stage, event.step) == last)
    events, begun = events[: place + 1], seconds_of(events[place])
    first, later, over, long_over = (shown_at(events, begun + at) for at in (5, 35, 45, 150))
    assert first.headline == "Checking" and first.stages[2].state == "running"
    assert first.seconds_left and later.seconds_left == pytest.approx(first.seconds_left - 30)
    assert over.time_words.endswith("The check at hand takes a moment more than expected")
    assert "The check at hand takes 2 minutes already, usually about 40 seconds" in long_over.time_words
    if last == ("grpo", 3):
        assert first.time_words == "about 35 seconds left" and later.time_words == "about 5 seconds left"
        assert over.time_words.startswith("nearly done. ")


def test_when_all_is_measured_it_is_nearly_done() -> None:
    shown = shown_at(trainer_events(), seconds_of(trainer_events()[-1]) + 10)
    assert shown.time_words == "nearly done" and shown.headline == "Finishing"


def test_a_time_that_does_not_fall_says_why_below_twice_the_guess_too() -> None:
    events = trainer_events()
    slower = []
    for event in events:
        at = seconds_of(event)
        late = at if at < 100 else 100 + 1.7 * (at - 100)  # from then on at load
        slower.append(replace(event, time=(START + timedelta(seconds=late)).isoformat()))
    shown = shown_at(slower, 230)
    assert "quiet machine" not in shown.time_words
    assert shown.time_words.endswith(" left, as the latest steps went: they took longer than was expected of them")
    assert shown_at(slower, 90).time_words.endswith(" left")


# ---------------------------------------------------------------- what a quiet machine takes


def test_a_training_under_load_is_measured_by_those_before_it(context: AppContext) -> None:
    ran(context, trainer_events(), ended=True)
    second = trainer_events(slower=10)[:60]
    job = ran(context, second)
    pace = estimates.known_pace(context, QUICK, but=job.id)
    before, _ = estimates.past_pace(context, QUICK)
    assert before["sft"] == pytest.approx(3.5) and before["evaluate"] == pytest.approx(40.0)
    words = shown_at(second, seconds_of(second[-1]), dict(pace)).time_words
    assert "On a quiet machine it is 9 minutes in all: the machine is busy" in words
    context.records.jobs.finish(job.id, staged.WORKER, job.attempt, "stopped")
    assert estimates.known_pace(context, QUICK) == pace, "what was stopped under load changes nothing either"


def test_the_first_training_here_is_measured_by_what_is_shipped(context: AppContext) -> None:
    shipped = estimates.known_pace(context, QUICK)
    job = ran(context, trainer_events(slower=10)[:60])
    assert estimates.known_pace(context, QUICK, but=job.id) == shipped
    assert estimates.known_pace(context, QUICK)["sft"] == pytest.approx(35.0), "for the next it is better than nothing"


@pytest.mark.parametrize("took", [[627], [627, 3600], [500, 520, 540]])
def test_step_four_and_the_training_page_agree(context: AppContext, took: list[int]) -> None:
    usual = seconds_of(trainer_events()[-1])
    for seconds in took:
        ran(context, trainer_events(slower=seconds / usual), ended=True)
    told = estimates.estimate(context, QUICK)
    running = ran(context, trainer_events(slower=8)[:50])
    seconds = planned_seconds(QUICK, estimates.known_pace(context, QUICK, but=running.id))
    assert told.runs == len(took) and told.low_s - 1 <= seconds <= told.high_s + 1


# ---------------------------------------------------------------- efforts


def test_measuring_takes_longer_where_more_is_drawn_and_asked(context: AppContext) -> None:
    quick, standard = evaluate_seconds("quick"), evaluate_seconds("standard")
    assert CASES["standard"].drawings > CASES["quick"].drawings and quick == 40 and 80 < standard < 120
    recipe = Recipe.for_effort("starter", "standard")
    assert shipped_pace(recipe, 2, False)["evaluate"] == pytest.approx(standard)
    ran(context, trainer_events(), ended=True)
    pace, _ = estimates.past_pace(context, recipe)
    assert pace["evaluate"] == pytest.approx(standard), "scaled from a quick training here"
    assert pace["grpo"] == pytest.approx(43 * 16 / 12)


def test_the_first_check_behind_a_stage_counts_for_the_pace() -> None:
    assert pace_of(trainer_events())["evaluate"] == pytest.approx(40.0)
    one = [event for event in trainer_events() if event.stage != "evaluate" or event.step == 1]
    assert pace_of(one)["evaluate"] == pytest.approx(40.0)
