"""What came of a training, in plain words: nothing is called done that falls short."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.core.jobs.job import Job
from pipelines.core.queue.training_results import BestCheckpoint
from pipelines.core.score_axes import LEAST, WANTED
from studio.actions import characters, training_jobs
from studio.actions.run_log import RunLog
from studio.actions.verdict import MENDS, Verdict, shortfall, verdict
from studio.context import AppContext
from tests.studio import staged

APP = Path(__file__).resolve().parents[2] / "studio" / "navigation.py"
ENOUGH = {what: least for axis in LEAST.values() for what, least in axis.items()}


@pytest.fixture
def job(context: AppContext, tmp_path: Path) -> Job:
    return staged.trained(context, staged.published(context, tmp_path / "ada"))


def judged(context: AppContext, job: Job) -> Verdict:
    found = training_jobs.job_view(context, job.id, RunLog(job.id)).verdict
    assert found is not None
    return found


def measured(context: AppContext, job: Job, counts: dict[str, int] = ENOUGH, **scores: float) -> None:
    """All trained checkpoints of a job with some scores changed."""
    for row in context.records.checkpoints.of_job(job.id):
        changed = {**row.scores, **scores} if row.adapter_key else row.scores
        context.records.checkpoints.put(replace(row, scores=changed, measurement={"counts": counts, "intervals": {}}))


def words_of(job: Job) -> str:
    """The training page as text."""
    return page_words("training", job=job.id)


def page_words(page: str, **params: str) -> str:
    """A page as text."""
    test = AppTest.from_file(str(APP), default_timeout=120).switch_page(f"app_pages/{page}.py")
    for name, value in params.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception, test.exception
    drawn = [*test.subheader, *test.warning, *test.html, *test.markdown]
    return "\n".join(str(element.proto) for element in drawn)


def test_done_where_nothing_falls_short(context: AppContext, job: Job) -> None:
    measured(context, job, likeness=0.7)
    assert judged(context, job).headline == "Done" and judged(context, job).findings == ()
    assert training_jobs.job_view(context, job.id, RunLog(job.id)).progress.headline == "Done"
    assert "Before training**, asked" not in words_of(job)


def test_lists_do_not_call_it_good_either(context: AppContext, job: Job) -> None:
    shown = {}
    for likeness in (0.7, 0.1):
        measured(context, job, likeness=likeness)
        [tile], _ = characters.gallery(context)
        [line] = training_jobs.jobs(context)
        [version] = characters.versions(context, job.character)
        assert [tile.shortfall] == [line.shortfall] == list(version.shortfalls)
        shown[likeness] = tile.shortfall
        for page, params in (("characters", {}), ("characters", {"character": job.character}), ("training", {})):
            words = page_words(page, **params)
            assert ("Trained, not good yet" in words) == bool(tile.shortfall), (page, params)
    assert shown == {0.7: "", 0.1: "Trained, but it does not look like them yet"}
    running = replace(job, status="running")
    assert shortfall(context, running) == ""


def test_low_likeness_is_said_with_pictures_and_what_to_do(context: AppContext, job: Job) -> None:
    measured(context, job, likeness=0.41)
    found = judged(context, job)
    assert found.headline == "Trained, but it does not look like them yet" and found.shows_pictures
    [finding] = found.findings
    assert finding.text.startswith("“Looks like them” is 41 of 100, 10 before training.")
    assert "there are 6, about 10" in finding.mend and "more effort" in finding.mend
    page = words_of(job)
    assert "Trained, but it does not look like them yet" in page and "Before training**, asked" in page
    assert "does not look like them yet" in page and "there are 6, about 10" in page


def test_a_fault_comes_first(context: AppContext, job: Job) -> None:
    measured(context, job, likeness=0.41, prompt_leaking=0.5)
    found = judged(context, job)
    assert [finding.kind for finding in found.findings] == ["leaks_prompt", "likeness"]
    assert found.headline == "Trained, but no saved state is good enough to be called the best"
    assert "says its own description" in words_of(job)


def test_words_and_facts(context: AppContext, job: Job) -> None:
    measured(context, job, likeness=0.7, reply_perplexity=98.0, facts_accuracy=0.3)
    assert [finding.kind for finding in judged(context, job).findings] == ["voice", "facts_accuracy"]


def test_pictures_that_show_less_of_what_is_asked_for(context: AppContext, job: Job) -> None:
    measured(context, job, likeness=0.7, caption_match=0.1, reply_image_match=0.02)
    [finding] = judged(context, job).findings
    assert finding.kind == "image_text_match"
    assert finding.text.startswith("“Picture fits the words” is 6 of 100, 30 before training")
    assert judged(context, job).headline == "Trained, but its pictures show less of what is asked for"


@pytest.mark.parametrize(("high", "falls"), [(0.29, True), (0.31, False)])
def test_a_loss_inside_the_intervals_is_none(context: AppContext, job: Job, high: float, falls: bool) -> None:
    rows = {row.name: row for row in context.records.checkpoints.of_job(job.id)}
    before, after = (
        replace(row, scores={"caption_match": value}, measurement={"intervals": {"image_text_match": low_high}})
        for row, value, low_high in ((rows["base"], 0.4, (0.3, 0.5)), (rows["grpo-000002"], 0.2, (0.1, high)))
    )
    found = verdict(BestCheckpoint(job.id, "grpo-000002"), after, before, {}, {})
    assert bool(found.findings) == falls


def test_what_nobody_can_tell_is_no_failure_and_says_what_is_missing(context: AppContext, job: Job) -> None:
    measured(context, job, {**ENOUGH, "held_out_images": 0}, likeness=0.1)
    found = judged(context, job)
    assert found.headline == "Done" and found.unknown == (f"Looks like them: too little to tell. {WANTED['likeness']}",)
    assert "Six pictures or more make it possible" in words_of(job)


def test_every_fault_has_something_to_do(context: AppContext, job: Job) -> None:
    from pipelines.core.checkpoint_selection import FAULTS

    assert set(MENDS) == set(FAULTS)
    running = replace(job, status="running")
    assert training_jobs.verdict_of(context, running) is None
