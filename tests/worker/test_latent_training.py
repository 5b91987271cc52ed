"""A base model that draws by flow matching, through the worker's queue: claimed, trained, measured, kept."""

from __future__ import annotations

from pipelines.core.queue.training_results import result_of
from pipelines.core.run_folder import adapters
from tests.worker.conftest import Deployment
from worker.job_loop import drain_queue


def test_a_training_of_latents_ends_with_everything_kept(embedded: Deployment) -> None:
    job = embedded.training(base="bagel-toy")
    context = embedded.worker_context()
    try:
        assert drain_queue(context, ("train",)) == 1
    finally:
        context.close()
    ended = embedded.records.jobs.get(job.id)
    assert (ended.status, ended.error, ended.attempt) == ("succeeded", "", 1)
    names = adapters(embedded.settings.runs_folder / job.id)
    assert names == ["sft-000002", "sft-000004", "grpo-000001", "grpo-000002"]
    rows = embedded.records.checkpoints.of_job(job.id)
    assert [row.name for row in rows] == ["base", *names] and all(row.scores and row.samples for row in rows)
    assert "old/adapter_model.safetensors" in rows[-1].files, "a resumed practice draws with the same copy"
    result = result_of(embedded.records, embedded.store, job.id)
    assert result is not None and result["best"] in ["base", *names]
