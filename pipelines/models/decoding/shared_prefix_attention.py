"""Looking back at what many rows have in common, kept and read once.

A group's rows go on from one prompt, and all prompts of a character begin with the same persona. Copied into every row
those keys and values are most of what a step reads; here each row asks them together, in one product for a start or a
prompt, and only its own new positions alone. The softmax runs over all parts, so the numbers are those of the plain way
(the idea is that of shared-prefix attention, Juravsky et al. 2024, https://arxiv.org/abs/2402.05099).

Letters: N rows, P prompts, T positions of a part, K key heads, Q query heads of one key head, W their width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, DynamicCache, PretrainedConfig

NAME = "understudy_shared_past"


@dataclass
class SharedSegment:
    """What every `size / owners` neighbouring rows have in common."""

    layers: list[tuple[torch.Tensor, torch.Tensor]]
    """Keys and values (owners, K, T, W) of each layer."""
    hidden: torch.Tensor | None
    """(owners, 1, 1, T) True where a position is padding; None when none is."""

    @property
    def owners(self) -> int:
        """1 for a start that all share, P for their own rests."""
        return len(self.layers[0][0])


class SharedPrefixCache:
    """The parts that N rows look back at, and which of the rows there were at the beginning still go on."""

    def __init__(self, cache: DynamicCache, mask: torch.Tensor | None, start: int, group: int) -> None:
        """Take over what P prompts have read: their first `start` positions are the same, each gets `group` rows.

        mask: (P, T) 0 at padding, or None.
        """
        layers = [(layer.keys, layer.values) for layer in cache.layers]
        padding = None if mask is None else (mask[:, None, None, start:] == 0)
        rest = SharedSegment([(keys[:, :, start:], values[:, :, start:]) for keys, values in layers], padding)
        first = (
            [SharedSegment([(keys[:1, :, :start], values[:1, :, :start]) for keys, values in layers], None)]
            if start
            else []
        )
        self.parts = [*first, rest]
        self.size = rest.owners * group
        self._rows: torch.Tensor | None = None  # (N,) which of `size` rows go on; None: all

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only; rows (M,) indices."""
        self._rows = rows if self._rows is None else self._rows[rows]

    def ask(self, layer: int, queries: torch.Tensor) -> list[torch.Tensor]:
        """Scores of queries (N, K, Q, W) on each part, (N, K, Q, T)."""
        found = []
        for part in self.parts:
            keys, _ = part.layers[layer]
            scores = self._together(queries, part.owners) @ keys.transpose(-1, -2)  # (owners, K, rows * Q, T)
            if part.hidden is not None:
                scores.masked_fill_(part.hidden, -torch.inf)
            found.append(self._apart(scores, queries.shape[2]))
        return found

    def answer(self, layer: int, weights: list[torch.Tensor]) -> torch.Tensor:
        """What weights (N, K, Q, T) on each part take from it, added up: (N, K, Q, W)."""
        taken = [
            self._apart(self._together(weight, part.owners) @ part.layers[layer][1], weight.shape[2])
            for part, weight in zip(self.parts, weights, strict=True)
        ]
        return taken[0] if len(taken) == 1 else taken[0] + taken[1]

    def _together(self, of_rows: torch.Tensor, owners: int) -> torch.Tensor:
        """(N, K, Q, X) to (owners, K, rows of one * Q, X); rows that have left count as zeros."""
        _, heads, each, width = of_rows.shape
        if self._rows is not None:
            of_rows = of_rows.new_zeros(self.size, heads, each, width).index_copy_(0, self._rows, of_rows)
        return of_rows.view(owners, -1, heads, each, width).transpose(1, 2).reshape(owners, heads, -1, width)

    def _apart(self, of_owners: torch.Tensor, each: int) -> torch.Tensor:
        """The way back."""
        owners, heads, _, width = of_owners.shape
        rows = of_owners.view(owners, heads, -1, each, width).transpose(1, 2).reshape(-1, heads, each, width)
        return rows if self._rows is None else rows[self._rows]


def shared_prefix_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    shared_past: SharedPrefixCache,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface for one new position: query (N, K * Q, 1, W), own ones (N, K, T, W)."""
    rows, heads, _one, width = query.shape
    queries = query.reshape(rows, key.shape[1], -1, width) * scaling  # (N, K, Q, W)
    layer: int = module.layer_idx  # type: ignore[assignment]
    scores = [*shared_past.ask(layer, queries), queries @ key.transpose(-1, -2)]
    *weights, own = torch.cat(scores, -1).softmax(-1).split([part.shape[-1] for part in scores], -1)
    answer = shared_past.answer(layer, weights) + own @ value
    return answer.reshape(rows, 1, heads, width), None


AttentionInterface.register(NAME, shared_prefix_attention)


@contextmanager
def use_shared_prefix_attention(config: PretrainedConfig) -> Iterator[None]:
    """Inside, the decoder of this config attends with `shared_prefix_attention` (and makes no mask of its own)."""
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def is_faster_on(device: torch.device) -> bool:
    """Whether rows should share their past on this device: a GPU replays steps of fixed shapes instead (`static_decode.py`)."""
    return device.type == "cpu"
