"""What is remembered of prompts, counted by hand."""

from __future__ import annotations

import gc

import torch

from pipelines.models.decoding.multi_lora import Adapter
from pipelines.models.decoding.prefix_cache import PrefixCache

LOOK = 4


def layers(positions: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """One layer whose keys are the positions' numbers: 2 heads of width 1, 16 bytes a position."""
    keys = torch.arange(positions, dtype=torch.float32)[None, None, :, None].expand(1, 2, -1, 1).clone()
    return [(keys, -keys)]


def test_the_longest_common_start_is_recalled_but_never_all() -> None:
    one, other, memory = Adapter("one", {}), Adapter("other", {}), PrefixCache()
    memory.insert(one, [7, 8, 9], layers(3))
    memory.insert(one, [7, 5], layers(2))
    known, found = memory.lookup(one, [7, 8, 9, 6], LOOK)
    assert known == 3 and found[0][0][0, 0, :, 0].tolist() == [0, 1, 2] and found[0][1].min() == -2
    assert memory.lookup(one, [7, 8, 9], LOOK)[0] == 2  # one id is left to read
    assert memory.lookup(one, [7, 5, 5], LOOK)[0] == 2
    assert memory.lookup(other, [7, 8, 9, 6], LOOK) == (0, [])
    assert memory.lookup(one, [6, 8], LOOK) == (0, [])
    memory.insert(one, [7, LOOK, LOOK, 8], layers(4))
    assert memory.lookup(one, [7, LOOK, LOOK, 8, 9], LOOK)[0] == 1  # another picture may stand there


def test_a_conversation_that_goes_on_is_kept_once() -> None:
    adapter, memory = Adapter("one", {}), PrefixCache()
    for length in (2, 5, 9):
        memory.insert(adapter, list(range(10, 10 + length)), layers(length))
    assert len(memory) == 1 and memory.lookup(adapter, list(range(10, 30)), LOOK)[0] == 9


def test_what_was_not_used_for_longest_goes_first_and_so_do_adapters_that_are_gone() -> None:
    adapter, memory = Adapter("one", {}), PrefixCache(limit_bytes=16 * 7)
    for first in (10, 20, 30):
        memory.insert(adapter, [first, 1, 2], layers(3))
        memory.lookup(adapter, [10, 1, 2, 3], LOOK)
    assert [memory.lookup(adapter, [first, 1, 2, 3], LOOK)[0] for first in (10, 20, 30)] == [3, 0, 3]
    memory.insert(adapter, list(range(20)), layers(20))  # larger than the limit: kept alone
    assert len(memory) == 1
    del adapter
    gc.collect()
    memory.insert(Adapter("two", {}), [1], layers(1))
    assert len(memory) == 1
