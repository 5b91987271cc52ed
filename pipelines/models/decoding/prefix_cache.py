"""Prefix KV cache: keys and values of earlier prompts, so that the next turn of a chat prefills only what is new.

A turn's prompt begins with the persona and the conversation so far, which the same adapter has read for the turn
before. Entries belong to one adapter each; over the limit the least recently used leaves first. One cache belongs to
one base model and is used by one thread at a time.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipelines.models.decoding.multi_lora import Adapter

LIMIT_BYTES = 256 * 2**20
"""A prompt of 400 ids takes 18 MB on the starter (fp32), 80 MB on janus-pro-1b (bf16)."""

LayerStates = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of each layer, each (1, heads, positions, head width)."""


@dataclass(frozen=True)
class CachedPrefix:
    """One prompt as one adapter has read it."""

    adapter: weakref.ref[Adapter]  # weak: an adapter that nobody uses any more must not be kept in memory by its cache
    ids: Sequence[int]
    layers: LayerStates

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(part.nbytes for pair in self.layers for part in pair)


class PrefixCache:
    """Prompts read lately, least recently used first out; entries of adapters that are gone leave as well."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._entries: list[CachedPrefix] = []  # least recently used first

    def lookup(self, adapter: Adapter, ids: Sequence[int], unshared_id: int) -> tuple[int, LayerStates]:
        """The longest cached prefix of `ids`: its length, and its keys and values (length 0: an empty list).

        At least one id is left to prefill: its hidden state is needed. Nothing from the first `unshared_id` on (the
        placeholder of a looked-at image) counts, since equal ids may stand for different images there.
        """
        best, found = 0, None
        for entry in self._entries:
            length = 0
            if entry.adapter() is adapter:
                longest = min(len(entry.ids), len(ids) - 1)
                while length < longest and ids[length] == entry.ids[length] != unshared_id:
                    length += 1
            if length > best:
                best, found = length, entry
        if found is None:
            return 0, []
        self._entries.remove(found)
        self._entries.append(found)
        return best, [(keys[:, :, :best], values[:, :, :best]) for keys, values in found.layers]

    def insert(self, adapter: Adapter, ids: Sequence[int], layers: LayerStates) -> None:
        """Keep a prompt; it replaces the entries it continues."""
        entry = CachedPrefix(weakref.ref(adapter), list(ids), layers)
        self._entries = [
            old
            for old in self._entries
            if old.adapter() is not None and not (old.adapter() is adapter and entry.ids[: len(old.ids)] == old.ids)
        ]
        self._entries.append(entry)
        total = sum(old.size for old in self._entries)
        while total > self.limit_bytes and len(self._entries) > 1:
            total -= self._entries.pop(0).size

    def __len__(self) -> int:
        return len(self._entries)
