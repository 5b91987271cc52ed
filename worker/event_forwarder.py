"""Forwards a trainer's events to the records, in order; buffers them while the records do not answer.

Appending is idempotent (events are numbered), so after a broken connection everything unconfirmed is sent again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from pipelines.core.events import Event
from pipelines.core.jobs.job import LeaseLost, RecordMissing, RecordsUnusable
from pipelines.core.records import Records

RETRY_S = 1.0
"""Seconds between tries while the records do not answer."""

logger = logging.getLogger("understudy.worker")


class EventForwarder:
    """The events of one attempt."""

    def __init__(self, records: Records, job: str, attempt: int) -> None:
        self._records, self._job, self._attempt = records, job, attempt
        self._waiting: list[Event] = []
        self._next_try = 0.0
        self.lost = False
        """Whether the job belongs to another attempt by now, or was deleted."""

    def send(self, events: list[Event]) -> None:
        """Forward these events, and those that are still buffered."""
        self._waiting += events
        if not self._waiting or self.lost or time.monotonic() < self._next_try:
            return
        try:
            self._records.events.append(self._job, self._attempt, self._waiting)
        except RecordsUnusable as error:
            logger.warning("%d events of job %s wait: %s", len(self._waiting), self._job, error)
            self._next_try = time.monotonic() + RETRY_S
        except (LeaseLost, RecordMissing) as error:
            logger.warning("%s", error)
            self.lost = True
        else:
            self._waiting = []

    def finish(self, keep_waiting: Callable[[], bool]) -> bool:
        """Wait until all are forwarded; False when `keep_waiting` returned False first, or the job is lost."""
        while self._waiting and not self.lost and keep_waiting():
            self.send([])
            time.sleep(0.1 if self._waiting else 0.0)
        return not self._waiting and not self.lost
