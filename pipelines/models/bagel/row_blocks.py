"""Blocks of a packed row, so that attention computes few pairs that nothing sees (`packed_attention.py`).

Positions of one sample and branch follow each other: a run. A run sees itself and what its sample's branches share, so
runs are never cut: an image sees itself forwards as well. Only the first sample of a row may have branches, as in rows
of ids; other rows have no blocks and attend under their whole mask.

Dimension letters: T positions.
"""

from __future__ import annotations

import torch

from pipelines.models.bagel.rows import PackedRow
from pipelines.models.packed_attention import BLOCK, AttentionBlock, attention_blocks, is_faster_on

LARGE_MASK = 8192
"""Positions from which on a row is cut on a GPU too, where the mask and its copies would take gigabytes. Not measured
yet: below it the one large kernel is taken to be faster, as for the other families."""


def blocks_of(row: PackedRow, mask: torch.Tensor) -> list[AttentionBlock] | None:
    """The blocks of a row under its mask (T, T); None where it has none, or where the masked square is faster."""
    if not is_faster_on(mask.device) and len(mask) < LARGE_MASK:
        return None
    starts = torch.ones_like(row.sample, dtype=torch.bool)
    starts[1:] = (row.sample[1:] != row.sample[:-1]) | (row.branch[1:] != row.branch[:-1])
    runs = starts.long().cumsum(0) - 1  # (T,) counted from 0
    first = row.sample == row.sample[0]
    others = row.sample[starts & ~first]
    if len(others) != len(others.unique()):
        return None
    longest = int(runs.bincount().max())
    return attention_blocks(runs[None], mask[None, None], max(BLOCK, longest))
