"""Measuring a training again: queued once, followed, told in words, and the scores on the page are the new ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.core.events import Event
from pipelines.core.jobs.job import Job, RecordMissing
from studio.actions import evaluations, training_jobs
from studio.actions.evaluations import EvaluationView
from studio.context import AppContext
from tests.studio import staged

APP = Path(__file__).resolve().parents[2] / "studio" / "navigation.py"


@pytest.fixture
def trained(context: AppContext, tmp_path: Path) -> Job:
    return staged.trained(context, staged.published(context, tmp_path / "ada"))


def view(context: AppContext, training: Job) -> EvaluationView:
    found = evaluations.evaluation_view(context, training)
    assert found is not None
    return found


def test_it_is_queued_once_and_followed(context: AppContext, trained: Job) -> None:
    assert evaluations.evaluation_view(context, trained) is None
    asked = evaluations.measure_again(context, trained.id)
    assert asked.kind == "evaluate" and asked.request == {"job": trained.id, "checkpoints": []}
    assert asked.version == trained.version and asked.parent == trained.id
    assert "No worker is running" in view(context, trained).words
    staged.alive(context)
    assert "until a worker is free" in view(context, trained).words
    with pytest.raises(ValueError, match="being measured already"):
        evaluations.measure_again(context, trained.id)
    job = staged.claimed(context, asked)
    assert "loading the model" in view(context, trained).words
    staged.told(context, job, [Event("prepare"), Event("evaluate", 1, 3, staged.SCORES["base"], "base")])
    running = view(context, trained)
    assert "1 of 3 saved states" in running.words and running.fraction == pytest.approx(1 / 3) and not running.is_over
    assert context.records.jobs.finish(job.id, staged.WORKER, job.attempt, "succeeded")
    assert view(context, trained).is_over and "Measured again just now" in view(context, trained).words
    assert evaluations.measure_again(context, trained.id).id != asked.id  # and once more


def test_what_cannot_be_measured_says_why(context: AppContext, tmp_path: Path) -> None:
    character = staged.published(context, tmp_path / "ada")
    running = staged.claimed(context, staged.queued(context, character))
    staged.checkpoint(context, running, "sft-000004")
    with pytest.raises(ValueError, match="not over yet"):
        evaluations.measure_again(context, running.id)
    empty = training_jobs.stop(context, staged.queued(context, character).id, "keep")
    staged.checkpoint(context, empty, "base")
    with pytest.raises(ValueError, match="no saved state yet"):
        evaluations.measure_again(context, empty.id)
    with pytest.raises(RecordMissing):
        evaluations.measure_again(context, "0" * 32)
    with pytest.raises(ValueError, match="nothing is being measured"):
        evaluations.stop_measuring(context, empty.id)


def test_a_failure_keeps_its_reason_and_a_stop_what_is_done(context: AppContext, trained: Job) -> None:
    job = staged.claimed(context, evaluations.measure_again(context, trained.id))
    assert context.records.jobs.finish(job.id, staged.WORKER, job.attempt, "failed", error="The disk is full.")
    failed = view(context, trained)
    assert failed.job.error == "The disk is full." and "The scores are as they were." in failed.words
    waiting = evaluations.measure_again(context, trained.id)
    assert evaluations.stop_measuring(context, trained.id).id == waiting.id
    assert "was stopped" in view(context, trained).words
    assert context.records.checkpoints.get(trained.id, "grpo-000002").scores == staged.SCORES["grpo-000002"]


def test_evaluations_of_other_trainings_do_not_count(context: AppContext, trained: Job) -> None:
    other = staged.trained(context, trained.character)
    evaluations.measure_again(context, other.id)
    assert evaluations.evaluation_view(context, trained) is None
    assert evaluations.why_not_measurable(context, trained) == ""


def test_warnings_follow_the_new_scores(context: AppContext, trained: Job) -> None:
    copied = {**staged.SCORES["grpo-000002"], "training_image_similarity": 0.9}
    kept = context.records.checkpoints.get(trained.id, "grpo-000002")
    context.records.checkpoints.put(replace(kept, scores=copied))
    shown = training_jobs.job_view(context, trained.id, training_jobs.RunLog(trained.id))
    assert [one.kind for one in shown.progress.warnings] == ["copying"]


# ---------------------------------------------------------------- the page


def labelled(page: AppTest, label: str) -> Any:
    return next((one for one in page.button if one.label == label), None)


def words(page: AppTest) -> str:
    kinds: list[Any] = [page.error, page.get("html"), page.get("progress"), page.markdown, page.warning]
    return "\n".join(str(element.proto) for kind in kinds for element in kind)


def opened(job: Job) -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=120).switch_page("app_pages/training.py")
    page.query_params["job"] = job.id
    page.run()
    assert not page.exception
    return page


def test_the_page_asks_queues_and_shows_what_comes_of_it(context: AppContext, trained: Job) -> None:
    page = opened(trained)
    assert "Of 100: looks like them 50" in words(page)
    labelled(page, "Measure again").click().run()
    assert "Nothing is learned" in words(page)
    assert evaluations.evaluation_view(context, trained) is None  # asked, not done
    labelled(page, "Measure them all").click().run()
    assert not page.exception and "Waits to be measured again" in words(page)
    assert labelled(page, "Measure again").disabled and labelled(page, "Stop measuring") is not None
    job = staged.claimed(context, view(context, trained).job)
    better = {**staged.SCORES["grpo-000002"], "likeness": 0.77}
    kept = context.records.checkpoints.get(trained.id, "grpo-000002")
    context.records.checkpoints.put(replace(kept, scores=better))
    assert context.records.jobs.finish(job.id, staged.WORKER, job.attempt, "succeeded")
    page.run()
    assert "Measured again" in words(page) and "looks like them 77" in words(page)
    assert not labelled(page, "Measure again").disabled and labelled(page, "Stop measuring") is None


def test_the_page_tells_why_measuring_failed(context: AppContext, trained: Job) -> None:
    job = staged.claimed(context, evaluations.measure_again(context, trained.id))
    assert context.records.jobs.finish(job.id, staged.WORKER, job.attempt, "failed", error="The <disk> is full.")
    page = opened(trained)
    assert "Measuring again failed" in words(page) and "is full" in page.error[0].value


def test_a_training_without_saved_states_has_no_such_button(context: AppContext, tmp_path: Path) -> None:
    job = staged.queued(context, staged.published(context, tmp_path / "ada"))
    assert labelled(opened(job), "Measure again") is None
    training_jobs.stop(context, job.id, "keep")
    assert labelled(opened(job), "Measure again") is None
