"""Own prompts in the picture grid: jobs for the states that lack them, and the page with its slider."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.core.events import Event
from pipelines.core.jobs.draw_protocol import PromptRequest, drawing_event, progress_event
from pipelines.core.jobs.job import Job
from pipelines.core.storage.store import put_content
from studio.actions import picture_prompts
from studio.actions.compare import NotPossible
from studio.context import AppContext
from tests.studio import staged
from tests.studio.test_pages_work import APP, TIMEOUT_S, words

PROMPT = "laughing, on a bicycle"


@pytest.fixture
def trained(context: AppContext, tmp_path: Path) -> Job:
    return staged.trained(context, staged.published(context, tmp_path / "ada"))


def waiting(context: AppContext) -> list[Job]:
    jobs = context.records.jobs.list(owner=context.owner, kind="reply", statuses=["queued"])
    return [job for job in jobs if job.request.get("task") == "draw_prompts"]


def drawn(context: AppContext, job: Job, finish: bool = True) -> None:
    claimed = context.records.jobs.claim(job.id, staged.WORKER, 600)
    assert claimed is not None
    key = put_content(context.store, staged.png("olive"), "pictures", ".png")
    events = [Event("prepare"), progress_event(0.5), *([drawing_event(0, 1, PROMPT, key, 2.0)] if finish else [])]
    staged.told(context, claimed, events, 0.1)
    context.records.jobs.finish(job.id, staged.WORKER, claimed.attempt, "succeeded" if finish else "failed")


def test_each_state_draws_a_prompt_once_and_again_where_it_failed(context: AppContext, trained: Job) -> None:
    refs = [f"{trained.id}:{name}" for name in ("base", "grpo-000002")]
    assert picture_prompts.draw_prompt(context, trained.character, refs, f"  {PROMPT} ") == 2
    first, second = waiting(context)
    request = PromptRequest.from_json(first.request)
    assert request.looks == (PROMPT,) and request.seed == PromptRequest.from_json(second.request).seed
    drawn(context, first)
    drawn(context, second, finish=False)
    found = picture_prompts.prompt_pictures(context, trained.character)[PROMPT]
    whole, failed = found[request.checkpoint], found[second.request["checkpoint"]]
    assert whole.key and whole.share == 1.0 and not whole.is_working
    assert failed.error and not failed.key
    assert picture_prompts.draw_prompt(context, trained.character, refs, PROMPT) == 1
    for wrong, why in (("  ", "first"), ("x" * 200, "200 characters")):
        with pytest.raises(NotPossible, match=why):
            picture_prompts.draw_prompt(context, trained.character, refs, wrong)


def test_the_page_goes_through_the_states(context: AppContext, trained: Job) -> None:
    shown = AppTest.from_file(str(APP), default_timeout=TIMEOUT_S).switch_page("app_pages/compare.py")
    shown.query_params["character"] = trained.character
    shown.query_params["view"] = "Pictures"
    shown.run()
    assert not shown.exception, shown.exception
    slider = shown.select_slider(key="prompt-state")
    assert slider.value == f"{trained.id}:grpo-000002" and len(slider.options) == 3
    shown.text_input(key="prompt-words").set_value(PROMPT)
    shown.button(key="prompt-primary").click().run()
    assert len(waiting(context)) == 3 and "Waiting for a worker" in words(shown)
    for job in waiting(context):
        drawn(context, job)
    shown.run()
    pictures = len(shown.get("image") + shown.get("imgs"))
    assert PROMPT in words(shown) and pictures == 4  # one of one's own, three of every check
    shown.select_slider(key="prompt-state").set_value(f"{trained.id}:base").run()
    assert not shown.exception and len(shown.get("image") + shown.get("imgs")) == 4
