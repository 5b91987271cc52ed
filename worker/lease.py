"""A job's lease: heartbeats in a thread of their own, so that no long upload or step lets a job be taken away.

A heartbeat's answer also says whether a person asked for a stop, or that the job belongs to another worker by now.
While the records do not answer, `unanswered_s` grows; before it reaches the length of the lease the worker must pause,
since another may be given the job.
"""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Self

from pipelines.core.jobs.job import Cancel, Job, LeaseLost, RecordsUnusable
from pipelines.core.records import Records

PAUSE_AT = 0.75
"""At this share of a lease without an answer the work is paused."""

logger = logging.getLogger("understudy.worker")


class Lease:
    """The claim on one job, renewed from `with` to the end of the block."""

    def __init__(self, records: Records, job: Job, lease_s: float, heartbeat_s: float) -> None:
        """The job as it was claimed; its worker and attempt are what the heartbeats name."""
        self.job, self.lease_s, self.heartbeat_s = job, lease_s, heartbeat_s
        self.cancel: Cancel = job.cancel
        self.lost = False
        self._records = records
        self._answered = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{job.id[:8]}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(timeout=self.heartbeat_s)

    @property
    def unanswered_s(self) -> float:
        """Seconds since the start of the last heartbeat that the records answered."""
        return time.monotonic() - self._answered

    @property
    def must_pause(self) -> bool:
        """Whether the lease may run out before the next heartbeat."""
        return self.unanswered_s > PAUSE_AT * self.lease_s

    def _beat(self) -> None:
        job = self.job
        while not self._over.wait(self.heartbeat_s) and not self.lost:
            began = time.monotonic()
            try:
                self.cancel = self._records.jobs.heartbeat(job.id, job.worker, self.lease_s, job.attempt).cancel
            except LeaseLost as error:
                logger.warning("%s", error)
                self.lost = True
            except RecordsUnusable as error:
                logger.warning("no heartbeat for job %s: %s", job.id, error)
            else:
                self._answered = began
