"""Shared-prefix attention: keys and values that many rows have in common are kept and read once.

The samples of a group continue one prompt, and all prompts of a character begin with the same persona. Copied into
every row, those keys and values are most of what a decoding step reads. Here the queries of all rows that share a
segment are multiplied with it in one product, and each row attends alone only to its own new positions. One softmax
runs over the scores of all segments, so the numbers are those of ordinary attention (Juravsky et al. 2024, Hydragen,
https://arxiv.org/abs/2402.05099).

Dimension letters: N rows, P prompts, S owners of a segment (1 or P), T positions, K key heads, Q query heads of one key
head, W width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, DynamicCache, PretrainedConfig

NAME = "understudy_shared_prefix"


@dataclass
class SharedSegment:
    """Positions that neighbouring rows have in common: `SharedPrefixCache.size / owners` rows each."""

    layers: list[tuple[torch.Tensor, torch.Tensor]]
    """Keys and values (S, K, T, W) of each layer."""
    padding: torch.Tensor | None
    """(S, 1, 1, T) True where a position is padding; None when none is."""

    @property
    def owners(self) -> int:
        """1 for the start that all rows share, P for the rest of each prompt."""
        return len(self.layers[0][0])


class SharedPrefixCache:
    """The prefilled prompts of N rows: one segment that all share, if any, and one for each prompt."""

    def __init__(self, cache: DynamicCache, mask: torch.Tensor | None, shared: int, group: int) -> None:
        """Take over P prefilled prompts: their first `shared` positions are equal, each gets `group` rows.

        mask: (P, T) 0 at padding, or None.
        """
        layers = [(layer.keys, layer.values) for layer in cache.layers]
        padding = None if mask is None else (mask[:, None, None, shared:] == 0)
        own = SharedSegment([(keys[:, :, shared:], values[:, :, shared:]) for keys, values in layers], padding)
        common = (
            [SharedSegment([(keys[:1, :, :shared], values[:1, :, :shared]) for keys, values in layers], None)]
            if shared
            else []
        )
        self.segments = [*common, own]
        self.size = own.owners * group  # rows at the beginning
        self._rows: torch.Tensor | None = None  # (N,) which of `size` rows are still decoded; None: all

    def keep(self, rows: torch.Tensor) -> None:
        """Continue with these rows only; rows (M,) indices into the present ones."""
        self._rows = rows if self._rows is None else self._rows[rows]

    def scores(self, layer: int, queries: torch.Tensor) -> list[torch.Tensor]:
        """Attention scores of scaled queries (N, K, Q, W) on each segment, (N, K, Q, T)."""
        found = []
        for segment in self.segments:
            keys, _ = segment.layers[layer]
            scores = self._by_owner(queries, segment.owners) @ keys.transpose(-1, -2)  # (S, K, N / S * Q, T)
            if segment.padding is not None:
                scores.masked_fill_(segment.padding, -torch.inf)
            found.append(self._by_row(scores, queries.shape[2]))
        return found

    def weighted_values(self, layer: int, weights: list[torch.Tensor]) -> torch.Tensor:
        """Sum over the segments of weights (N, K, Q, T) times values: (N, K, Q, W)."""
        sums = [
            self._by_row(self._by_owner(weight, segment.owners) @ segment.layers[layer][1], weight.shape[2])
            for weight, segment in zip(weights, self.segments, strict=True)
        ]
        return sums[0] if len(sums) == 1 else sums[0] + sums[1]

    def _by_owner(self, by_row: torch.Tensor, owners: int) -> torch.Tensor:
        """(N, K, Q, X) to (S, K, size / S * Q, X); rows that have stopped become zeros, so that owners stay equal."""
        _, heads, queries, width = by_row.shape
        if self._rows is not None:
            by_row = by_row.new_zeros(self.size, heads, queries, width).index_copy_(0, self._rows, by_row)
        return by_row.view(owners, -1, heads, queries, width).transpose(1, 2).reshape(owners, heads, -1, width)

    def _by_row(self, by_owner: torch.Tensor, queries: int) -> torch.Tensor:
        """The inverse: (S, K, size / S * Q, X) to (N, K, Q, X)."""
        owners, heads, _, width = by_owner.shape
        rows = by_owner.view(owners, heads, -1, queries, width).transpose(1, 2).reshape(-1, heads, queries, width)
        return rows if self._rows is None else rows[self._rows]


def shared_prefix_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    shared_prefix: SharedPrefixCache,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface for one new position: query (N, K * Q, 1, W), keys and values since the prompt
    (N, K, T, W). No mask: rows are decoded in step, so none of their own positions is padding."""
    rows, heads, _one, width = query.shape
    queries = query.reshape(rows, key.shape[1], -1, width) * scaling  # (N, K, Q, W)
    layer: int = module.layer_idx  # type: ignore[assignment]
    scores = [*shared_prefix.scores(layer, queries), queries @ key.transpose(-1, -2)]
    *weights, own = torch.cat(scores, -1).softmax(-1).split([part.shape[-1] for part in scores], -1)
    mixed = shared_prefix.weighted_values(layer, weights) + own @ value  # (N, K, Q, W)
    return mixed.reshape(rows, 1, heads, width), None


AttentionInterface.register(NAME, shared_prefix_attention)


@contextmanager
def use_shared_prefix_attention(config: PretrainedConfig) -> Iterator[None]:
    """Inside, the decoder of this config uses `shared_prefix_attention`, for which the library makes no mask."""
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def is_faster_on(device: torch.device) -> bool:
    """Whether to share the prefix on this device; a GPU replays steps of static shapes instead (`static_decode.py`)."""
    return device.type == "cpu"
