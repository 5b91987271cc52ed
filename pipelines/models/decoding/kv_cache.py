"""Keys and values with room behind them: a step of sampling writes its own instead of copying all that went before.

The library's `DynamicCache` joins old and new at every step, which copies the whole conversation each time; for two
rows of 400 positions that is a sixth of a step on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer

BLOCK_POSITIONS = 128
"""Positions that are taken at a time; more than most replies have."""


class PreallocatedLayer(DynamicLayer):
    """One layer's keys and values; what it hands out are views of larger tensors."""

    _layer_type = None  # the library makes a subclass with a type the one for all models

    def __init__(self) -> None:
        super().__init__()
        self._room: tuple[torch.Tensor, torch.Tensor] | None = None
        self._views: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put new keys and values (N, heads, T, width) behind the old; returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        # Whoever repeats or selects rows sets other tensors; then they are copied into new room.
        own = self._views is not None and self.keys is self._views[0] and self.values is self._views[1]
        if not own or self._room is None or self._room[0].shape[-2] < new:
            self._room = tuple(_with_spare_positions(part, new) for part in (key_states, value_states))
            if old:
                self._room[0][..., :old, :], self._room[1][..., :old, :] = self.keys, self.values
        keys, values = self._room
        keys[..., old:new, :], values[..., old:new, :] = key_states, value_states
        self._views = self.keys, self.values = keys[..., :new, :], values[..., :new, :]
        return self._views


def _with_spare_positions(like: torch.Tensor, positions: int) -> torch.Tensor:
    rows, heads, _, width = like.shape
    return like.new_empty(rows, heads, -(-(positions + 1) // BLOCK_POSITIONS) * BLOCK_POSITIONS, width)


def preallocated_cache(config: PretrainedConfig) -> DynamicCache:
    """An empty cache for a decoder whose layers all attend to everything."""
    cache = DynamicCache(config=config)
    cache.layers = [PreallocatedLayer() for _ in cache.layers]
    return cache
