"""Success needs everything in store and rows: what could not be kept is told, and sent by the next attempt."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from pipelines.core.jobs.job import Job, RecordsUnusable
from pipelines.core.queue.submit import resume
from pipelines.core.run_folder import BASE, adapters
from pipelines.core.storage.store import StoreError, exists
from tests.worker.conftest import Deployment
from worker import runner
from worker.job_loop import drain_queue
from worker.local_checkpoints import Mended
from worker.run_folders import RunFolder
from worker.uploads import Uploads, put_checkpoint, unkept
from worker.worker_context import WorkerContext


def trained_here(deployment: Deployment, toy_run: Path) -> tuple[Job, Path]:
    """A queued training whose trainer came to its end on this machine, and nothing of it was kept."""
    job = deployment.training()
    folder = RunFolder(deployment.settings.runs_folder, job.id)
    shutil.copytree(toy_run, folder.path)
    folder.note_attempt(0)
    return job, folder.path


def whole(deployment: Deployment, job: Job, run_dir: Path) -> None:
    """Everything is in store and rows."""
    rows = deployment.records.checkpoints.of_job(job.id)
    assert [row.name for row in rows] == [BASE, *adapters(run_dir)]
    assert all(exists(deployment.store, key) for row in rows for key in row.files.values())
    assert all(row.scores for row in rows)


@pytest.mark.parametrize("away", ["records", "store"])
def test_what_could_not_be_kept_is_told_and_sent_by_the_next_attempt(
    away: str, embedded: Deployment, context: WorkerContext, toy_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, run_dir = trained_here(embedded, toy_run)

    def refuse(*_: object, **__: object) -> None:
        raise RecordsUnusable("away") if away == "records" else StoreError("away")

    with monkeypatch.context() as patch:
        patch.setattr(runner, "UPLOAD_PATIENCE_S", 1.0)  # not for the next attempt: a busy machine needs longer
        if away == "records":
            for name in ("put", "of_job"):
                patch.setattr(context.records.checkpoints, name, refuse)
            patch.setattr(runner, "prepare_folder", lambda *_: ([], Mended()))
            patch.setattr(Uploads, "add_missing", lambda _: None)  # they were there when the worker began
        else:
            patch.setattr(context.store, "put", refuse)
        assert drain_queue(context, ("train",)) >= 1
    ended = embedded.records.jobs.get(job.id)
    assert ended.status == "failed", "never succeeded with checkpoints missing"
    assert "The training is complete, but" in ended.error and "resume the job there" in ended.error
    assert ("grpo-000002" in ended.error) == (away == "store")
    assert embedded.records.checkpoints.of_job(job.id) == []
    RunFolder(embedded.settings.runs_folder, job.id).note_attempt(ended.attempt)
    log = (run_dir / "events.jsonl").read_bytes()
    resume(embedded.records, embedded.app, job.id)
    assert drain_queue(context, ("train",)) == 1
    ended = embedded.records.jobs.get(job.id)
    assert (ended.status, ended.error) == ("succeeded", "")
    whole(embedded, job, run_dir)
    assert (run_dir / "events.jsonl").read_bytes() == log, "nothing was trained again"


def test_records_that_come_back_while_a_training_ends(
    embedded: Deployment, context: WorkerContext, toy_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away from the moment the trainer leaves, for some seconds: all is kept all the same."""
    job, run_dir = trained_here(embedded, toy_run)
    put, of_job = context.records.checkpoints.put, context.records.checkpoints.of_job
    back = threading.Event()

    def when_back(call):  # type: ignore[no-untyped-def]
        def answer(*arguments: object) -> object:
            if not back.is_set():
                raise RecordsUnusable("away")
            return call(*arguments)

        return answer

    monkeypatch.setattr(runner, "prepare_folder", lambda *_: ([], Mended()))
    monkeypatch.setattr(context.records.checkpoints, "put", when_back(put))
    monkeypatch.setattr(context.records.checkpoints, "of_job", when_back(of_job))
    monkeypatch.setattr(Uploads, "add_missing", lambda _: None)
    timer = threading.Timer(12.0, back.set)
    timer.start()
    assert drain_queue(context, ("train",)) == 1
    timer.join()
    assert embedded.records.jobs.get(job.id).status == "succeeded"
    whole(embedded, job, run_dir)


def test_what_is_missing_has_its_name(embedded: Deployment, toy_run: Path, tmp_path: Path) -> None:
    job, run_dir = trained_here(embedded, toy_run)
    records, store = embedded.records, embedded.store
    assert unkept(records, store, job.id, run_dir, complete=True) == [BASE, *adapters(run_dir)]
    for name in (BASE, *adapters(run_dir)):
        put_checkpoint(records, store, job.id, run_dir, name)
    assert unkept(records, store, job.id, run_dir, complete=True) == []
    store.delete(records.checkpoints.get(job.id, "sft-000002").files["adapter_model.safetensors"])
    assert unkept(records, store, job.id, run_dir, complete=True) == ["sft-000002"]
    put_checkpoint(records, store, job.id, run_dir, "sft-000002")
    (run_dir / "checkpoints" / "sft-000004" / "samples" / "later.png").write_bytes(b"drawn after it was sent")
    assert unkept(records, store, job.id, run_dir, complete=True) == ["sft-000004"]
    shutil.rmtree(run_dir / "checkpoints" / BASE)
    records.jobs.request_stop(job.id, "discard")
    shutil.rmtree(run_dir / "checkpoints" / "sft-000004")
    assert BASE in unkept(records, store, job.id, run_dir, complete=True)
    assert BASE not in unkept(records, store, job.id, run_dir, complete=False), "one that was stopped before measuring"


def test_an_upload_that_may_not_be_written_yet_is_tried_again(embedded: Deployment, toy_run: Path) -> None:
    """While the records are silent the job may be another worker's; the upload waits instead of being forgotten."""
    job, run_dir = trained_here(embedded, toy_run)
    sure = threading.Event()
    uploads = Uploads(embedded.records, embedded.store, job.id, run_dir, sure.is_set)
    try:
        uploads.add("sft-000002")
        threading.Timer(1.0, sure.set).start()
        assert uploads.finish(lambda: True)
    finally:
        uploads.close()
    assert [row.name for row in embedded.records.checkpoints.of_job(job.id)] == ["sft-000002"]
