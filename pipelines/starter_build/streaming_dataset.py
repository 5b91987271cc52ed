"""Images rendered on demand by worker processes, never stored: a window of them that keeps changing.

`StreamingDataset` has the interface of `DrawnDataset`. The endless sequence of training identities is a function of
domain and seed, and the window always holds a stretch of it: `refresh` takes what has been rendered meanwhile,
replacing the oldest identities. How often an image is trained on before it is replaced follows from how fast the
workers render; training never waits for them.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from pipelines.starter_build.dataset import DrawnDataset
from pipelines.starter_build.drawings.attributes import WIDE, Attributes, Domain
from pipelines.starter_build.render_dataset import IMAGES_PER_IDENTITY, render_identity, training_job


class StreamingDataset(DrawnDataset):
    """A window of `window` images over the sequence of training identities, starting at position `first`."""

    def __init__(
        self,
        domain: Domain = WIDE,
        px: int = 128,
        seed: int = 0,
        window: int = 2000,
        first: int = 0,
        processes: int | None = None,
    ) -> None:
        """Fills the window before it returns. processes: None uses all processors but one."""
        self.seed, self.px = seed, px
        self.groups = max(2, window // IMAGES_PER_IDENTITY)  # identities in the window
        self._submitted = self._received = first
        self._pool = ProcessPoolExecutor(
            processes or max(1, (os.cpu_count() or 2) - 1), mp_context=get_context("spawn"), initializer=_lower_priority
        )
        self._pending: deque[Future[tuple[int, list[Attributes], np.ndarray]]] = deque()
        count = self.groups * IMAGES_PER_IDENTITY
        super().__init__(
            np.zeros((count, px, px, 3), dtype=np.uint8), np.full(count, -1), [Attributes("", "", "")] * count, domain
        )
        self.rows_by_identity.clear()
        self._submit(self.groups)
        while self._received < first + self.groups:
            self._receive()

    def _submit(self, ahead: int) -> None:
        """Submit identities until so many are pending, rendered or not."""
        while len(self._pending) < ahead:
            job = training_job(self.domain, self._submitted, self.seed, self.px)
            self._pending.append(self._pool.submit(render_identity, job))
            self._submitted += 1

    def _receive(self) -> range:
        """Put the next identity into the window, waiting for it; returns its rows."""
        number, attributes, pixels = self._pending.popleft().result()
        start = self._received % self.groups * IMAGES_PER_IDENTITY  # a ring buffer of identities
        rows = range(start, start + IMAGES_PER_IDENTITY)
        replaced = int(self.identity_numbers[start])
        # The same number may have come again elsewhere in the window; only the entry of these rows goes.
        if self.rows_by_identity.get(replaced, [-1])[0] == start:
            del self.rows_by_identity[replaced]
        self.pixels[start : rows.stop] = pixels
        self.identity_numbers[start : rows.stop] = number
        self.attributes[start : rows.stop] = attributes
        self.rows_by_identity[number] = list(rows)
        self._received += 1
        return rows

    @property
    def position(self) -> int:
        """Identities of the sequence received so far; a resumed stream starts there."""
        return self._received

    def refresh(self, max_images: int = 0) -> np.ndarray:
        """Take what has been rendered, at most so many images (0: all), without waiting; returns the changed rows."""
        changed: list[int] = []
        while self._pending and self._pending[0].done() and not 0 < max_images <= len(changed):
            changed += self._receive()
        # Twice what was just taken, so that the workers are busy until the next call, however seldom that comes.
        self._submit(min(self.groups, max(64, 2 * len(changed) // IMAGES_PER_IDENTITY)))
        return np.array(changed, dtype=np.int64)

    def close(self) -> None:
        """Stop the worker processes."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _lower_priority() -> None:
    """Rendering yields the processor to training."""
    os.nice(5)
