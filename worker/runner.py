"""A training from claim to end: run folder, trainer, events, checkpoints, stops, and the outcome.

    run_training(context, job, lease)      returns the `JobOutcome` to be recorded

While the trainer works, a loop forwards its events to the records, queues finished checkpoints for upload and watches
for: a person's stop (keep: the trainer saves and leaves; discard: it is killed and everything is deleted), the worker's
own shutdown (saved, then given back to the queue), the loss of the lease, records that do not answer (the trainer is
suspended until they do), and silence.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from pipelines.core.events import Event
from pipelines.core.jobs.job import Job, RecordMissing, RecordsUnusable
from pipelines.core.run_folder import CHECKPOINTS, TrainerExit, read_exit
from pipelines.core.storage.store import ObjectMissing, StoreError, put_content
from worker.capacity import find_device, refusal_reason
from worker.event_forwarder import EventForwarder
from worker.lease import Lease
from worker.outcome import (
    COMPLETE,
    STOPPED,
    JobOutcome,
    failure_from_exit,
    hang_outcome,
    kernel_oom_kills,
    missing_result,
)
from worker.run_folders import RunFolder, prepare_folder, remove_old_folders
from worker.trainer_process import TrainerProcess, note_trainer, trainer_command
from worker.uploads import Uploads
from worker.worker_context import WorkerContext

POLL_S = 0.2
PREPARE_PATIENCE_S = 300.0
UPLOAD_PATIENCE_S = 900.0
"""How long to wait for a store that does not answer, before and after the training."""

StopReason = Literal["", "keep", "discard", "shutdown", "lost", "hung"]
"""Why the worker ended the trainer; "" when it left by itself."""
TrainerCommand = Callable[[Path, int], Sequence[str]]
"""Run folder and number of GPUs -> command line."""

logger = logging.getLogger("understudy.worker")


@dataclass
class TrainerSupervisor:
    """Decides, once per turn of the polling loop, whether and how the trainer has to end."""

    context: WorkerContext
    lease: Lease
    trainer: TrainerProcess
    reason: StopReason = ""
    stop_requested_at: float = 0.0
    """When the trainer was told to save and leave, on the monotonic clock; 0 before."""

    def check(self, lost: bool) -> None:
        """`lost`: the records say that the job is not ours any more."""
        if lost or self.lease.lost:
            self._kill("lost")
        elif self.lease.must_pause:
            # Another worker may be given the job now; a suspended trainer repeats nothing and loses nothing.
            if self.context.stopping.is_set():
                self._kill("shutdown")
            elif not self.trainer.frozen:
                logger.warning("job %s is suspended until the records answer again", self.lease.job.id)
                self.trainer.freeze()
        else:
            self.trainer.thaw()
            self._apply_requests()

    def _apply_requests(self) -> None:
        settings = self.context.settings
        request: StopReason = self.lease.cancel or ("shutdown" if self.context.stopping.is_set() else "")
        if request == "discard":
            self._kill("discard")
        elif request:
            if not self.stop_requested_at:
                self.stop_requested_at = time.monotonic()
                self.trainer.request_stop()
            self.reason = request
            if time.monotonic() - self.stop_requested_at > settings.stop_grace_s:
                self._kill(request)
        elif time.monotonic() - self.trainer.last_event_at > settings.hang_timeout_s:
            self.reason = "hung"
            self.trainer.abort()

    def _kill(self, reason: StopReason) -> None:
        self.reason = reason
        self.trainer.kill()


@dataclass(frozen=True)
class TrainerEnd:
    """What is known of a trainer that has left."""

    reason: StopReason
    status: int
    """Exit status of the process that was started, which may be a launcher; negative: the signal."""
    noted: TrainerExit | None
    """What the trainer itself left in the run folder."""
    log_tail: str
    oom_killed: bool
    """Whether the kernel ended processes for memory meanwhile."""

    @property
    def stopped_and_saved(self) -> bool:
        """Whether it saved before it left; a launcher turns this exit status into a failure of its own."""
        return STOPPED in (self.status, self.noted.status if self.noted else None)


def run_training(
    context: WorkerContext, job: Job, lease: Lease, command: TrainerCommand = trainer_command
) -> JobOutcome | None:
    """Train until it ends one way or another. None: the job is not ours any more, or was given back to the queue."""
    base = str((job.recipe or {}).get("base", ""))
    folder = RunFolder(context.settings.runs_folder, job.id)
    remove_old_folders(context.settings.runs_folder, context.records)  # before free disk space is measured
    refusal = refusal_reason(base, False, folder.path)
    if refusal:
        return JobOutcome("failed", refusal)
    forwarder = EventForwarder(context.records, job.id, job.attempt)
    context.records.events.note(job.id, job.attempt, Event("prepare", note=f"attempt {job.attempt} on {context.id}"))
    with folder.locked(context.settings.lease_s, lambda: not lease.lost) as lock:
        forwarder.send(_prepare_patiently(context, job, lease, folder))
        if lease.lost:
            return None
        uploads = Uploads(context.records, context.store, job.id, folder.path, lambda: _may_write(lease))
        try:
            uploads.add_missing()
            kills = kernel_oom_kills()
            with TrainerProcess(command(folder.path, find_device().gpus), lock) as trainer:
                note_trainer(folder.pid_path, trainer.pid)
                reason = _follow(TrainerSupervisor(context, lease, trainer), forwarder, uploads)
                status, tail = trainer.exit_status() or 0, trainer.log_tail
            end = TrainerEnd(reason, status, read_exit(folder.path), tail, kernel_oom_kills() > kills)
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
        return discard(context, job, folder)
    kept = _finish_uploads(context, lease, forwarder, uploads)
    if lease.lost:
        return None
    if lease.cancel == "discard":  # asked for while uploads were finishing
        uploads.close()
        return discard(context, job, folder)
    if end.reason == "hung":
        return hang_outcome(context.settings.hang_timeout_s, end.log_tail)
    if end.status == COMPLETE:
        return _complete_outcome(context, job, lease, folder, kept, end.log_tail)
    if end.reason == "shutdown":
        return None
    if end.reason == "keep":
        return _stopped_outcome(end)
    free_gb = psutil.disk_usage(str(folder.path)).free / 1e9
    reason = end.noted.reason if end.noted else ""
    return failure_from_exit(end.status, reason, end.log_tail, end.oom_killed, free_gb)


def _may_write(lease: Lease) -> bool:
    return not lease.lost and not lease.must_pause


def _prepare_patiently(context: WorkerContext, job: Job, lease: Lease, folder: RunFolder) -> list[Event]:
    """`prepare_folder`, repeated for a while when the store does not answer."""
    until = time.monotonic() + PREPARE_PATIENCE_S
    while True:
        try:
            return prepare_folder(folder, job, context.records, context.store)
        except ObjectMissing:
            raise
        except StoreError as error:
            if time.monotonic() > until or lease.lost or lease.cancel or context.stopping.is_set():
                raise
            logger.warning("job %s waits for the object store: %s", job.id, error)
            time.sleep(2)


def _follow(supervisor: TrainerSupervisor, forwarder: EventForwarder, uploads: Uploads) -> StopReason:
    """Forward events and supervise until the trainer has left."""
    trainer = supervisor.trainer
    while trainer.exit_status() is None:
        _dispatch(trainer.events(POLL_S), forwarder, uploads)
        supervisor.check(forwarder.lost)
    _dispatch(trainer.events(0), forwarder, uploads)
    return supervisor.reason


def _dispatch(events: list[Event], forwarder: EventForwarder, uploads: Uploads) -> None:
    forwarder.send(events)
    for event in events:
        # "checkpoints/sft-000060" when one is whole, "checkpoints/sft-000060/scores.json" when it has been scored.
        for name in {path.split("/")[1] for path in event.artifacts if path.startswith(f"{CHECKPOINTS}/")}:
            uploads.add(name)


def _finish_uploads(context: WorkerContext, lease: Lease, forwarder: EventForwarder, uploads: Uploads) -> bool:
    """Wait for events and checkpoints to reach records and store; False when some did not in time."""
    until = time.monotonic() + UPLOAD_PATIENCE_S

    def keep_waiting() -> bool:
        limit = until
        if context.stopping.is_set():
            limit = min(limit, stop_by)
        return not lease.lost and lease.cancel != "discard" and time.monotonic() < limit

    stop_by = time.monotonic() + context.settings.stop_grace_s
    sent = forwarder.finish(keep_waiting)
    while keep_waiting():
        try:
            uploads.add_missing()
            break
        except RecordsUnusable as error:
            logger.warning("%s", error)
            time.sleep(1)
    return uploads.finish(keep_waiting) and sent


def _complete_outcome(
    context: WorkerContext, job: Job, lease: Lease, folder: RunFolder, kept: bool, tail: str
) -> JobOutcome:
    if not (folder.path / "result.json").is_file():
        return missing_result(folder.path, tail)
    if not kept:
        return JobOutcome(
            "failed",
            "The training is complete, but its checkpoints could not all be kept. They are safe on the worker's "
            f"machine ({context.id.rsplit('-', 2)[0]}); mend the object store or the records and resume the job there.",
            tail,
        )
    names = ("result.json", "run.json")
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


def _stopped_outcome(end: TrainerEnd) -> JobOutcome:
    """Stopped and kept by a person."""
    if end.stopped_and_saved:
        return JobOutcome("stopped")
    error = (
        "The training was stopped, but could not save what it had learnt since its last checkpoint. Everything up to "
        "that checkpoint is kept."
    )
    return JobOutcome("stopped", error, end.log_tail)


def discard(context: WorkerContext, job: Job, folder: RunFolder) -> JobOutcome:
    """Delete the job's checkpoints and run folder; the stored bytes go with the next garbage collection."""
    context.records.checkpoints.remove_all(job.id)
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
