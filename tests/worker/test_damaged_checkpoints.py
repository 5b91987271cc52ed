"""Checkpoints that a disk has damaged: fetched again, or stepped over, before a trainer goes on from them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipelines.core.checkpoint_sums import SUMS_FILE, damaged_files
from pipelines.core.events import Event
from pipelines.core.jobs.job import Checkpoint, Job
from pipelines.core.queue.submit import continue_training
from pipelines.core.run_folder import BASE, RunError, adapters, checkpoint_folder, read_json
from pipelines.core.storage.store import read
from pipelines.train import train
from tests.worker.conftest import Deployment
from worker.job_loop import drain_queue
from worker.local_checkpoints import Mended, fetch_checkpoints, mend_checkpoints
from worker.run_folders import RunFolder
from worker.uploads import put_checkpoint
from worker.worker_context import WorkerContext

WEIGHTS, OPTIMISER = "adapter_model.safetensors", "optimizer.pt"


def left_behind(deployment: Deployment, toy_run: Path) -> tuple[Job, Path]:
    """A queued training whose last attempt was cut off here, after grpo-000001; all of it is in store and rows."""
    job = deployment.training()
    folder = RunFolder(deployment.settings.runs_folder, job.id)
    shutil.copytree(toy_run, folder.path)
    (folder.path / "result.json").unlink()
    shutil.rmtree(checkpoint_folder(folder.path, "grpo-000002"))
    folder.note_attempt(0)
    for name in (BASE, *adapters(folder.path)):
        put_checkpoint(deployment.records, deployment.store, job.id, folder.path, name)
    return job, folder.path


def cut_off(path: Path) -> None:
    """The end of a file is zeros, as after a power cut."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))


def row_of(deployment: Deployment, job: Job, name: str) -> Checkpoint:
    """The row of a checkpoint."""
    return deployment.records.checkpoints.get(job.id, name)


def told(deployment: Deployment, job: Job) -> list[Event]:
    """Events that say what became of damaged checkpoints."""
    events = deployment.records.events.after(job.id)
    return [event for event in events if {"fetched_again", "stepped_over"} & set(event.payload)]


def test_a_damaged_training_goes_on_and_ends_whole(embedded: Deployment, context: WorkerContext, toy_run: Path) -> None:
    """The last checkpoint is nowhere whole, the one before is in the store: the real trainer begins with that one."""
    job, run_dir = left_behind(embedded, toy_run)
    for name, file in (("sft-000004", WEIGHTS), ("grpo-000001", OPTIMISER)):
        cut_off(checkpoint_folder(run_dir, name) / file)
    (checkpoint_folder(run_dir, BASE) / "scores.json").write_bytes(b"")
    embedded.store.delete(row_of(embedded, job, "grpo-000001").files[OPTIMISER])
    assert drain_queue(context, ("train",)) == 1
    ended = embedded.records.jobs.get(job.id)
    assert (ended.status, ended.error) == ("succeeded", "")
    [event] = told(embedded, job)
    assert event.payload["fetched_again"] == ["sft-000004"] and event.payload["stepped_over"] == ["grpo-000001"]
    practised = [event for event in embedded.records.events.after(job.id) if event.stage == "grpo" and event.metrics]
    steps = [event.step for event in practised]
    assert steps == [1, 2, 1, 2], "the second time from the checkpoint before, not from there"
    assert damaged_files(checkpoint_folder(run_dir, ".damaged-grpo-000001")) == [OPTIMISER]
    for name in adapters(run_dir):
        assert damaged_files(checkpoint_folder(run_dir, name)) == []
        for path, key in row_of(embedded, job, name).files.items():
            assert read(embedded.store, key) == (checkpoint_folder(run_dir, name) / path).read_bytes(), (name, path)


@pytest.mark.parametrize("sums", [True, False], ids=["with sums", "of an earlier version"])
def test_what_nothing_is_wrong_with_stays(sums: bool, embedded: Deployment, toy_run: Path) -> None:
    job, run_dir = left_behind(embedded, toy_run)
    if not sums:
        for name in adapters(run_dir):
            (checkpoint_folder(run_dir, name) / SUMS_FILE).unlink()
    before = {path: path.stat().st_mtime_ns for path in sorted(run_dir.rglob("*")) if path.is_file()}
    mended = mend_checkpoints(run_dir, job.id, embedded.records, embedded.store)
    if sums:
        assert mended == Mended()
        assert {path: path.stat().st_mtime_ns for path in sorted(run_dir.rglob("*")) if path.is_file()} == before
    else:  # the rows name a file of sums, so it comes back
        assert mended.stepped_over == ()


def test_without_sums_the_names_of_the_objects_tell(embedded: Deployment, toy_run: Path) -> None:
    job, run_dir = left_behind(embedded, toy_run)
    for name in adapters(run_dir):
        row = row_of(embedded, job, name)
        files = {path: key for path, key in row.files.items() if path != SUMS_FILE}
        embedded.records.checkpoints.put(Checkpoint(**{**vars(row), "files": files}))
        (checkpoint_folder(run_dir, name) / SUMS_FILE).unlink()
    cut_off(checkpoint_folder(run_dir, "sft-000002") / OPTIMISER)
    assert mend_checkpoints(run_dir, job.id, embedded.records, embedded.store) == Mended(("sft-000002",))
    assert mend_checkpoints(run_dir, job.id, embedded.records, embedded.store) == Mended()


def test_what_was_never_sent_is_stepped_over(embedded: Deployment, toy_run: Path) -> None:
    job, run_dir = left_behind(embedded, toy_run)
    embedded.records.jobs.request_stop(job.id, "discard")
    cut_off(checkpoint_folder(run_dir, "grpo-000001") / WEIGHTS)
    (checkpoint_folder(run_dir, "sft-000004") / SUMS_FILE).write_bytes(b"\0\0")
    (checkpoint_folder(run_dir, "sft-000002") / "scores.json").write_bytes(b"\0\0")
    mended = mend_checkpoints(run_dir, job.id, embedded.records, embedded.store)
    assert mended == Mended((), ("sft-000004", "grpo-000001"))
    assert adapters(run_dir) == ["sft-000002"]
    assert not (checkpoint_folder(run_dir, "sft-000002") / "scores.json").exists(), "measured again"


def test_on_another_machine_what_the_store_lost_is_stepped_over(embedded: Deployment, toy_run: Path) -> None:
    job, run_dir = left_behind(embedded, toy_run)
    shutil.rmtree(run_dir)
    embedded.store.delete(row_of(embedded, job, "grpo-000001").files[WEIGHTS])
    assert fetch_checkpoints(run_dir, job.id, embedded.records, embedded.store).stepped_over == ("grpo-000001",)
    assert adapters(run_dir) == ["sft-000002", "sft-000004"]


def test_a_training_whose_beginning_is_lost_says_so(
    embedded: Deployment, context: WorkerContext, toy_run: Path
) -> None:
    old, _ = left_behind(embedded, toy_run)
    embedded.records.jobs.request_stop(old.id, "keep")
    job = continue_training(embedded.records, embedded.app, old.id, "grpo-000001", {"sft_steps": 0, "grpo_steps": 1})
    embedded.store.delete(row_of(embedded, job, "start").files[WEIGHTS])
    assert drain_queue(context, ("train",)) == 1
    ended = embedded.records.jobs.get(job.id)
    assert ended.status == "failed" and "which this training began with, is damaged" in ended.error


def test_the_command_line_steps_over_too(toy_run: Path, tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(toy_run, tmp_path / "run"))
    (run_dir / "result.json").unlink()
    cut_off(checkpoint_folder(run_dir, "grpo-000002") / OPTIMISER)
    events: list[Event] = []
    result = train(run_dir, events.append)
    assert events[0].payload["stepped_over"] == ["grpo-000002"]
    assert [event.step for event in events if event.stage == "grpo" and event.metrics] == [2]
    assert [one["name"] for one in result["checkpoints"]][-1] == "grpo-000002"
    shutil.copytree(checkpoint_folder(run_dir, "sft-000004"), checkpoint_folder(run_dir, "start"))
    cut_off(checkpoint_folder(run_dir, "start") / WEIGHTS)
    (run_dir / "result.json").unlink()
    with pytest.raises(RunError, match="which this training began with, is damaged"):
        train(run_dir)
    assert read_json(run_dir / "run.json")["recipe"]["base"] == "starter-toy"
