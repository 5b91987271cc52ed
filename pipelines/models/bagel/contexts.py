"""What has been read before an image is drawn or a text is written: keys and values, computed once.

A context never changes; reading more makes another one. It holds clean segments only, so it serves every noise level
and every sample of a prompt. `ContextBatch` stands behind the noised images of many rows at once.

Dimension letters: R rows, K key heads, P context positions, Q query positions, W width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import torch

LayerStates = tuple[torch.Tensor, torch.Tensor]
"""Keys and values (1, K, P, W) of one layer."""


@dataclass(frozen=True, eq=False)
class Context:
    """Segments of one sample that a decoder has read."""

    layers: tuple[LayerStates, ...] = ()
    position: int = 0
    """The position number of what comes next."""

    def __len__(self) -> int:
        """Positions read."""
        return self.layers[0][0].shape[2] if self.layers else 0


EMPTY = Context()


class ReadingCache:
    """Goes through the decoder once: gives each layer the context's states, and keeps those of the new positions."""

    def __init__(self, before: Context) -> None:
        self.before = before
        self.new: list[LayerStates] = []

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int) -> LayerStates:
        """Called by each layer in turn."""
        self.new.append((keys, values))
        if not self.before.layers:
            return keys, values
        return _joined(self.before.layers[layer], (keys, values))

    def contexts(self, lengths: list[int], positions: list[int]) -> list[Context]:
        """One for each sample of the row that was read."""
        parts = [zip(keys.split(lengths, 2), values.split(lengths, 2), strict=True) for keys, values in self.new]
        found = []
        for layers, position in zip(zip(*parts, strict=True), positions, strict=True):
            if self.before.layers:
                layers = tuple(_joined(old, new) for old, new in zip(self.before.layers, layers, strict=True))
            found.append(Context(layers, position))
        return found


def _joined(old: LayerStates, new: LayerStates) -> LayerStates:
    return torch.cat([old[0], new[0]], 2), torch.cat([old[1], new[1]], 2)


class ContextBatch:
    """Contexts of R rows, padded to one length, behind queries that are not kept."""

    def __init__(self, contexts: Sequence[Context], queries: int, layers: int, device: torch.device) -> None:
        """queries: positions of each row's query."""
        self.rows = len(contexts)
        lengths = torch.tensor([len(context) for context in contexts])
        self.longest = int(lengths.max())
        self.positions = torch.tensor([context.position for context in contexts], device=device)  # (R,)
        self.layers = [_stacked(contexts, layer, self.longest, queries) for layer in range(layers)]
        real = torch.arange(self.longest + queries) < lengths[:, None]  # (R, P + Q)
        real[:, self.longest :] = True
        self.mask = None if bool(real.all()) else real[:, None, None].to(device)  # (R, 1, 1, P + Q)

    def first(self, rows: int) -> ContextBatch:
        """The first rows alone; shares memory."""
        if rows == self.rows:
            return self
        part = copy(self)
        part.rows, part.positions = rows, self.positions[:rows]
        part.layers = [None if pair is None else (pair[0][:rows], pair[1][:rows]) for pair in self.layers]
        part.mask = None if self.mask is None else self.mask[:rows]
        return part

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int) -> LayerStates:
        """The context's states with the query's (R, K, Q, W) behind them."""
        states = self.layers[layer]
        if states is None:
            return keys, values
        if torch.is_grad_enabled():
            return _joined((states[0][:, :, : self.longest], states[1][:, :, : self.longest]), (keys, values))
        # Into the spare places: the context is not copied at every step of a drawing.
        states[0][:, :, self.longest :], states[1][:, :, self.longest :] = keys, values
        return states


def _stacked(contexts: Sequence[Context], layer: int, longest: int, queries: int) -> LayerStates | None:
    """(R, K, P + Q, W) keys and values of one layer; None where no row has a context."""
    like = next((context.layers[layer] for context in contexts if context.layers), None)
    if like is None:
        return None
    stacked = []
    for part in range(2):
        blank = like[part].new_zeros(len(contexts), like[part].shape[1], longest + queries, like[part].shape[3])
        for row, context in enumerate(contexts):
            if context.layers:
                blank[row, :, : len(context)] = context.layers[layer][part][0]
        stacked.append(blank)
    return stacked[0], stacked[1]
