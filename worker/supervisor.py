"""Supervises a running trainer: forwards its events, and decides whether and how it has to end.

Used by trainings (`runner.py`) and evaluations (`evaluation.py`). A trainer is ended by a person's stop (keep: it saves
and leaves; discard: it is killed), the shutdown of this worker (it saves and leaves), the loss of the lease, or
silence; it is suspended while the records do not answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.core.events import Event
from pipelines.core.run_folder import TrainerExit, read_exit
from worker.event_forwarder import EventForwarder
from worker.lease import Lease
from worker.outcome import STOPPED, kernel_oom_kills
from worker.trainer_process import TrainerProcess
from worker.worker_context import WorkerContext

POLL_S = 0.2
"""Longest wait for the next event, and so the time between two checks."""
StopReason = Literal["", "keep", "discard", "shutdown", "lost", "hung"]
"""Why the worker ended the trainer; "" when it left by itself."""

logger = logging.getLogger("understudy.worker")


@dataclass(frozen=True)
class TrainerEnd:
    """What is known of a trainer that has left."""

    reason: StopReason
    status: int
    """Exit status of the process that was started, which may be a launcher; negative: the signal."""
    noted: TrainerExit | None
    """What the trainer itself left in the run folder, unless it was killed."""
    log_tail: str
    oom_killed: bool
    """Whether the kernel ended processes for memory meanwhile."""
    place: str = ""
    """The last step that it reported, such as `sft-12`; "" before the first."""

    @property
    def stopped_and_saved(self) -> bool:
        """Whether it saved before it left; a launcher turns this exit status into a failure of its own."""
        return STOPPED in (self.status, self.noted.status if self.noted else None)

    @property
    def out_of_memory(self) -> bool:
        """Whether it ended for want of memory."""
        return self.oom_killed or (self.noted is not None and self.noted.cause == "memory")

    @property
    def error(self) -> str:
        """Why it failed, when the trainer itself knows, else ""."""
        return self.noted.reason if self.noted else ""


@dataclass
class TrainerSupervisor:
    """Decides, once per turn of the polling loop, whether and how the trainer has to end."""

    context: WorkerContext
    lease: Lease
    trainer: TrainerProcess
    reason: StopReason = ""
    stop_requested_at: float = 0.0
    """When the trainer was told to save and leave, on the monotonic clock; 0 before."""
    place: str = ""
    """See `TrainerEnd`."""

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

    def follow(self, forwarder: EventForwarder, on_event: Callable[[Event], None]) -> None:
        """Forward the trainer's events and check on it until it has left; `on_event` sees each event."""
        while self.trainer.exit_status() is None:
            self._forward(self.trainer.events(POLL_S), forwarder, on_event)
            self.check(forwarder.lost)
        self._forward(self.trainer.events(0), forwarder, on_event)

    def _forward(self, events: list[Event], forwarder: EventForwarder, on_event: Callable[[Event], None]) -> None:
        forwarder.send(events)
        for event in events:
            if event.metrics and event.step:
                self.place = f"{event.stage}-{event.step}"
            on_event(event)

    def end(self, run_dir: Path, oom_kills_before: int) -> TrainerEnd:
        """How it ended, once `follow` has returned."""
        oom_killed = kernel_oom_kills() > oom_kills_before
        status = self.trainer.exit_status() or 0
        return TrainerEnd(self.reason, status, read_exit(run_dir), self.trainer.log_tail, oom_killed, self.place)
