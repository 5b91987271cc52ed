"""The image expert's training data, all of it on the device: codes, figure masks and caption ids of every picture.

Worker processes draw subjects of the broad domain, word their captions and tokenise them; the training process encodes
the pictures and keeps their codes (two bytes each), so pixels are gone at once and a picture can be trained on again at
any time. A batch is then a few look-ups on the device, in fixed shapes.

Dimension letters: P pictures stored, C codes of an image, T ids of a context, R references, B rows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from pipelines.models.starter.model import StarterModel
from pipelines.starter_build.broad_domain import CAPTIONS, BroadDomain, SubjectJob
from pipelines.starter_build.dataset import to_pixels
from pipelines.starter_build.encoded_subjects import EncodedSubject, render_encoded, start_tokenizer
from pipelines.starter_build.render_dataset import IMAGES_PER_IDENTITY
from pipelines.starter_build.render_pool import RenderPool

ENCODED_GROUPS = 16
"""Subjects that are encoded together."""
NO_REFERENCE = 0.3
"""Share of rows without a reference; their captions say who it is."""
NOTHING = 1 / 3
"""Share of those that see no words either: the empty branch of classifier-free guidance."""
ONE_REFERENCE = 0.4
"""Share of the rows with references that have only one; the others have any larger number alike."""
REFERENCES_ALONE = 0.1
"""Share of the rows with references that see no words: 7 % of all rows."""


@dataclass(frozen=True)
class CodeBatch:
    """One batch on the device."""

    ids: torch.Tensor
    """(B, T) context ids, padded on the right."""
    lengths: torch.Tensor
    """(B,) how many of them are real."""
    drop_words: torch.Tensor
    """(B,) bool, rows that see no words."""
    codes: torch.Tensor
    """(B, C) int64 codes to be predicted."""
    figure: torch.Tensor
    """(B, C) bool, where the figure is."""
    reference_codes: torch.Tensor
    """(B, R, C) int64, of other pictures of the same subject."""
    present: torch.Tensor
    """(B, R) bool, which of them the row has."""


class CodeStore:
    """Up to `capacity` pictures on the device; the oldest are replaced when it is full."""

    def __init__(self, capacity: int, image_tokens: int, context_tokens: int, device: torch.device) -> None:
        self.capacity = max(1, capacity // IMAGES_PER_IDENTITY) * IMAGES_PER_IDENTITY
        self.codes = torch.zeros(self.capacity, image_tokens, dtype=torch.int16, device=device)  # (P, C)
        self.figure = torch.zeros(self.capacity, image_tokens, dtype=torch.bool, device=device)  # (P, C)
        self.ids = torch.zeros(self.capacity, CAPTIONS, context_tokens, dtype=torch.int32, device=device)
        self.lengths = torch.ones(self.capacity, CAPTIONS, dtype=torch.int16, device=device)
        self.added = 0
        """Pictures ever added."""

    @property
    def filled(self) -> int:
        """Pictures held, rows 0 to `filled` - 1; rows 10 n to 10 n + 9 show one subject."""
        return min(self.added, self.capacity)

    def add(self, codes: torch.Tensor, subjects: list[EncodedSubject]) -> None:
        """Add the pictures of some subjects with their codes (n, C)."""
        rows = (self.added + torch.arange(len(codes), device=codes.device)) % self.capacity
        self.codes[rows] = codes.to(torch.int16)
        for store, values in (
            (self.figure, [subject.figure for subject in subjects]),
            (self.ids, [subject.ids for subject in subjects]),
            (self.lengths, [subject.lengths for subject in subjects]),
        ):
            store[rows] = torch.from_numpy(np.concatenate(values)).to(store.device, non_blocking=True)
        self.added += len(codes)

    def batch(self, size: int, references: int, generator: torch.Generator) -> CodeBatch:
        """A random training batch with `references` places for references, in the shares of the constants above."""

        def rand(*shape: int) -> torch.Tensor:
            return torch.rand(*shape, generator=generator, device=self.codes.device)

        def randint(high: int) -> torch.Tensor:
            return torch.randint(high, (size,), generator=generator, device=self.codes.device)

        rows, many = randint(self.filled), max(2, references)
        none, one = rand(size) < (NO_REFERENCE if references else 1.0), rand(size) < ONE_REFERENCE
        counts = torch.where(one, 1, 2 + (rand(size) * (many - 1)).long()).masked_fill(none, 0)
        caption = torch.where(none, randint(CAPTIONS // 2), randint(CAPTIONS))  # the first half say who it is
        drop = rand(size) < torch.where(none, NOTHING, REFERENCES_ALONE)
        chosen = self.other_rows(rows, references, rand(size, IMAGES_PER_IDENTITY))
        return self.gather(rows, caption, chosen, counts, drop)

    @staticmethod
    def other_rows(rows: torch.Tensor, references: int, order: torch.Tensor) -> torch.Tensor:
        """(B, R) other pictures of the subjects in `rows` (B,), by ascending `order` (B, 10)."""
        own = rows % IMAGES_PER_IDENTITY
        others = order.scatter(1, own[:, None], 2.0).argsort(1)[:, :references]  # a row itself comes last
        return (rows - own)[:, None] + others

    def gather(
        self,
        rows: torch.Tensor,
        caption: torch.Tensor,
        references: torch.Tensor,
        counts: torch.Tensor,
        drop_words: torch.Tensor,
    ) -> CodeBatch:
        """The batch of rows (B,) with captions (B,), rows of references (B, R) of which the first `counts` are seen."""
        places = torch.arange(references.shape[1], device=rows.device)
        return CodeBatch(
            self.ids[rows, caption].long(),
            self.lengths[rows, caption].long(),
            drop_words,
            self.codes[rows].long(),
            self.figure[rows],
            self.codes[references].long(),
            places < counts[:, None],
        )


class CodeStream:
    """Fills code stores with subjects that worker processes draw."""

    def __init__(
        self,
        model: StarterModel,
        tokenizer: PreTrainedTokenizerFast,
        jobs: Iterator[SubjectJob],
        processes: int | None = None,
    ) -> None:
        """Nothing is drawn before `fill` or `refresh`. processes: None uses all processors but one."""
        self.model = model
        self._received: list[EncodedSubject] = []
        settings = (tokenizer.backend_tokenizer.to_str(), model.spec.boi_id, model.config.context_tokens)
        self._pool: RenderPool[SubjectJob, EncodedSubject]
        self._pool = RenderPool(render_encoded, jobs, processes, start_tokenizer, settings)

    def fill(self, store: CodeStore, pictures: int) -> None:
        """Wait for the next so many pictures and put them into `store`."""
        groups = -(-pictures // IMAGES_PER_IDENTITY)
        self._pool.submit(groups)
        for _ in range(groups):
            self._received.append(self._pool.receive())
            self._encode(store, ENCODED_GROUPS)
        self._encode(store, 1)

    def refresh(self, store: CodeStore, max_images: int = 0) -> None:
        """Put what has been drawn into `store`, at most so many pictures (0: all), without waiting."""
        taken = 0
        while self._pool.is_ready and not 0 < max_images <= taken:
            self._received.append(self._pool.receive())
            taken += IMAGES_PER_IDENTITY
            self._encode(store, ENCODED_GROUPS)
        self._pool.submit(max(8 * ENCODED_GROUPS, 2 * taken // IMAGES_PER_IDENTITY))

    @torch.no_grad()
    def _encode(self, store: CodeStore, fewest: int) -> None:
        """Encode and store what was received, if these are `fewest` subjects or more."""
        if len(self._received) < fewest:
            return
        pixels = np.concatenate([subject.pixels for subject in self._received])
        # fp32: in half precision neighbouring codes are confused.
        with torch.autocast(self.model.device.type, enabled=False):
            codes = self.model.encode_images(to_pixels(pixels, self.model.device))
        store.add(codes, self._received)
        self._received.clear()

    def close(self) -> None:
        """End the worker processes."""
        self._pool.close()


def subject_jobs(
    domain: BroadDomain, model: StarterModel, seed: int, first: int = 0, held_out: bool = False
) -> Iterator[SubjectJob]:
    """The endless sequence of subjects, drawn as this model reads them, from position `first` on."""
    px, side = model.spec.image_px, model.vq.config.side
    return (SubjectJob(domain, position, seed, px, held_out, side) for position in count(first))
