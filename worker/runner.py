"""A training from claim to end: run folder, trainer, events, checkpoints, stops, and the outcome.

    run_training(context, job, lease)      returns the `JobOutcome` to be recorded

While the trainer works, `supervisor.py` forwards its events and finished checkpoints are queued for upload. Afterwards
everything is kept (complete, stopped and kept, failed), deleted (discarded), given back to the queue (this worker shuts
down) or left alone (the job is another worker's by now).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import psutil

from pipelines.core.events import Event, Payload
from pipelines.core.jobs.job import Job, RecordMissing, RecordsUnusable
from pipelines.core.run_folder import CHECKPOINTS, RESULT_FILE
from pipelines.core.storage.store import StoreError, put_content
from worker.capacity import find_device, refusal_reason
from worker.event_forwarder import EventForwarder
from worker.lease import Lease
from worker.local_checkpoints import GONE
from worker.outcome import (
    COMPLETE,
    JobOutcome,
    failure_from_exit,
    hang_outcome,
    kernel_oom_kills,
    missing_result,
    not_kept,
)
from worker.run_folders import RunFolder, note_mended, prepare_folder, remove_old_folders
from worker.supervisor import TrainerEnd, TrainerSupervisor
from worker.trainer_process import TrainerProcess, note_trainer, trainer_command
from worker.uploads import Uploads
from worker.worker_context import WorkerContext

PREPARE_PATIENCE_S = 300.0
UPLOAD_PATIENCE_S = 900.0
"""How long to wait for a store, or records, that do not answer, before and after the training."""
BEGIN_AGAIN_S = 2.0
"""Seconds between two tries before the training."""
EVENTS, UNKNOWN = "the newest events", "some states, nobody could look which,"
"""Among names of checkpoints that were not kept."""

TrainerCommand = Callable[[Path, int], Sequence[str]]
"""Run folder and number of GPUs -> command line."""

T = TypeVar("T")
logger = logging.getLogger("understudy.worker")


def run_training(
    context: WorkerContext, job: Job, lease: Lease, command: TrainerCommand = trainer_command
) -> JobOutcome | None:
    """Train until it ends one way or another. None: the job is not ours any more, or was given back to the queue."""
    base = str((job.recipe or {}).get("base", ""))
    folder = RunFolder(context.settings.runs_folder, job.id)

    def patiently(do: Callable[[], T]) -> T:
        return _patiently(context, job, lease, do)

    # Before free disk space is measured.
    patiently(lambda: remove_old_folders(context.settings.runs_folder, context.records))
    refusal = refusal_reason(base, False, context.settings)
    if refusal:
        return JobOutcome("failed", refusal)
    forwarder = EventForwarder(context.records, job.id, job.attempt)
    taken_up = Event("prepare", note=f"attempt {job.attempt} on {context.id}", payload=Payload(attempt=job.attempt))
    patiently(lambda: context.records.events.note(job.id, job.attempt, taken_up))
    with folder.locked(context.settings.lease_s, lambda: not lease.lost) as lock:
        unsent, mended = patiently(lambda: prepare_folder(folder, job, context.records, context.store))
        forwarder.send(unsent)
        patiently(lambda: note_mended(job, context.records, mended))
        if lease.lost:
            return None
        uploads = Uploads(context.records, context.store, job.id, folder.path, lambda: _may_write(lease))
        try:
            patiently(uploads.add_missing)
            kills = kernel_oom_kills()
            with TrainerProcess(command(folder.path, find_device().gpus), lock) as trainer:
                note_trainer(folder.pid_path, trainer.pid)
                supervisor = TrainerSupervisor(context, lease, trainer)
                supervisor.follow(forwarder, lambda event: _queue_checkpoints(event, uploads))
                end = supervisor.end(folder.path, kills)
            return _close(context, job, lease, folder, end, forwarder, uploads)
        finally:
            uploads.close()


def _close(
    context: WorkerContext,
    job: Job,
    lease: Lease,
    folder: RunFolder,
    end: TrainerEnd,
    forwarder: EventForwarder,
    uploads: Uploads,
) -> JobOutcome | None:
    """After the trainer has left: keep or delete what it made, and say how the job ended."""
    if end.reason == "lost":
        _clean_up_lost(context, job, folder)
        return None
    if end.reason == "discard":
        uploads.close()
        return discard(folder)
    complete = end.status == COMPLETE and (folder.path / RESULT_FILE).is_file()
    missing = _finish_uploads(context, lease, forwarder, uploads, complete)
    if lease.lost:
        return None
    if lease.cancel == "discard":  # asked for while uploads were finishing
        uploads.close()
        return discard(folder)
    if end.reason == "hung":
        return hang_outcome(context.settings.hang_timeout_s, end.log_tail, end.place)
    if end.status == COMPLETE:
        if missing and context.stopping.is_set():
            return None  # the next worker here finds the training complete, and sends the rest
        return _complete_outcome(context, job, lease, folder, missing, end.log_tail, uploads.last_error)
    if end.reason == "shutdown":
        return None
    if end.reason == "keep":
        return _stopped_outcome(context, end, missing, uploads.last_error)
    free_gb = psutil.disk_usage(str(folder.path)).free / 1e9
    where = f"{folder.path} on {context.host}"
    return failure_from_exit(end.status, end.error, end.log_tail, end.out_of_memory, free_gb, end.place, where)


def _may_write(lease: Lease) -> bool:
    return not lease.lost and not lease.must_pause


def _patiently(context: WorkerContext, job: Job, lease: Lease, do: Callable[[], T]) -> T:
    """What comes before the trainer, repeated for a while when store or records do not answer."""
    until = time.monotonic() + PREPARE_PATIENCE_S
    while True:
        try:
            return do()
        except GONE:
            raise
        except (StoreError, RecordsUnusable) as error:
            if time.monotonic() > until or lease.lost or lease.cancel or context.stopping.is_set():
                raise
            logger.warning("job %s waits to begin: %s", job.id, error)
            time.sleep(BEGIN_AGAIN_S)


def _queue_checkpoints(event: Event, uploads: Uploads) -> None:
    # "checkpoints/sft-000060" when one is complete, "checkpoints/sft-000060/scores.json" when it has been scored.
    for name in {path.split("/")[1] for path in event.artifacts if path.startswith(f"{CHECKPOINTS}/")}:
        uploads.add(name)


def _finish_uploads(
    context: WorkerContext, lease: Lease, forwarder: EventForwarder, uploads: Uploads, complete: bool
) -> list[str]:
    """Wait until events and checkpoints are in records and store, and look; returns what was not kept in time."""
    until = time.monotonic() + UPLOAD_PATIENCE_S

    def keep_waiting() -> bool:
        limit = until
        if context.stopping.is_set():
            limit = min(limit, stop_by)
        return not lease.lost and lease.cancel != "discard" and time.monotonic() < limit

    stop_by = time.monotonic() + context.settings.stop_grace_s
    missing = [] if forwarder.finish(keep_waiting) else [EVENTS]
    while True:
        uploads.finish(keep_waiting)
        try:
            if not (absent := uploads.unkept(complete)):
                return missing
            for name in absent:
                uploads.add(name)
        except (RecordsUnusable, StoreError) as error:
            absent = [UNKNOWN]
            logger.warning("whether all of job %s is kept is not known: %s", lease.job.id, error)
        if not keep_waiting():
            return missing + absent
        time.sleep(1)


def _complete_outcome(
    context: WorkerContext, job: Job, lease: Lease, folder: RunFolder, missing: list[str], tail: str, why: str
) -> JobOutcome:
    if not (folder.path / RESULT_FILE).is_file():
        return missing_result(folder.path, tail)
    if missing:
        error = f"The training is complete, but {not_kept(missing, context.host, why)}"
        return JobOutcome("failed", error, tail, "unkept")
    names = (RESULT_FILE, "run.json")
    until = time.monotonic() + UPLOAD_PATIENCE_S
    while True:
        try:
            keys = tuple(put_content(context.store, folder.path / name, "runs", ".json") for name in names)
            context.records.events.note(job.id, job.attempt, Event("save", 1, 1, note="all is kept", artifacts=keys))
            return JobOutcome("succeeded")
        except (StoreError, RecordsUnusable) as error:
            if time.monotonic() > until or lease.lost:
                raise
            logger.warning("the result of job %s is not kept yet: %s", job.id, error)
            time.sleep(1)


def _stopped_outcome(context: WorkerContext, end: TrainerEnd, missing: list[str], why: str) -> JobOutcome:
    """Stopped and kept by a person."""
    if end.stopped_and_saved and missing:
        error = f"The training was stopped, but {not_kept(missing, context.host, why)}"
        return JobOutcome("stopped", error, end.log_tail)
    if end.stopped_and_saved:
        return JobOutcome("stopped")
    error = (
        "The training was stopped, but could not save what it had learnt since its last checkpoint. Everything up to "
        "that checkpoint is kept."
    )
    return JobOutcome("stopped", error, end.log_tail)


def discard(folder: RunFolder) -> JobOutcome:
    """Delete the run folder; the records forget the job's checkpoints when its end is recorded."""
    folder.remove()
    return JobOutcome("stopped")


def _clean_up_lost(context: WorkerContext, job: Job, folder: RunFolder) -> None:
    """The job is another worker's, so nothing is recorded; or it was deleted, and then its folder is deleted too."""
    try:
        context.records.jobs.get(job.id)
    except RecordMissing:
        folder.remove()
    except RecordsUnusable as error:
        logger.warning("%s", error)
