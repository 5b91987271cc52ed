"""The best checkpoint after real trainings whose best is not the newest: every page offers the best.

One is trained here by the real worker, with learning rates so high that practice makes it worse. One was trained by
0.1 (`tests/fixtures/v0_1`), whose events do not say which checkpoint is the best.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.core.jobs.recipe import Recipe
from pipelines.core.queue.submit import publish_folder
from pipelines.core.queue.training_results import best_of, result_of
from studio.actions import training_jobs
from studio.actions.checkpoint_options import checkpoint_options
from studio.actions.run_log import RunLog
from studio.context import AppContext
from tests.studio import staged
from tests.toys import TOY_BASE

APP = Path(__file__).resolve().parents[2] / "studio" / "navigation.py"
OLD = Path(__file__).parents[1] / "fixtures" / "v0_1"
WORSE_BY_PRACTICE = {
    "seed": 7,
    "lora_rank": 2,
    "lora_alpha": 6,
    "sft_steps": 6,
    "sft_learning_rate": 0.05,
    "sft_save_every": 6,
    "grpo_steps": 2,
    "grpo_learning_rate": 0.4,
    "grpo_prompts_per_step": 1,
    "grpo_group_size": 2,
    "grpo_save_every": 2,
    "max_new_tokens": 12,
}


def offered(page: str, **params: str) -> AppTest:
    """A page of the studio on the records that the environment names."""
    test = AppTest.from_file(str(APP), default_timeout=120).switch_page(f"app_pages/{page}.py")
    for key, value in params.items():
        test.query_params[key] = value
    test.run()
    assert not test.exception, test.exception
    return test


def assert_pages_offer(context: AppContext, job_id: str, best: str) -> None:
    """Compare's and Download's default and the training page say that this one is the best."""
    job = context.records.jobs.get(job_id)
    chosen = best_of(context.records, job)
    assert chosen is not None and (chosen.name, chosen.faults) == (best, ())
    options = [one for one in checkpoint_options(context, job.character) if one.ref.startswith(f"{job_id}:")]
    assert [one.ref for one in options if one.is_best] == [f"{job_id}:{best}"]
    assert training_jobs.job_view(context, job_id, RunLog(job_id)).progress.best == best
    for view, label in (("Talk", "One"), ("Download", "Which state")):
        boxes = {box.label: box.value for box in offered("compare", character=job.character, view=view).selectbox}
        assert boxes[label] == f"{job_id}:{best}", view
    shown = "\n".join(str(element.proto) for element in offered("training", job=job_id).markdown)
    assert shown.count("(best)") == 1
    step = f"step {int(best.rpartition('-')[2])} (best)"
    assert step in shown


def test_after_a_real_training(context: AppContext, toy_character: Path) -> None:
    version = publish_folder(context.records, context.store, context.owner, toy_character)
    job = staged.trained_by_worker(context, version, Recipe.for_effort(TOY_BASE, "standard", **WORSE_BY_PRACTICE))
    result = result_of(context.records, context.store, job.id)
    names = [one.name for one in context.records.checkpoints.of_job(job.id)]
    assert result is not None and names == ["base", "sft-000006", "grpo-000002"]
    assert result["best"] == "sft-000006", "the newest must not be the best here, or this shows nothing"
    assert_pages_offer(context, job.id, result["best"])


@pytest.fixture
def old_home(tmp_path: Path) -> Path:
    """A home as 0.1 left it; made before the context is opened there."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(OLD / "understudy.db", home / "understudy.db")
    shutil.copytree(OLD / "objects", home / "objects")
    return home


def test_of_a_training_by_an_earlier_version(old_home: Path, context: AppContext) -> None:
    ids = json.loads((OLD / "expected.json").read_text(encoding="utf-8"))["records"]["ids"]
    assert context.settings.home == old_home and ids["best"] != ids["newest"]
    assert not [event for event in context.records.events.of_stage(ids["trained"], "save") if event.payload]
    result = result_of(context.records, context.store, ids["trained"])
    assert result is not None and result["best"] == ids["best"]
    assert_pages_offer(context, ids["trained"], ids["best"])
