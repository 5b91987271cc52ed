"""Preallocated KV cache: a decoding step writes its keys and values into spare positions instead of copying the rest.

The library's `DynamicCache` concatenates old and new at every step, which copies the whole conversation each time; for
two rows of 400 positions that is a sixth of a step on a CPU.

Dimension letters: N rows, K key heads, T positions, W width of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer

BLOCK_POSITIONS = 128
"""Positions that are allocated at a time; more than most replies have."""


class PreallocatedLayer(DynamicLayer):
    """One layer's keys and values; `keys` and `values` are views of larger buffers."""

    _layer_type = None  # a subclass with a type of its own would be used by the library for all models

    def __init__(self) -> None:
        super().__init__()
        self._buffers: tuple[torch.Tensor, torch.Tensor] | None = None
        self._views: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append new keys and values (N, K, T, W); returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        # Repeating or selecting rows replaces self.keys; then the buffers no longer hold them and are made anew.
        valid = self._views is not None and self.keys is self._views[0] and self.values is self._views[1]
        if not valid or self._buffers is None or self._buffers[0].shape[-2] < new:
            self._buffers = tuple(_with_spare_positions(part, new) for part in (key_states, value_states))
            if old:
                self._buffers[0][..., :old, :], self._buffers[1][..., :old, :] = self.keys, self.values
        keys, values = self._buffers
        keys[..., old:new, :], values[..., old:new, :] = key_states, value_states
        self._views = self.keys, self.values = keys[..., :new, :], values[..., :new, :]
        return self._views


def _with_spare_positions(like: torch.Tensor, positions: int) -> torch.Tensor:
    """An uninitialised (N, K, T', W) for at least one position more, T' a whole number of blocks."""
    rows, heads, _, width = like.shape
    return like.new_empty(rows, heads, -(-(positions + 1) // BLOCK_POSITIONS) * BLOCK_POSITIONS, width)


def preallocated_cache(config: PretrainedConfig) -> DynamicCache:
    """An empty cache for a decoder whose layers all use full causal attention."""
    cache = DynamicCache(config=config)
    cache.layers = [PreallocatedLayer() for _ in cache.layers]
    return cache
