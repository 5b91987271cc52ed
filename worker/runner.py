"""A training from claim to end: run folder, trainer, events, checkpoints, stops, and an honest last word.

    run_training(station, job, lease)      returns what `close_job` records

While the trainer works, this loop relays its events, queues finished checkpoints for upload and watches for: a
person's stop (keep: the trainer saves and leaves; discard: it is ended and everything is deleted), the worker's own
shutdown (saved, then given back to the queue), the loss of the lease, records that do not answer (the trainer is held
still until they do), and silence.
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
from pipelines.core.run_folder import CHECKPOINTS
from pipelines.core.storage.store import ObjectMissing, StoreError, put_content
from worker.capacity import device, refusal_reason
from worker.event_forwarder import EventForwarder
from worker.lease import Lease
from worker.outcome import COMPLETE, STOPPED, JobOutcome, failure_from_exit, hung, kernel_kills, without_result
from worker.run_folders import RunFolder, prepare, tidy
from worker.trainer_process import TrainerProcess, trainer_command, write_pid
from worker.uploads import Uploads
from worker.worker_context import WorkerContext

POLL_S = 0.2
PREPARE_PATIENCE_S = 300.0
UPLOAD_PATIENCE_S = 900.0
"""How long a store that does not answer is waited for, before and after the training."""

StopReason = Literal["", "keep", "discard", "shutdown", "lost", "hung"]
"""Why the worker ended the trainer; "" when it left by itself."""
Command = Callable[[Path, int], Sequence[str]]

logger = logging.getLogger("understudy.worker")


@dataclass
class TrainerSupervisor:
    """Decides at each turn of the loop whether and how the trainer has to end."""

    station: WorkerContext
    lease: Lease
    trainer: TrainerProcess
    why: StopReason = ""
    asked: float = 0.0
    """When it was asked to save and leave, on the monotonic clock."""

    def look(self, lost: bool) -> None:
        """`lost`: the records say that the job is not ours any more."""
        if lost or self.lease.lost:
            self._end("lost")
        elif self.lease.must_hold_still:
            # Somebody else may be given the job now; what is frozen does nothing twice and loses nothing.
            if self.station.stopping.is_set():
                self._end("shutdown")
            elif not self.trainer.frozen:
                logger.warning("job %s is held still until the records answer again", self.lease.job.id)
                self.trainer.freeze()
        else:
            self.trainer.thaw()
            self._wishes()

    def _wishes(self) -> None:
        settings = self.station.settings
        wish: StopReason = self.lease.cancel or ("shutdown" if self.station.stopping.is_set() else "")
        if wish == "discard":
            self._end("discard")
        elif wish:
            if not self.asked:
                self.asked = time.monotonic()
                self.trainer.ask_to_stop()
            self.why = wish
            if time.monotonic() - self.asked > settings.stop_grace_s:
                self._end(wish)
        elif time.monotonic() - self.trainer.heard > settings.hang_timeout_s:
            self.why = "hung"
            self.trainer.abort()

    def _end(self, why: StopReason) -> None:
        self.why = why
        self.trainer.kill()


def run_training(
    station: WorkerContext, job: Job, lease: Lease, command: Command = trainer_command
) -> JobOutcome | None:
    """Train until it ends one way or another. None: the job is not ours any more, or was given back to the queue."""
    base = str((job.recipe or {}).get("base", ""))
    folder = RunFolder(station.settings.runs_folder, job.id)
    tidy(station.settings.runs_folder, station.records)  # before the disk is looked at
    refusal = refusal_reason(base, False, folder.path)
    if refusal:
        return JobOutcome("failed", refusal)
    relay = EventForwarder(station.records, job.id, job.attempt)
    station.records.events.note(job.id, job.attempt, Event("prepare", note=f"attempt {job.attempt} on {station.id}"))
    with folder.locked(station.settings.lease_s, lambda: not lease.lost) as lock:
        relay.send(_prepared(station, job, lease, folder))
        if lease.lost:
            return None
        uploads = Uploads(station.records, station.store, job.id, folder.path, lambda: _is_ours(lease))
        try:
            uploads.add_missing()
            kills = kernel_kills()
            with TrainerProcess(command(folder.path, device().gpus), lock) as trainer:
                write_pid(folder.pid_path, trainer.pid)
                why = _follow(TrainerSupervisor(station, lease, trainer), relay, uploads)
                status, tail = trainer.ended() or 0, trainer.tail
            kernel_killed = kernel_kills() > kills
            if why == "lost":
                _abandoned(station, job, folder)
                return None
            if why == "discard":
                uploads.close()
                return discard(station, job, folder)
            kept = _keep_all(station, lease, relay, uploads)
            if lease.lost:
                return None
            if lease.cancel == "discard":
                uploads.close()
                return discard(station, job, folder)
            if why == "hung":
                return hung(station.settings.hang_timeout_s, tail)
            if status == COMPLETE:
                return _complete(station, job, lease, folder, kept, tail)
            if why:
                return _stopped(why, status, tail)
            free_gb = psutil.disk_usage(str(folder.path)).free / 1e9
            return failure_from_exit(status, tail, kernel_killed, free_gb)
        finally:
            uploads.close()


def _is_ours(lease: Lease) -> bool:
    return not lease.lost and not lease.must_hold_still


def _prepared(station: WorkerContext, job: Job, lease: Lease, folder: RunFolder) -> list[Event]:
    """The run folder made ready; a store that does not answer is asked again for a while."""
    until = time.monotonic() + PREPARE_PATIENCE_S
    while True:
        try:
            return prepare(folder, job, station.records, station.store)
        except ObjectMissing:
            raise
        except StoreError as error:
            if time.monotonic() > until or lease.lost or lease.cancel or station.stopping.is_set():
                raise
            logger.warning("job %s waits for the object store: %s", job.id, error)
            time.sleep(2)


def _follow(watch: TrainerSupervisor, relay: EventForwarder, uploads: Uploads) -> StopReason:
    """Until the trainer has left: hand on what it says, and look after it."""
    trainer = watch.trainer
    while trainer.ended() is None:
        _hand_on(trainer.events(POLL_S), relay, uploads)
        watch.look(relay.lost)
    _hand_on(trainer.events(0), relay, uploads)
    return watch.why


def _hand_on(events: list[Event], relay: EventForwarder, uploads: Uploads) -> None:
    relay.send(events)
    for event in events:
        # "checkpoints/sft-000060" when one is whole, "checkpoints/sft-000060/scores.json" when it has been scored.
        for name in {path.split("/")[1] for path in event.artifacts if path.startswith(f"{CHECKPOINTS}/")}:
            uploads.add(name)


def _keep_all(station: WorkerContext, lease: Lease, relay: EventForwarder, uploads: Uploads) -> bool:
    """Whether all events and checkpoints reached records and store in time."""
    until = time.monotonic() + UPLOAD_PATIENCE_S

    def go_on() -> bool:
        limit = until
        if station.stopping.is_set():
            limit = min(limit, stop_by)
        return not lease.lost and lease.cancel != "discard" and time.monotonic() < limit

    stop_by = time.monotonic() + station.settings.stop_grace_s
    sent = relay.finish(go_on)
    while go_on():
        try:
            uploads.add_missing()
            break
        except RecordsUnusable as error:
            logger.warning("%s", error)
            time.sleep(1)
    return uploads.finish(go_on) and sent


def _complete(station: WorkerContext, job: Job, lease: Lease, folder: RunFolder, kept: bool, tail: str) -> JobOutcome:
    if not (folder.path / "result.json").is_file():
        return without_result(folder.path, tail)
    if not kept:
        return JobOutcome(
            "failed",
            "The training is complete, but its checkpoints could not all be kept. They are safe on the worker's "
            f"machine ({station.id.rsplit('-', 2)[0]}); mend the object store or the records and resume the job there.",
            tail,
        )
    names = ("result.json", "run.json")
    until = time.monotonic() + UPLOAD_PATIENCE_S
    while True:
        try:
            keys = tuple(put_content(station.store, folder.path / name, "runs", ".json") for name in names)
            station.records.events.note(job.id, job.attempt, Event("save", 1, 1, note="all is kept", artifacts=keys))
            return JobOutcome("succeeded")
        except (StoreError, RecordsUnusable) as error:
            if time.monotonic() > until or lease.lost:
                raise
            logger.warning("the result of job %s is not kept yet: %s", job.id, error)
            time.sleep(1)


def _stopped(why: StopReason, status: int, tail: str) -> JobOutcome | None:
    """Stopped and kept by a person; None when the worker shuts down and the job goes back to the queue."""
    if why == "shutdown":
        return None
    if status == STOPPED or "stopped; kept in" in tail:  # a launcher turns 3 into a failure of its own
        return JobOutcome("stopped")
    error = (
        "The training was stopped, but could not save what it had learnt since its last checkpoint. Everything up to "
        "that checkpoint is kept."
    )
    return JobOutcome("stopped", error, tail)


def discard(station: WorkerContext, job: Job, folder: RunFolder) -> JobOutcome:
    """Delete what the job made; its bytes go when the object store is next cleaned."""
    station.records.checkpoints.remove_all(job.id)
    folder.remove()
    return JobOutcome("stopped")


def _abandoned(station: WorkerContext, job: Job, folder: RunFolder) -> None:
    """Not ours any more: nothing is recorded. When the job was deleted, so is its folder."""
    try:
        station.records.jobs.get(job.id)
    except RecordMissing:
        folder.remove()
    except RecordsUnusable as error:
        logger.warning("%s", error)
