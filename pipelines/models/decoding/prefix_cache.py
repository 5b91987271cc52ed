"""What was read stays read: keys and values of earlier prompts, so that a chat's next turn reads only what is new.

A turn's prompt begins with the persona and the conversation so far, which the same adapter has read for the turn
before. One memory belongs to one base model; it is used by one thread at a time.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipelines.models.decoding.multi_lora import Adapter

LIMIT_BYTES = 256 * 2**20
"""A prompt of 400 ids takes 18 MB on the starter (fp32), 80 MB on janus-pro-1b (bf16)."""

Layers = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of each layer, each (1, heads, positions, width)."""


@dataclass(frozen=True)
class CachedPrefix:
    """One prompt as one adapter has read it."""

    adapter: weakref.ref[Adapter]
    ids: Sequence[int]
    layers: Layers

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(part.nbytes for pair in self.layers for part in pair)


class PrefixCache:
    """Prompts read lately; the ones not used for longest are forgotten first, and those of adapters that are gone."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._read: list[CachedPrefix] = []  # least lately used first

    def recall(self, adapter: Adapter, ids: Sequence[int], alone_from: int) -> tuple[int, Layers]:
        """How many ids at the start are remembered, and their keys and values.

        At least one id is left to read, and nothing from the first `alone_from` on (a looked-at picture) is remembered.
        """
        best, found = 0, None
        for entry in self._read:
            known = 0
            if entry.adapter() is adapter:
                most = min(len(entry.ids), len(ids) - 1)
                while known < most and ids[known] == entry.ids[known] != alone_from:
                    known += 1
            if known > best:
                best, found = known, entry
        if found is None:
            return 0, []
        self._read.remove(found)
        self._read.append(found)
        return best, [(keys[:, :, :best], values[:, :, :best]) for keys, values in found.layers]

    def remember(self, adapter: Adapter, ids: Sequence[int], layers: Layers) -> None:
        """Keep what was read; it takes the place of what it goes on from."""
        entry = CachedPrefix(weakref.ref(adapter), list(ids), layers)
        self._read = [
            old
            for old in self._read
            if old.adapter() is not None and not (old.adapter() is adapter and entry.ids[: len(old.ids)] == old.ids)
        ]
        self._read.append(entry)
        total = sum(old.size for old in self._read)
        while total > self.limit_bytes and len(self._read) > 1:
            total -= self._read.pop(0).size

    def __len__(self) -> int:
        return len(self._read)
