"""The events of a job as far as they were read.

A log only ever grows, so pages that share one read each event once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.core.events import Event
from pipelines.core.records import Records

PAGE = 500
"""Events that one query reads."""


@dataclass
class RunLog:
    """The events of one job as far as they were read; a log only grows, so any number of pages may share one."""

    job: str
    events: list[Event] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read_new(self, records: Records) -> Sequence[Event]:
        """Read what is new; returns all events so far."""
        with self.lock:
            while True:
                last = self.events[-1].sequence if self.events else -1
                new = records.events.after(self.job, last, PAGE)
                self.events.extend(new)
                if len(new) < PAGE:
                    return tuple(self.events)
