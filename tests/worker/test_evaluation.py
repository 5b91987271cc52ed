"""What the studio's "Measure again" queues, done by a real worker: every checkpoint gets new scores and samples."""

from __future__ import annotations

from pathlib import Path

from pipelines.core.jobs.job import ENDED
from pipelines.core.run_folder import BASE, adapters
from studio.actions import evaluations
from studio.context import AppContext
from tests.worker.conftest import Deployment
from tests.worker.processes import wait_for, worker
from worker.uploads import put_checkpoint


def test_the_studio_has_a_training_measured_again(embedded: Deployment, toy_run: Path) -> None:
    context = AppContext(embedded.settings, embedded.records, embedded.store)
    trained = embedded.training()
    embedded.records.jobs.request_stop(trained.id, "keep")
    names = [BASE, adapters(toy_run)[0]]
    for name in names:
        put_checkpoint(embedded.records, embedded.store, trained.id, toy_run, name)
    before = {one.name: one for one in embedded.records.checkpoints.of_job(trained.id)}
    asked = evaluations.measure_again(context, trained.id)

    def over() -> bool:
        found = evaluations.evaluation_view(context, trained)
        return found is not None and found.is_over

    with worker(embedded) as process:
        wait_for(over, what=lambda: process.said)
    shown = evaluations.evaluation_view(context, trained)
    assert shown is not None and shown.job.id == asked.id
    assert shown.job.status == "succeeded", shown.job
    assert shown.measured == shown.total == len(names) and "Measured again" in shown.words
    after = {one.name: one for one in embedded.records.checkpoints.of_job(trained.id)}
    for name in names:
        assert after[name].scores.keys() == before[name].scores.keys() and after[name].created > before[name].created
        assert after[name].samples and after[name].files.keys() == before[name].files.keys()
    weights = "adapter_model.safetensors"
    assert after[names[1]].files[weights] == before[names[1]].files[weights]  # nothing was learned


def test_what_was_discarded_meanwhile_does_not_come_back(embedded: Deployment, toy_run: Path) -> None:
    context = AppContext(embedded.settings, embedded.records, embedded.store)
    trained = embedded.training()
    embedded.records.jobs.request_stop(trained.id, "keep")
    put_checkpoint(embedded.records, embedded.store, trained.id, toy_run, adapters(toy_run)[0])
    job = evaluations.measure_again(context, trained.id)
    with worker(embedded) as process:
        wait_for(lambda: embedded.records.events.latest(job.id, "prepare") is not None, what=lambda: process.said)
        embedded.records.jobs.request_stop(trained.id, "discard")
        wait_for(lambda: embedded.records.jobs.get(job.id).status in ENDED, what=lambda: process.said)
    assert embedded.records.checkpoints.of_job(trained.id) == []
