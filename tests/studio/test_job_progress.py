"""The story of a job is a pure function of its row and its events; the warnings come when they should and only then."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pipelines.core.events import Event
from pipelines.core.jobs.job import Job
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.score_axes import overall, scorecard
from studio.actions import scores
from studio.actions.job_progress import JobProgress, _mean_without_pauses, pace_of, progress_of
from studio.actions.training_warnings import training_warnings
from tests.studio.staged import SCORES, START, run_events
from tests.toys import TOY_BASE, TOY_STEPS

JOB = Job("j", "train", "ada", recipe=Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS).to_json(), status="running")


def timed(events: list[Event], seconds: float = 10.0) -> list[Event]:
    """Numbered, and one every so many seconds."""
    return [
        replace(event, sequence=at, time=(START + at * timedelta(seconds=seconds)).isoformat())
        for at, event in enumerate(events)
    ]


def states(found: JobProgress) -> list[str]:
    return [stage.state for stage in found.stages]


def test_a_queued_job_says_its_place() -> None:
    job = replace(JOB, status="queued")
    assert progress_of(job, [], position=1, workers=1).headline == "Next in the queue"
    third = progress_of(job, [], position=3, workers=1)
    assert third.headline == "Number 3 in the queue" and third.detail.startswith("2 before it")
    assert progress_of(job, [], position=1, workers=0).headline == "Waiting for a worker"
    assert states(third) == ["waiting"] * 3 and third.seconds_left is None


def test_the_stages_fill_up_one_after_the_other() -> None:
    assert states(progress_of(JOB, timed(run_events(0, 0)))) == ["waiting"] * 3
    half = progress_of(JOB, timed(run_events(2, 0)))
    assert states(half) == ["running", "waiting", "waiting"]
    assert half.headline == "Learning the basics" and half.stages[0].fraction == 0.5
    practising = progress_of(JOB, timed(run_events(4, 1)))
    assert states(practising) == ["done", "running", "waiting"]
    assert practising.headline == "Practising with feedback"
    checking = progress_of(JOB, timed(run_events(4, 2, ("base",))))
    assert states(checking) == ["done", "done", "running"]
    done = progress_of(
        replace(JOB, status="succeeded"), timed([*run_events(4, 2, tuple(SCORES)), Event("save", 1, 1, note="x")])
    )
    assert states(done) == ["done"] * 3 and done.seconds_left is None


def test_a_stopped_job_says_where() -> None:
    stopped = progress_of(replace(JOB, status="stopped", cancel="keep"), timed(run_events(2, 0)))
    assert states(stopped) == ["stopped", "waiting", "waiting"] and "kept" in stopped.headline
    failed = progress_of(replace(JOB, status="failed", error="The disk is full."), timed(run_events(1, 0)))
    assert failed.detail == "The disk is full."


def test_what_was_learned_from_votes_is_told() -> None:
    def told(**counts: int) -> str:
        event = Event("grpo", 2, 2, artifacts=("checkpoints/grpo-000002",), payload={"preferences": counts})  # type: ignore[typeddict-item]
        return progress_of(JOB, timed([*run_events(4, 2), event])).preference_words

    assert progress_of(JOB, timed(run_events(4, 2))).preference_words == ""
    assert told(learned=1, held_out=0, agreed=0) == "Learned from 1 vote or correction."
    assert told(learned=32, held_out=8, agreed=6) == (
        "Learned from 32 votes and corrections; of 8 that were kept back it now leans to your choice in 6."
    )


def test_measuring_between_the_stages_neither_ends_practising_nor_goes_on_during_it() -> None:
    between = timed(
        [*run_events(4, 0), Event("evaluate", 2, 5, {"likeness": 0.2}, payload={"checkpoint": "sft-000002"})]
    )
    assert states(progress_of(JOB, between)) == ["done", "waiting", "running"]
    practising = timed([*between, Event("grpo", 1, 2, {"reward": 0.4})])
    told = progress_of(JOB, practising)
    assert states(told) == ["done", "running", "waiting"] and told.stages[2].step == 2
    assert told.scores == {"sft-000002": {"likeness": 0.2}}


def test_a_stage_that_is_not_asked_for_is_left_out() -> None:
    job = replace(JOB, recipe={**(JOB.recipe or {}), "grpo_steps": 0})
    assert states(progress_of(job, timed(run_events(1, 0)))) == ["running", "left_out", "waiting"]


def test_time_left_comes_from_this_run_and_from_earlier_ones() -> None:
    events = timed(run_events(2, 0))
    assert progress_of(JOB, events).stages[0].seconds_left == pytest.approx(20.0)  # two steps of ten seconds
    assert progress_of(JOB, events).seconds_left is None  # nobody knows how long practising takes here
    # 2 x 10 s, 2 x 30 s of practice, 5 states of 5 s to measure.
    assert progress_of(JOB, events, pace={"grpo": 30.0, "evaluate": 5.0}).seconds_left == pytest.approx(20 + 60 + 25)
    later = (START + timedelta(seconds=24)).isoformat()  # four seconds into the third step
    assert progress_of(JOB, events, at=later).stages[0].seconds_left == pytest.approx(16.0)
    much_later = (START + timedelta(seconds=900)).isoformat()
    assert progress_of(JOB, events, at=much_later).stages[0].seconds_left == pytest.approx(10.0)


GUESS = {"prepare": 45.0, "sft": 5.0, "grpo": 50.0, "evaluate": 100.0, "save": 5.0}
LONG = replace(JOB, recipe=Recipe.for_effort(TOY_BASE, "quick", sft_steps=80, grpo_steps=8).to_json())


def words_at(events: list[Event], seconds: float, job: Job = LONG, **more: object) -> str:
    at = (START + timedelta(seconds=seconds)).isoformat()
    return progress_of(job, events, at=at, pace=GUESS, **more).time_words  # type: ignore[arg-type]


def test_a_first_guess_is_called_one_and_never_stands_still() -> None:
    ready = timed([Event("prepare", note="reading the character and the model")])
    first, later = words_at(ready, 10), words_at(ready, 300)
    assert first.startswith("10 seconds so far. Usually about ") and "in all on a quiet machine" in first
    assert "until the first steps are measured" in first and " left" not in first and "busy" not in first
    assert later.startswith("5 minutes so far"), "it moves while nothing else does"
    assert later.endswith(
        "reading the character and the model for 5 minutes, usually less than a minute: perhaps the "
        "machine is busy with something else"
    )
    assert "so the machine is busy" in words_at(ready, 6000), "longer than the whole guess"
    started = replace(LONG, started=START.isoformat())
    assert words_at([], 20, started).startswith("20 seconds so far"), "before the first event too"
    unknown = progress_of(LONG, ready, at=(START + timedelta(seconds=9)).isoformat()).time_words
    assert "how long it takes is known after the first steps" in unknown
    assert progress_of(replace(LONG, status="queued"), []).time_words == ""


def test_after_the_first_steps_what_is_measured_counts_for_all_stages() -> None:
    steps = [Event("sft", step, 80, {"loss": 1.0}) for step in range(1, 7)]
    as_guessed = timed([Event("prepare"), *steps], 5.0)
    states = Recipe.from_json(LONG.recipe or {}).checkpoint_count
    rest = 74 * 5 + 8 * 50 + states * 100
    assert progress_of(LONG, as_guessed, pace=GUESS).seconds_left == pytest.approx(rest)
    assert words_at(as_guessed, 30) == f"about {round(rest / 60)} minutes left"
    busy = timed([Event("prepare"), *steps], 40.0)  # eight times as slow, and so will the other stages be
    assert progress_of(LONG, busy, pace=GUESS).seconds_left == pytest.approx(8 * rest)
    told = words_at(busy, 240)
    assert "hours left, as the latest steps went. On a quiet machine it is " in told and "is busy" in told
    few = timed([Event("prepare"), *steps[:2]], 40.0)
    assert "a first guess" in words_at(few, 80), "two steps tell little"


def test_a_step_that_hangs_says_so() -> None:
    steps = [Event("sft", step, 80, {"loss": 1.0}) for step in range(1, 7)]
    events = timed([Event("prepare"), *steps], 5.0)
    assert "The step at hand" not in words_at(events, 30 + 50)
    assert "The step at hand takes 4 minutes already, usually about 5 seconds" in words_at(events, 30 + 240)


def test_a_resumed_training_guesses_what_is_left_of_it() -> None:
    steps = [Event("sft", step, 80, {"loss": 1.0}) for step in range(1, 61)]
    taken_up = Event("prepare", note="attempt 2 on host", payload={"attempt": 2})
    whole = words_at(timed([Event("prepare")]), 5)
    events = timed([Event("prepare"), *steps, taken_up, Event("prepare", note="reading")], 5.0)
    told = words_at(events, 5 * 62 + 10)
    assert told.startswith("15 seconds so far. Usually about ") and "for what is left of it" in told
    assert told.split("about ")[1].split(" minutes")[0] < whole.split("about ")[1].split(" minutes")[0]
    assert progress_of(LONG, events[:-1]).detail == "", "who took it up is for engineers"


def test_rows_of_words_and_of_pictures_are_told_apart() -> None:
    metrics = [{"loss": 4.0, "loss_words": 4.0}, {"loss": 2.0, "loss_codes": 2.0}, {"loss": 3.0, "loss_words": 3.0}]
    events = [Event("sft", step, 4, one) for step, one in enumerate(metrics, start=1)]
    assert progress_of(JOB, timed(events)).losses == {"loss_words": ((1, 4.0), (3, 3.0)), "loss_codes": ((2, 2.0),)}


def test_the_pace_is_a_mean_that_leaves_pauses_out() -> None:
    assert _mean_without_pauses([12.0, 3.0, 3.0] * 4) == pytest.approx(6.0)  # not the 3 of most steps
    assert _mean_without_pauses([4.0] * 9 + [4000.0]) == pytest.approx((9 * 4 + 12) / 10)
    assert _mean_without_pauses([5.0]) == 5.0


def test_pace_over_the_run() -> None:
    assert pace_of(timed(run_events(4, 2, tuple(SCORES)), 7.0)) == {"sft": 7.0, "grpo": 7.0, "evaluate": 7.0}
    assert pace_of(timed(run_events(1, 0))) == {"sft": 10.0}  # one step alone: what it says itself


def test_repeated_steps_count_once() -> None:
    again = [Event("prepare"), Event("sft", 2, 4, {"loss": 1.5}), Event("sft", 3, 4, {"loss": 1.0})]
    found = progress_of(JOB, timed([*run_events(3, 0), *again]))
    assert found.losses == {"loss": ((1, 6.0), (2, 1.5), (3, 1.0))}
    assert found.resumes == 1


def test_a_worker_that_takes_a_job_up_is_no_resume() -> None:
    begun = Event("prepare", note="attempt 1 on host", payload={"attempt": 1})
    assert progress_of(JOB, timed([begun, *run_events(3, 0)])).resumes == 0


def test_the_same_events_tell_the_same_story() -> None:
    events = timed([*run_events(4, 2, tuple(SCORES)), Event("save", 1, 1, payload={"best": "grpo-000002"})])
    assert progress_of(JOB, events) == progress_of(JOB, list(events))
    assert progress_of(JOB, events).best == "grpo-000002"
    assert progress_of(JOB, events).scores == SCORES
    assert list(progress_of(JOB, events).rewards) == ["reward", "likeness", "reply", "variety"]


def test_a_stage_that_ended_by_itself_is_done_and_says_why() -> None:
    collapsed = Event("grpo", 1, 2, artifacts=("checkpoints/grpo-000001",), payload={"ended_early": "reward_collapsed"})
    found = progress_of(JOB, timed([*run_events(4, 1), collapsed]))
    assert states(found) == ["done", "done", "running"], "its last state is measured now"
    assert [sign.kind for sign in found.warnings] == ["reward_collapsed"] and "at step 1" in found.warnings[0].text
    broken = Event("sft", 3, 4, {"loss": float("nan")})
    ended = Event("sft", 3, 4, payload={"ended_early": "not_a_number"})
    found = progress_of(JOB, timed([*run_events(2, 0), broken, ended]))
    assert states(found) == ["done", "waiting", "running"]
    assert [sign.kind for sign in found.warnings] == ["not_a_number"], "once, in the words of what happened"


# ---------------------------------------------------------------- warnings


def kinds(loss: object = (), rewards: object = None, measured: object = None) -> list[str]:
    return [sign.kind for sign in training_warnings(loss or (), rewards or {}, measured or {})]  # type: ignore[arg-type]


def rising(start: float, by: float, steps: int = 12) -> tuple[tuple[int, float], ...]:
    """A line with a little scatter, always the same."""
    return tuple((at, start + by * at / steps + 0.01 * (-1) ** at) for at in range(1, steps + 1))


def test_a_good_run_has_no_warnings() -> None:
    assert kinds(rising(7, -4, 30), {"reward": rising(0.4, 0.3), "likeness": rising(0.2, 0.2)}, SCORES) == []


def test_reward_that_rises_while_likeness_falls() -> None:
    assert kinds((), {"reward": rising(0.4, 0.3), "likeness": rising(0.6, -0.4)}) == ["reward_without_likeness"]
    assert kinds((), {"reward": rising(0.4, -0.3), "likeness": rising(0.6, -0.4)}) == []
    noisy = tuple((at, 0.5 + 0.3 * (-1) ** (at // 2)) for at in range(1, 13))
    assert kinds((), {"reward": rising(0.4, 0.3), "likeness": noisy}) == []  # scatter is not a fall
    few = {"reward": rising(0.4, 0.3, 4), "likeness": rising(0.6, -0.4, 4)}
    assert kinds((), few) == []


def test_reward_that_rises_while_measured_likeness_falls() -> None:
    measured = {"sft-000004": {"likeness": 0.5}, "grpo-000002": {"likeness": 0.3}}
    assert kinds((), {"reward": ((1, 0.4), (2, 0.6))}, measured) == ["reward_without_likeness"]
    assert kinds((), {"reward": ((1, 0.6), (2, 0.4))}, measured) == []


def test_copying_a_training_picture() -> None:
    assert kinds(measured={**SCORES, "grpo-000002": {**SCORES["grpo-000002"], "training_image_similarity": 0.7}}) == [
        "copying"
    ]


def test_forgetting_plain_conversation() -> None:
    worse = {name: {**one, "general_perplexity": 20.0} for name, one in SCORES.items() if name != "base"}
    assert kinds(measured={"base": SCORES["base"], **worse}) == ["forgets"]
    assert kinds(measured={**SCORES, "grpo-000002": worse["grpo-000002"]}) == []  # the other state is fine


def test_a_loss_that_is_no_number_and_one_that_does_not_fall() -> None:
    assert kinds(((1, 7.0), (2, float("nan")))) == ["not_a_number"]
    assert kinds(rising(5, 1, 40)) == ["does_not_learn"]
    assert kinds(rising(5, 1, 10)) == []  # too early to say


def test_plain_scores() -> None:
    card = {axis.key: axis.value for axis in scorecard(SCORES["grpo-000002"], SCORES["base"])}
    assert card == {
        "likeness": 0.5,
        "voice": pytest.approx(0.7),
        "facts_accuracy": 0.5,
        "image_text_match": pytest.approx(0.5),
        "variety": 0.3,
    }
    assert overall(SCORES["grpo-000002"], SCORES["base"]) == pytest.approx((0.5 + 0.7 + 0.5 + 0.5) / 4)
    assert all(axis.value is None for axis in scorecard({}))
    assert scores.checkpoint_title("base") == "Before training"
    assert scores.checkpoint_title("grpo-000002") == "Practice, step 2"
