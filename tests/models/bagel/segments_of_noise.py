"""Segments whose images are noise, and rows of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pipelines.models.bagel.model import BagelModel
from pipelines.models.bagel.rows import Drawn, LookedAt, PackedRow, Segment, Text, pack

WORDS = Text((5, 6, 7))


def some(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def latents(rows: int = 2, columns: int = 3, seed: int = 0) -> torch.Tensor:
    return some(16, 2 * rows, 2 * columns, seed=seed)


def drawn(t: float = 0.6, rows: int = 2, columns: int = 3, seed: int = 0, noise_seed: int = 9) -> Drawn:
    return Drawn(latents(rows, columns, seed), t, some(rows * columns, 64, seed=noise_seed))


def look(seed: int = 0) -> LookedAt:
    return LookedAt(some(3, 28, 42, seed=seed))


def row_of(model: BagelModel, *samples: Sequence[Segment]) -> PackedRow:
    return pack(samples, model.config)
