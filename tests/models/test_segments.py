"""Packed rows by hand-computed numbers; that every family keeps to them is in `test_contract.py`."""

from __future__ import annotations

import torch

from pipelines.models.segments import FIRST_ALONE, block_mask, restart_positions, stands_alone


def test_positions_restart_after_the_prefix_in_each_segment():
    segments = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 1, 1, 2, 0, 0, 0]])  # second row padded with zeros
    assert restart_positions(segments)[0].tolist() == [0, 1, 2, 3, 4, 3, 4, 5]
    assert restart_positions(segments)[1, :5].tolist() == [0, 1, 2, 3, 1]


def test_block_mask_shows_the_prefix_and_the_own_segment_only():
    segments = torch.tensor([[0, 0, 1, 1, 2, 2]])
    mask = block_mask(segments, torch.tensor([[1, 1, 1, 1, 1, 0]]))
    assert mask.shape == (1, 1, 6, 6)
    assert mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 1, 1],  # padding: sees itself, so that softmax has something
    ]


def test_a_segment_that_stands_alone_begins_at_zero_and_sees_itself_only():
    alone = FIRST_ALONE - 1
    segments = torch.tensor([[0, 0, 1, alone, alone, 2]])
    assert stands_alone(segments).tolist() == [[False, False, False, True, True, False]]
    assert restart_positions(segments).tolist() == [[0, 1, 2, 0, 1, 2]]
    assert block_mask(segments, None)[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]
