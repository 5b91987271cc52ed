"""Blocks of packed rows: they cover exactly what the mask of the whole square shows, and give its numbers."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from pipelines.models.packed_attention import attention_blocks, packed_attention
from pipelines.models.presets import load
from pipelines.models.segments import FIRST_ALONE, block_mask


def packed_row(rng: random.Random, length: int, prefix: int) -> list[int]:
    """Segment ids of a row: a prefix, segments of 1 to 9 positions, every third of them alone, padding at the end."""
    segments, number = [0] * prefix, 0
    while len(segments) < length - 3:
        number += 1
        segments += [FIRST_ALONE - number if number % 3 == 0 else number] * rng.randint(1, 9)
    return [*segments[: length - 3], -1, -1, -1]


@pytest.mark.parametrize("block", [1, 4, 7, 64])
@pytest.mark.parametrize("prefix", [0, 1, 6, 20])
def test_blocks_cover_what_the_mask_shows(prefix: int, block: int) -> None:
    rng = random.Random(prefix)
    segments = torch.tensor([packed_row(rng, 40, prefix), packed_row(rng, 40, prefix + 2)])
    mask = block_mask(segments, segments != -1)
    blocks = attention_blocks(segments, mask, block)
    covered = torch.zeros_like(mask)
    for one in blocks:
        assert 0 < one.stop - one.start <= block
        covered[one.row, 0, one.start : one.stop, : one.prefix] = one.mask[0, 0, :, : one.prefix]
        covered[one.row, 0, one.start : one.stop, one.first_key : one.stop] = one.mask[0, 0, :, one.prefix :]
    assert torch.equal(covered, mask)
    assert [(one.row, one.start) for one in blocks] == sorted((one.row, one.start) for one in blocks)


def test_a_block_meets_few_keys() -> None:
    """A long prefix and many short segments: a third of the square's pairs, and none of the prefix for one alone."""
    segments = torch.tensor([[0] * 300 + [1 + place // 25 for place in range(900)] + [FIRST_ALONE - 1] * 80])
    blocks = attention_blocks(segments, block_mask(segments, None))
    pairs = sum(one.mask.numel() for one in blocks)
    assert pairs < segments.numel() ** 2 / 3
    assert blocks[-1].prefix == 0


def test_numbers_and_gradients_are_those_of_the_masked_square() -> None:
    torch.manual_seed(0)
    rng = random.Random(1)
    segments = torch.tensor([packed_row(rng, 50, 9), packed_row(rng, 50, 0)])
    mask = block_mask(segments, segments != -1)
    module = nn.Module()
    module.num_key_value_groups = 2  # type: ignore[assignment]
    module.is_causal = True  # type: ignore[assignment]
    inputs = [torch.randn(2, heads, 50, 8, requires_grad=True) for heads in (4, 2, 2)]
    weights = torch.randn(2, 50, 4, 8)

    def run(attention, **kwargs):
        mixed, _ = attention(module, *inputs, mask, scaling=0.3, **kwargs)
        return mixed, torch.autograd.grad((mixed * weights).sum(), inputs)

    expected, gradients = run(sdpa_attention_forward)
    found, found_gradients = run(packed_attention, packed_blocks=attention_blocks(segments, mask, 8))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found_gradients, gradients)
    unpacked, _ = run(packed_attention)
    torch.testing.assert_close(unpacked, expected)


def test_the_starter_trains_packed_rows_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = load("starter-toy")
    ids = torch.arange(24)[None] % 20 + 5
    segments = torch.tensor([[0] * 8 + [1] * 8 + [2] * 8])
    found = model(input_ids=ids, labels=ids, segment_ids=segments).logps
    used = []
    monkeypatch.setattr("pipelines.models.starter.model.is_faster_on", lambda device: used.append(device) or False)
    expected = model(input_ids=ids, labels=ids, segment_ids=segments).logps
    assert used
    torch.testing.assert_close(found, expected)
