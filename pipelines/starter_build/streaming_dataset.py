"""Pictures drawn on demand in processes of their own, never stored: a window of them that keeps changing.

`StreamingDataset` has the interface of `DrawnDataset`. The endless row of training identities is a function of domain and seed, and the
window always holds a stretch of it: `refresh` takes what has been drawn meanwhile, oldest identities leaving first. How
often a picture is seen before it leaves follows from how fast the processes draw; training never waits for them.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from pipelines.starter_build.dataset import DrawnDataset
from pipelines.starter_build.drawings.attributes import WIDE, Attributes, Domain
from pipelines.starter_build.render_dataset import LOOKS_EACH, render_identity, training_job


class StreamingDataset(DrawnDataset):
    """A window of `window` pictures of the endless row, from identity `first` on."""

    def __init__(
        self,
        domain: Domain = WIDE,
        px: int = 128,
        seed: int = 0,
        window: int = 2000,
        first: int = 0,
        processes: int | None = None,
    ) -> None:
        """Draws the first window before it returns. processes: None takes all processors but one."""
        self.seed, self.px, self.first = seed, px, first
        self.groups = max(2, window // LOOKS_EACH)
        self._asked = self._taken = first
        self._pool = ProcessPoolExecutor(
            processes or max(1, (os.cpu_count() or 2) - 1), mp_context=get_context("spawn"), initializer=_quietly
        )
        self._waiting: deque[Future[tuple[int, list[Attributes], np.ndarray]]] = deque()
        count = self.groups * LOOKS_EACH
        super().__init__(
            np.zeros((count, px, px, 3), dtype=np.uint8), np.full(count, -1), [Attributes("", "", "")] * count, domain
        )
        self.by_identity.clear()
        self._ask(self.groups)
        while self._taken < first + self.groups:
            self._take()

    def _ask(self, ahead: int) -> None:
        """Keep so many identities asked for, drawn or not."""
        while len(self._waiting) < ahead:
            job = training_job(self.domain, self._asked, self.seed, self.px)
            self._waiting.append(self._pool.submit(render_identity, job))
            self._asked += 1

    def _take(self) -> range:
        """Put the next identity into the window; waits for it. Returns its rows."""
        number, looks, pixels = self._waiting.popleft().result()
        start = self._taken % self.groups * LOOKS_EACH
        rows = range(start, start + LOOKS_EACH)
        before = int(self.identity[start])
        if self.by_identity.get(before, [-1])[0] == start:
            del self.by_identity[before]
        self.pixels[start : rows.stop] = pixels
        self.identity[start : rows.stop] = number
        self.looks[start : rows.stop] = looks
        self.by_identity[number] = list(rows)
        self._taken += 1
        return rows

    @property
    def place(self) -> int:
        """Identities drawn so far, counted from the beginning of the row; a resumed stream starts there."""
        return self._taken

    def refresh(self, most: int = 0) -> np.ndarray:
        """Take what is drawn, at most so many pictures (0: all), without waiting; returns the rows that changed."""
        changed: list[int] = []
        while self._waiting and self._waiting[0].done() and not 0 < most <= len(changed):
            changed += self._take()
        # Twice what was just taken, so that the processes have work until the next call, however seldom that comes.
        self._ask(min(self.groups, max(64, 2 * len(changed) // LOOKS_EACH)))
        return np.array(changed, dtype=np.int64)

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _quietly() -> None:
    """Drawing gives way to training."""
    os.nice(5)
