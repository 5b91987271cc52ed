"""The preallocated cache holds what the library's holds, whatever is done to it."""

from __future__ import annotations

import torch
from transformers import DynamicCache, LlamaConfig
from transformers.cache_utils import DynamicLayer

from pipelines.models.decoding.kv_cache import BLOCK_POSITIONS, PreallocatedLayer, preallocated_cache


def test_growing_repeating_and_selecting_equal_the_library() -> None:
    config = LlamaConfig(num_hidden_layers=2)
    ours, library = preallocated_cache(config), DynamicCache(config=config)
    assert [type(layer) for layer in library.layers] == [DynamicLayer] * 2
    generator = torch.Generator().manual_seed(0)
    rows = 1

    def grow(positions: int) -> None:
        for layer in range(2):
            keys, values = torch.randn(2, rows, 3, positions, 4, generator=generator)
            for mine, theirs in zip(ours.update(keys, values, layer), library.update(keys, values, layer), strict=True):
                assert torch.equal(mine, theirs)

    for positions in (5, 1, BLOCK_POSITIONS, 1, 3 * BLOCK_POSITIONS, 1):
        grow(positions)
    for cache in (ours, library):
        cache.batch_repeat_interleave(4)
    rows = 4
    grow(1)
    grow(1)
    for cache in (ours, library):
        cache.batch_select_indices(torch.tensor([0, 2]))
    rows = 2
    for _ in range(BLOCK_POSITIONS + 2):
        grow(1)
    assert ours.get_seq_length() == library.get_seq_length()


def test_a_step_copies_nothing_and_leaves_what_was_selected_alone() -> None:
    layer = PreallocatedLayer()
    step = torch.ones(2, 1, 1, 4)
    first, _ = layer.update(step, step)
    second, _ = layer.update(2 * step, step)
    assert first.data_ptr() == second.data_ptr() and second[0, 0, :, 0].tolist() == [1, 2]
    layer.batch_select_indices(torch.tensor([1]))
    kept = layer.keys
    third, _ = layer.update(3 * step[:1], step[:1])
    assert third[0, 0, :, 0].tolist() == [1, 2, 3] and kept.shape[2] == 2 and second.shape == (2, 1, 2, 4)
