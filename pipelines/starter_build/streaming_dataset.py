"""Images rendered on demand by worker processes, never stored: a window of them that keeps changing.

`StreamingDataset` has the interface of `DrawnDataset`; `BroadStream` is a window over the broad domain, which has
pixels and knows which rows show the same subject. The endless sequence of training identities is a function of domain
and seed, and the window always holds a stretch of it: `refresh` takes what has been rendered meanwhile, replacing the
oldest identities. How often an image is trained on before it is replaced follows from how fast the workers render;
training never waits for them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

import numpy as np

from pipelines.starter_build.broad_domain import BroadDomain, SubjectImages, SubjectJob, render_subject
from pipelines.starter_build.build_loop import shuffled_batches
from pipelines.starter_build.dataset import DrawnDataset
from pipelines.starter_build.drawings.attributes import WIDE, Attributes, Domain
from pipelines.starter_build.render_dataset import IMAGES_PER_IDENTITY, RenderJob, render_identity, training_job
from pipelines.starter_build.render_pool import Job, Rendered, RenderPool


def submit_more(pool: RenderPool[Job, Rendered], groups: int, changed: int) -> None:
    """Keep the workers busy until the next call, however seldom that comes: twice what was just taken is pending."""
    pool.submit(min(groups, max(64, 2 * changed // IMAGES_PER_IDENTITY)))


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
        self.groups = max(2, window // IMAGES_PER_IDENTITY)  # identities in the window
        self._received = first
        jobs = (training_job(domain, position, seed, px) for position in count(first))
        self._pool: RenderPool[RenderJob, tuple[int, list[Attributes], np.ndarray]]
        self._pool = RenderPool(render_identity, jobs, processes)
        images = self.groups * IMAGES_PER_IDENTITY
        super().__init__(
            np.zeros((images, px, px, 3), dtype=np.uint8),
            np.full(images, -1),
            [Attributes("", "", "")] * images,
            domain,
        )
        self.rows_by_identity.clear()
        try:
            self._pool.submit(self.groups)
            while self._received < first + self.groups:
                self._receive()
        except BaseException:
            self._pool.close()
            raise

    def _receive(self) -> range:
        """Put the next identity into the window, waiting for it; returns its rows."""
        number, attributes, pixels = self._pool.receive()
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
        while self._pool.is_ready and not 0 < max_images <= len(changed):
            changed += self._receive()
        submit_more(self._pool, self.groups, len(changed))
        return np.array(changed, dtype=np.int64)

    def close(self) -> None:
        """End the worker processes."""
        self._pool.close()


class BroadStream:
    """A window of `window` images of the broad domain, starting at position `first` of its sequence."""

    def __init__(
        self,
        domain: BroadDomain,
        px: int,
        seed: int = 0,
        window: int = 2000,
        first: int = 0,
        processes: int | None = None,
    ) -> None:
        """Fills the window before it returns. processes: None uses all processors but one."""
        self.groups = max(2, window // IMAGES_PER_IDENTITY)
        self.pixels = np.zeros((self.groups * IMAGES_PER_IDENTITY, px, px, 3), dtype=np.uint8)
        """(N, px, px, 3); rows 10 n to 10 n + 9 show one subject."""
        self._received = first
        jobs = (SubjectJob(domain, position, seed, px) for position in count(first))
        self._pool: RenderPool[SubjectJob, SubjectImages] = RenderPool(render_subject, jobs, processes)
        try:
            self._pool.submit(self.groups)
            while self._received < first + self.groups:
                self._receive()
        except BaseException:
            self._pool.close()
            raise

    def _receive(self) -> None:
        start = self._received % self.groups * IMAGES_PER_IDENTITY
        self.pixels[start : start + IMAGES_PER_IDENTITY] = self._pool.receive().pixels
        self._received += 1

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def position(self) -> int:
        """Subjects of the sequence received so far; a resumed stream starts there."""
        return self._received

    def refresh(self, max_images: int = 0) -> np.ndarray:
        """As `StreamingDataset.refresh`."""
        before = self._received
        while self._pool.is_ready and not 0 < max_images <= (self._received - before) * IMAGES_PER_IDENTITY:
            self._receive()
        taken = np.arange(before, self._received) % self.groups
        submit_more(self._pool, self.groups, len(taken) * IMAGES_PER_IDENTITY)
        return (taken[:, None] * IMAGES_PER_IDENTITY + np.arange(IMAGES_PER_IDENTITY)).reshape(-1)

    def batches(self, batch_size: int, seed: int) -> Iterator[np.ndarray]:
        """Endless batches of rows, every row once per epoch."""
        for rows in shuffled_batches(len(self), batch_size, seed):
            yield rows.numpy()

    def sample_rows(self, rng: random.Random, subjects: int, images_per_subject: int) -> np.ndarray:
        """Rows of several images of each of several subjects; the subject of a row is its number // 10."""
        chosen = rng.sample(range(self.groups), subjects)
        shown = [rng.sample(range(IMAGES_PER_IDENTITY), images_per_subject) for _ in chosen]
        return np.array(
            [group * IMAGES_PER_IDENTITY + one for group, ones in zip(chosen, shown, strict=True) for one in ones]
        )

    def close(self) -> None:
        """End the worker processes."""
        self._pool.close()
