"""What the training page says about saved states: not sent yet, damaged, stepped over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

from streamlit.testing.v1 import AppTest

from pipelines.core.events import Event, RetryCause
from pipelines.core.jobs.job import Job
from studio.actions.job_progress import progress_of
from studio.actions.safekeeping import CAUSES, PATIENCE_S, safekeeping_words
from studio.context import AppContext
from tests.studio import staged

APP = Path(__file__).resolve().parents[2] / "studio" / "navigation.py"

JOB = Job("j", "train", "local", status="running")
SAVED = [
    Event("sft", 2, 4, artifacts=("checkpoints/sft-000002",), time="2026-11-20T10:00:00.000000+00:00"),
    Event("evaluate", 1, 3, artifacts=("checkpoints/base/samples/01.png",), time="2026-11-20T10:00:00.000000+00:00"),
]
SOON, LATER = "2026-11-20T10:00:10.000000+00:00", "2026-11-20T10:02:00.000000+00:00"


def test_what_is_not_sent_yet_is_told_after_a_while() -> None:
    assert safekeeping_words(JOB, SAVED, {"base"}, SOON) == ()
    assert safekeeping_words(JOB, SAVED, {"base", "sft-000002"}, LATER) == ()
    [said] = safekeeping_words(JOB, SAVED, {"base"}, LATER)
    assert said.startswith("1 saved state is so far on the worker's machine only") and "sent again until" in said
    more = [replace(event, artifacts=("checkpoints/grpo-000001",)) for event in SAVED[:1]]
    assert safekeeping_words(JOB, SAVED + more, {"base"}, LATER)[0].startswith("2 saved states are")
    assert safekeeping_words(replace(JOB, status="failed"), SAVED, {"base"}, LATER) == (), "how it ended says it"
    assert PATIENCE_S < 120


def test_what_was_damaged_is_told() -> None:
    again = Event("prepare", payload={"attempt": 2, "fetched_again": ["sft-000002", "sft-000004"]})
    over = Event("prepare", payload={"attempt": 2, "stepped_over": ["grpo-000001"]})
    [said] = safekeeping_words(JOB, [again, over], set())
    assert said.startswith(
        "2 saved states were damaged on the worker's disk and fetched again. 1 saved state could not"
    )
    assert "training went on from the one before" in said


def test_a_training_that_went_on_by_itself_says_so_with_the_true_count() -> None:
    tries = [Event("prepare", payload={"attempt": 1}), Event("prepare", payload={"attempt": 1, "failed": "killed"})]
    tries += [Event("prepare", payload={"attempt": 2}), Event("prepare", payload={"attempt": 2, "failed": "memory"})]
    tries += [Event("prepare", payload={"attempt": 3}), Event("prepare", note="reading")]
    [said] = safekeeping_words(JOB, tries, set())
    assert said.startswith("It ran out of memory and now takes smaller steps.") and "by itself twice" in said
    assert progress_of(JOB, tries).resumes == 2, "two trainers were killed before they said anything"
    assert safekeeping_words(replace(JOB, status="failed"), tries, set()) == ()
    assert set(CAUSES) == set(get_args(RetryCause))


def test_the_page_says_it(context: AppContext, tmp_path: Path) -> None:
    job = staged.claimed(context, staged.queued(context, staged.published(context, tmp_path / "ada")))
    staged.told(context, job, [*staged.run_events(2, 0), SAVED[0]])
    page = AppTest.from_file(str(APP), default_timeout=120).switch_page("app_pages/training.py")
    page.query_params["job"] = job.id
    page.run()
    assert not page.exception
    said = "machine only, since the object store"
    assert said in "\n".join(str(element.proto) for element in (*page.html, *page.markdown, *page.caption))
    staged.checkpoint(context, job, "sft-000004")
    context.records.checkpoints.put(replace(context.records.checkpoints.get(job.id, "sft-000004"), name="sft-000002"))
    page.run()
    assert said not in "\n".join(str(element.proto) for element in (*page.html, *page.markdown, *page.caption))
