"""A training from claim to end: real toy runs, and every bad ending as a real subprocess."""

from __future__ import annotations

import io
import itertools
import json
import shutil
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipelines.core.checkpoint_sums import SUMS_FILE
from pipelines.core.command_line import install_as_typed
from pipelines.core.jobs.job import Job, RecordsUnusable
from pipelines.core.queue.submit import clone, continue_training, resume, stop
from pipelines.core.queue.training_results import result_of
from pipelines.core.run_folder import adapters, checkpoint_folder, read_json
from pipelines.core.storage.store import read
from studio.actions import downloads
from studio.context import AppContext
from tests.worker.conftest import Deployment
from worker import capacity, runner
from worker.capacity import Device, refusal_reason
from worker.job_loop import drain_queue, run_job
from worker.run_folders import RunFolder
from worker.runner import TrainerCommand, run_training
from worker.trainer_process import note_trainer
from worker.uploads import put_checkpoint
from worker.worker_context import WorkerContext

FAKE = Path(__file__).with_name("fake_trainer.py")


def fake(how: str) -> TrainerCommand:
    """The command of a trainer that ends like that."""
    return lambda run_dir, gpus: [sys.executable, str(FAKE), str(run_dir), how]


def work(context: WorkerContext, how: str) -> int:
    """Work off the queue with a fake trainer."""
    return drain_queue(context, ("train",), {"train": lambda *arguments: run_training(*arguments, command=fake(how))})


def wait_for(told: Callable[[], bool], seconds: float = 60) -> None:
    """Until it is so."""
    until = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.05)


def same_bytes(deployment: Deployment, job: Job, run_dir: Path, names: list[str]) -> None:
    """Every file of these checkpoints is in the store as it is in the run folder."""
    for name in names:
        row = deployment.records.checkpoints.get(job.id, name)
        folder = checkpoint_folder(run_dir, name)
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        assert set(row.files) == set(files)
        for path, key in row.files.items():
            assert read(deployment.store, key) == files[path].read_bytes()


def test_a_toy_training_ends_with_everything_kept(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"UNDERSTUDY_S3_SECRET_KEY": "sesame-of-s3", "POSTGRES_PASSWORD": "sesame-of-the-records"}
    for name, value in (deployment.environment | secrets).items():
        monkeypatch.setenv(name, value)
    told: list[str] = []

    def note(path: Path, pid: int) -> None:
        end = time.monotonic() + 10
        while not (there := psutil.Process(pid).environ()) and time.monotonic() < end:
            time.sleep(0.001)  # Linux shows none until the new program's stack is laid out
        told.extend(f"{name}={value}" for name, value in there.items())
        note_trainer(path, pid)

    monkeypatch.setattr(runner, "note_trainer", note)
    job = deployment.training()
    context = deployment.worker_context()
    try:
        assert drain_queue(context, ("train",)) == 1
    finally:
        context.close()
    assert f"UNDERSTUDY_HOME={deployment.settings.home}" in told
    assert [line for line in told if line.startswith("UNDERSTUDY_")] == [f"UNDERSTUDY_HOME={deployment.settings.home}"]
    assert "sesame" not in "".join(told), "a trainer needs no database and no store"
    ended = deployment.records.jobs.get(job.id)
    assert (ended.status, ended.error, ended.attempt) == ("succeeded", "", 1)
    run_dir = deployment.settings.runs_folder / job.id
    names = adapters(run_dir)
    assert names == ["sft-000002", "sft-000004", "grpo-000001", "grpo-000002"]
    same_bytes(deployment, job, run_dir, ["base", *names])
    rows = deployment.records.checkpoints.of_job(job.id)
    assert [row.name for row in rows] == ["base", *names]
    assert all(row.scores and row.samples for row in rows)
    events = deployment.records.events.after(job.id)
    assert [event.sequence for event in events] == list(range(len(events)))
    told = [stage for stage, _ in itertools.groupby(event.stage for event in events)]
    assert told == ["prepare", "sft", "evaluate", "grpo", "evaluate", "save"]
    result = result_of(deployment.records, deployment.store, job.id)
    assert result is not None and result["best"] in names


def test_a_training_of_other_weights_is_not_resumed_and_stays_what_it_was(
    embedded: Deployment, context: WorkerContext, toy_run: Path, tmp_path: Path
) -> None:
    older = Path(shutil.copytree(toy_run, tmp_path / "older"))
    config = older / "checkpoints" / "sft-000004" / "adapter_config.json"
    config.write_text(json.dumps(read_json(config) | {"revision": "0000"}), encoding="utf-8")
    (config.parent / SUMS_FILE).unlink()  # or it would be taken for damaged
    job = embedded.training()
    put_checkpoint(embedded.records, embedded.store, job.id, older, "sft-000004")
    assert drain_queue(context, ("train",)) == 1
    ended = embedded.records.jobs.get(job.id)
    assert ended.status == "failed"
    assert ended.error.startswith("checkpoint sft-000004 was trained on starter-toy of 0000: train again")
    [kept] = embedded.records.checkpoints.of_job(job.id)
    assert kept.revision == "0000"
    studio = AppContext(embedded.settings, embedded.records, embedded.store)
    made = downloads.adapter_alone(studio, f"{job.id}:sft-000004")
    with zipfile.ZipFile(io.BytesIO(read(embedded.store, made.key))) as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
    assert {"adapter_model.safetensors", "references.safetensors", "references/01.jpg"} <= names


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("memory", "ran out of memory"),
        ("killed", "killed from outside (signal 9)"),
        ("segfault", "SIGSEGV"),
        ("disk", "is full, so the training could not save"),
        ("missing", "The base model is not there. Weights are missing; install again."),
        ("error", "exit status 1: ValueError: a sample does not fit"),
        ("own", "RUN/run.json cannot be read; restore it"),
        ("lies", "ended without leaving a result"),
    ],
)
def test_bad_endings_are_told_in_plain_words(
    how: str, words: str, embedded: Deployment, context: WorkerContext
) -> None:
    job = embedded.training()
    tries = 3 if how in ("memory", "killed", "segfault") else 1
    assert work(context, how) == tries
    ended = embedded.records.jobs.get(job.id)
    assert ended.status == "failed" and words in ended.error, ended.error
    assert ("tried again 2 times" in ended.error) == (tries == 3)
    assert "half a line of a library" in ended.log_tail
    assert [event.stage for event in embedded.records.events.after(job.id)] == ["prepare"] * (3 * tries - 1)


def test_a_silent_trainer_is_ended(embedded: Deployment, context: WorkerContext) -> None:
    object.__setattr__(context.settings, "hang_timeout_s", 1.0)
    job = embedded.training()
    work(context, "hangs")
    ended = embedded.records.jobs.get(job.id)
    assert ended.status == "failed" and "said nothing for 1 seconds" in ended.error
    assert 'File "' in ended.log_tail and "fake_trainer.py" in ended.log_tail  # where it hung


def busy(
    embedded: Deployment, context: WorkerContext, how: str, job: Job | None = None
) -> tuple[Job, threading.Thread]:
    """A fake training that goes on in a thread."""
    job = job or embedded.training()
    before = embedded.records.events.count(job.id)
    thread = threading.Thread(target=work, args=(context, how))
    thread.start()
    wait_for(lambda: embedded.records.events.count(job.id) >= before + 2)
    return job, thread


@pytest.mark.parametrize("how", ["polite", "launched"])
def test_stop_and_keep_then_resume(how: str, embedded: Deployment, context: WorkerContext) -> None:
    job, thread = busy(embedded, context, how)
    assert stop(embedded.records, job.id, "keep").status == "stopping"
    thread.join(30)
    ended = embedded.records.jobs.get(job.id)
    assert (ended.status, ended.error) == ("stopped", "")
    assert RunFolder(embedded.settings.runs_folder, job.id).path.is_dir()
    resume(embedded.records, embedded.app, job.id)
    assert work(context, "lies") == 1
    assert embedded.records.jobs.get(job.id).attempt == 2


def test_an_earlier_stop_says_nothing_about_the_next(embedded: Deployment, context: WorkerContext) -> None:
    """What the first trainer left in the run folder must not make the second, which was killed, look saved."""
    job, thread = busy(embedded, context, "launched")
    stop(embedded.records, job.id, "keep")
    thread.join(30)
    object.__setattr__(context.settings, "stop_grace_s", 1.0)
    job, thread = busy(embedded, context, "deaf", resume(embedded.records, embedded.app, job.id))
    stop(embedded.records, job.id, "keep")
    thread.join(30)
    assert "could not save what it had learnt" in embedded.records.jobs.get(job.id).error


def test_a_training_goes_further_from_a_checkpoint(embedded: Deployment, context: WorkerContext, toy_run: Path) -> None:
    old = embedded.training()
    embedded.records.jobs.request_stop(old.id, "keep")
    for name in ("base", "sft-000004", "grpo-000001"):
        put_checkpoint(embedded.records, embedded.store, old.id, toy_run, name)
    changes = {"sft_steps": 2, "sft_save_every": 2, "grpo_steps": 1, "grpo_save_every": 1}
    job = continue_training(embedded.records, embedded.app, old.id, "grpo-000001", changes)
    assert drain_queue(context, ("train",)) == 1
    ended = embedded.records.jobs.get(job.id)
    assert (ended.status, ended.parent) == ("succeeded", old.id), ended.error
    events = embedded.records.events.after(job.id)
    assert [(event.stage, event.step) for event in events if "loss" in event.metrics] == [
        ("sft", 1),
        ("sft", 2),
        ("grpo", 1),
    ], "it counts its own steps, and one that has practised may learn the basics of something new"
    rows = {row.name: row for row in embedded.records.checkpoints.of_job(job.id)}
    assert list(rows) == ["base", "start", "sft-000002", "grpo-000001"]
    measured = [event.payload["checkpoint"] for event in events if event.stage == "evaluate"]
    assert measured == ["start", "sft-000002", "grpo-000001"], "the base was measured before"
    parent = embedded.records.checkpoints.get(old.id, "grpo-000001")
    # Where it starts is the earlier state: the same weights, the same answers to the same questions.
    assert rows["start"].files["adapter_model.safetensors"] == parent.files["adapter_model.safetensors"]
    assert rows["start"].scores["reply_perplexity"] == pytest.approx(parent.scores["reply_perplexity"], rel=1e-5)
    assert rows["sft-000002"].files["adapter_model.safetensors"] != parent.files["adapter_model.safetensors"]


def test_a_clone_is_a_new_training_with_changes(embedded: Deployment) -> None:
    old = embedded.training()
    job = clone(embedded.records, embedded.app, old.id, {"sft_steps": 9})
    assert (job.parent, job.version, job.status, job.attempt) == (old.id, old.version, "queued", 0)
    assert job.recipe == {**(old.recipe or {}), "sft_steps": 9}


def test_what_is_discarded_after_its_end_does_not_come_back(embedded: Deployment, context: WorkerContext) -> None:
    """The run folder still has what was thrown away; resuming must not find it."""
    job, thread = busy(embedded, context, "polite")
    stop(embedded.records, job.id, "keep")
    thread.join(30)
    beat = embedded.settings.runs_folder / job.id / "beat"
    assert beat.exists()
    stop(embedded.records, job.id, "discard")
    resume(embedded.records, embedded.app, job.id)
    assert work(context, "lies") == 1
    assert not beat.exists()


def test_no_row_appears_after_a_job_was_given_up(embedded: Deployment, toy_run: Path) -> None:
    job = embedded.training()
    put_checkpoint(embedded.records, embedded.store, job.id, toy_run, "sft-000002", lambda: False)
    assert embedded.records.checkpoints.of_job(job.id) == []


def test_discard_deletes_what_was_made(embedded: Deployment, context: WorkerContext) -> None:
    job, thread = busy(embedded, context, "polite")
    stop(embedded.records, job.id, "discard")
    thread.join(30)
    assert embedded.records.jobs.get(job.id).status == "stopped"
    assert not (embedded.settings.runs_folder / job.id).exists()
    assert embedded.records.checkpoints.of_job(job.id) == []


def test_a_trainer_that_does_not_listen_is_killed_after_the_grace(embedded: Deployment, context: WorkerContext) -> None:
    object.__setattr__(context.settings, "stop_grace_s", 1.0)
    job, thread = busy(embedded, context, "deaf")
    stop(embedded.records, job.id, "keep")
    thread.join(30)
    ended = embedded.records.jobs.get(job.id)
    assert ended.status == "stopped" and "could not save what it had learnt since its last checkpoint" in ended.error


def test_shutting_down_gives_the_job_back(embedded: Deployment, context: WorkerContext) -> None:
    job, thread = busy(embedded, context, "polite")
    context.stopping.set()
    thread.join(30)
    assert embedded.records.jobs.get(job.id).status == "queued"


def test_a_deleted_character_ends_its_training(embedded: Deployment, context: WorkerContext) -> None:
    job, thread = busy(embedded, context, "polite")
    embedded.records.characters.delete(job.character)
    thread.join(30)
    assert not thread.is_alive()
    assert not (embedded.settings.runs_folder / job.id).exists()


def test_records_that_do_not_answer_hold_the_trainer_still(
    embedded: Deployment, context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker may have the job by then; afterwards it goes on as if nothing had been."""

    def away(*_: object, **__: object) -> None:
        raise RecordsUnusable("away")

    job, thread = busy(embedded, context, "polite")
    beat = embedded.settings.runs_folder / job.id / "beat"
    wait_for(beat.exists)
    with monkeypatch.context() as patch:
        patch.setattr(context.records.jobs, "heartbeat", away)
        patch.setattr(context.records.events, "append", away)
        time.sleep(0.85 * context.settings.lease_s)
        first = beat.read_text(encoding="utf-8")
        time.sleep(0.5)
        assert beat.read_text(encoding="utf-8") == first
    wait_for(lambda: beat.read_text(encoding="utf-8") != first)
    events = embedded.records.events.count(job.id)
    wait_for(lambda: embedded.records.events.count(job.id) > events)
    stop(embedded.records, job.id, "keep")
    thread.join(30)
    steps = [event.step for event in embedded.records.events.after(job.id) if event.stage == "sft"]
    assert steps == list(range(1, len(steps) + 1))


def test_a_job_that_cannot_fit_says_so_at_once(
    embedded: Deployment, context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = embedded.training()
    big = {**(job.recipe or {}), "base": "janus-pro-7b"}
    claimed = embedded.records.jobs.claim(job.id, context.id, 60)
    assert claimed is not None
    small = Device("", 0, 8.0, 6.0)
    assert "has 8.0 GB in all" in refusal_reason("janus-pro-7b", False, embedded.settings, small)
    card = Device("a GPU", 1, 25.0, 4.0)
    assert "only 4.0 of 25.0 GB are free" in refusal_reason("janus-pro-7b", False, embedded.settings, card)
    free = replace(card, free_gb=25.0)  # where the base is kept in 4 bits
    for installed in (True, False):
        monkeypatch.setattr(capacity, "find_spec", lambda name, there=installed: there or None)
        refusal = refusal_reason("janus-pro-7b", False, embedded.settings, free)
        assert (f"bitsandbytes is not installed there: {install_as_typed('four-bit')}" in refusal) != installed
        refusal = refusal_reason("bagel-toy", False, embedded.settings, small)
        words = f"needs diffusers, which is not installed on this machine: {install_as_typed('bagel')}"
        assert (words in refusal) != installed
    assert refusal_reason("janus-pro-1b", False, embedded.settings, free) == ""
    run_job(context, replace(claimed, recipe=big), run_training)
    ended = embedded.records.jobs.get(job.id)
    assert ended.status == "failed" and "GB of memory" in ended.error
    assert embedded.records.events.count(job.id) == 0
