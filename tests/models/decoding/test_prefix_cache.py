"""The prefix KV cache, counted by hand: longest common prefix, least recently used first out."""

from __future__ import annotations

import gc

import torch

from pipelines.models.decoding.multi_lora import Adapter
from pipelines.models.decoding.prefix_cache import PrefixCache

PLACEHOLDER = 4


def layers(positions: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """One layer whose keys are the positions' numbers: 2 heads of width 1, 16 bytes a position."""
    keys = torch.arange(positions, dtype=torch.float32)[None, None, :, None].expand(1, 2, -1, 1).clone()
    return [(keys, -keys)]


def test_the_longest_common_prefix_is_found_but_never_the_whole_prompt() -> None:
    one, other, cache = Adapter("one", {}), Adapter("other", {}), PrefixCache()
    cache.insert(one, [7, 8, 9], layers(3))
    cache.insert(one, [7, 5], layers(2))
    length, found = cache.lookup(one, [7, 8, 9, 6], PLACEHOLDER)
    assert length == 3 and found[0][0][0, 0, :, 0].tolist() == [0, 1, 2] and found[0][1].min() == -2
    assert cache.lookup(one, [7, 8, 9], PLACEHOLDER)[0] == 2  # one id is left to read
    assert cache.lookup(one, [7, 5, 5], PLACEHOLDER)[0] == 2
    assert cache.lookup(other, [7, 8, 9, 6], PLACEHOLDER) == (0, [])
    assert cache.lookup(one, [6, 8], PLACEHOLDER) == (0, [])
    cache.insert(one, [7, PLACEHOLDER, PLACEHOLDER, 8], layers(4))
    assert (
        cache.lookup(one, [7, PLACEHOLDER, PLACEHOLDER, 8, 9], PLACEHOLDER)[0] == 1
    )  # another picture may stand there


def test_a_conversation_that_goes_on_is_kept_once() -> None:
    adapter, cache = Adapter("one", {}), PrefixCache()
    for length in (2, 5, 9):
        cache.insert(adapter, list(range(10, 10 + length)), layers(length))
    assert len(cache) == 1 and cache.lookup(adapter, list(range(10, 30)), PLACEHOLDER)[0] == 9


def test_the_least_recently_used_leaves_first_and_so_do_adapters_that_are_gone() -> None:
    adapter, cache = Adapter("one", {}), PrefixCache(limit_bytes=16 * 7)
    for first in (10, 20, 30):
        cache.insert(adapter, [first, 1, 2], layers(3))
        cache.lookup(adapter, [10, 1, 2, 3], PLACEHOLDER)
    assert [cache.lookup(adapter, [first, 1, 2, 3], PLACEHOLDER)[0] for first in (10, 20, 30)] == [3, 0, 3]
    cache.insert(adapter, list(range(20)), layers(20))  # larger than the limit: kept alone
    assert len(cache) == 1
    del adapter
    gc.collect()
    cache.insert(Adapter("two", {}), [1], layers(1))
    assert len(cache) == 1
