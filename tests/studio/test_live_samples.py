"""Live samples of a checkpoint while its training goes on: requested, found again, and offered on the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.core.jobs.job import ENDED
from studio.actions import compare, live_samples
from studio.context import AppContext
from tests.studio import staged

APP = Path(__file__).resolve().parents[2] / "studio" / "navigation.py"


def test_a_live_sample_is_requested_and_found_again(context: AppContext, tmp_path: Path) -> None:
    job = staged.claimed(context, staged.queued(context, staged.published(context, tmp_path / "ada")))
    for name in ("base", "sft-000004"):
        staged.checkpoint(context, job, name)
    assert live_samples.live_samples(context, job) == {}
    with pytest.raises(ValueError, match="learnt nothing"):
        live_samples.request_live_sample(context, job.id, "base")
    asked = live_samples.request_live_sample(context, job.id, "sft-000004")
    compare.start_conversation(
        context, job.character, f"{job.id}:sft-000004", f"{job.id}:base", blind=False
    )  # a warm-up is no live sample
    sample = live_samples.live_samples(context, job)["sft-000004"]
    assert sample.is_working and not sample.said.picture_key
    reply = context.records.jobs.claim(asked.id, staged.WORKER, 600)
    assert reply is not None and reply.request["picture"] == "always"
    staged.showed(context, reply, "Aye.")
    sample = live_samples.live_samples(context, job)["sft-000004"]
    assert not sample.is_working and sample.said.text == "Aye." and sample.said.picture_key
    assert context.records.jobs.get(asked.id).status in ENDED


def test_the_page_offers_a_live_sample_of_what_is_not_measured_yet(context: AppContext, tmp_path: Path) -> None:
    job = staged.claimed(context, staged.queued(context, staged.published(context, tmp_path / "ada")))
    staged.told(context, job, staged.run_events(sft=3, grpo=0))
    whole = staged.checkpoint(context, job, "sft-000004")
    files = {path: key for path, key in whole.files.items() if path != "scores.json" and "samples" not in path}
    context.records.checkpoints.put(replace(whole, scores={}, samples=(), files=files))
    page = AppTest.from_file(str(APP), default_timeout=120).switch_page("app_pages/training.py")
    page.query_params["job"] = job.id
    page.run()
    assert not page.exception
    page.button(key="peek-sft-000004").click().run()
    assert not page.exception and live_samples.live_samples(context, job)["sft-000004"].is_working
    assert not [one for one in page.button if one.key == "peek-sft-000004"]
