"""Attention of packed rows, block by block: queries meet the keys that they may see, and few others.

A packed row (`segments.py`) of 1,280 positions has 1.6 million pairs of query and key, of which its segments may see a
quarter; a mask over the whole square computes them all, and on a CPU that was two fifths of a training step. Here the
row is cut into blocks of neighbouring positions, whole segments where they fit, and each block attends to the shared
prefix and to the stretch from its first segment's start to its own end. Numbers are those of the masked square.
FlexAttention (torch.nn.attention.flex_attention) does the same with a compiler, which people's machines need not have.

Dimension letters: B rows, T positions, H heads, Q positions of a block, K keys it meets, W width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "understudy_packed"
BLOCK = 160
"""Positions of a block at most; more of them compute more masked pairs, fewer make more calls."""


@dataclass(frozen=True)
class AttentionBlock:
    """Neighbouring positions of one row and what they see."""

    row: int
    start: int
    stop: int
    prefix: int
    """Keys of the shared prefix that it meets: its first `prefix` positions."""
    first_key: int
    """It also meets the keys from here to `stop`."""
    mask: torch.Tensor
    """(1, 1, Q, prefix + stop - first_key) bool."""


def attention_blocks(segment_ids: torch.Tensor, mask: torch.Tensor, block: int = BLOCK) -> list[AttentionBlock]:
    """The blocks of packed rows, in order; segment_ids (B, T), and their `block_mask` (B, 1, T, T)."""
    blocks = []
    for row, segments in enumerate(segment_ids.tolist()):
        starts = [place for place, segment in enumerate(segments) if place == 0 or segment != segments[place - 1]]
        shared = (starts[1] if len(starts) > 1 else len(segments)) if segments[0] == 0 else 0
        for start, stop, first_key in _stretches(starts, len(segments), block):
            seen = mask[row : row + 1, :, start:stop]
            prefix = shared if first_key >= shared and bool(seen[..., :shared].any()) else 0
            own = seen[..., first_key:stop]
            both = torch.cat([seen[..., :prefix], own], -1) if prefix else own
            blocks.append(AttentionBlock(row, start, stop, prefix, first_key, both.contiguous()))
    return blocks


def _stretches(starts: list[int], length: int, block: int) -> Iterator[tuple[int, int, int]]:
    # (start, stop, start of the segment at `start`): whole segments while they fit into a block, else parts of one.
    ends = [*starts[1:], length]
    number, start = 0, 0
    while start < length:
        first_key = starts[number]
        stop = min(ends[number], start + block)
        while number + 1 < len(starts) and stop == ends[number] and ends[number + 1] - start <= block:
            number += 1
            stop = ends[number]
        yield start, stop, first_key
        number += stop == ends[number]
        start = stop


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    packed_blocks: list[AttentionBlock] | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface: query (B, H, T, W) to (B, T, H, W). Without blocks the library's own."""
    if packed_blocks is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    key, value = (repeat_kv(part, module.num_key_value_groups) for part in (key, value))
    rows: list[list[torch.Tensor]] = [[] for _ in query]
    for block in packed_blocks:
        own = slice(block.row, block.row + 1)
        seen = [part[own, :, block.first_key : block.stop] for part in (key, value)]
        if block.prefix:
            heads = [part[own, :, : block.prefix] for part in (key, value)]
            seen = [torch.cat(pair, 2) for pair in zip(heads, seen, strict=True)]
        mixed = F.scaled_dot_product_attention(
            query[own, :, block.start : block.stop], *seen, attn_mask=block.mask, scale=scaling
        )
        rows[block.row].append(mixed)
    return torch.cat([torch.cat(row, 2) for row in rows]).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def is_faster_on(device: torch.device) -> bool:
    """Whether blocks beat the masked square on this device: a GPU prefers one large kernel."""
    return device.type == "cpu"
