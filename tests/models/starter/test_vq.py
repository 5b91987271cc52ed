"""The image tokenizer at toy size: shapes and files."""

from __future__ import annotations

import pytest
import torch

from pipelines.models.starter.vq import ImageTokenizer, toy_tokenizer_config


@pytest.fixture
def model() -> ImageTokenizer:
    """Random weights."""
    torch.manual_seed(0)
    return ImageTokenizer(toy_tokenizer_config()).eval()


def test_codes_have_one_row_for_each_picture_and_paint_in_range(model: ImageTokenizer) -> None:
    pixels = torch.rand(3, 3, 32, 32) * 2 - 1
    codes = model.encode(pixels)
    assert codes.shape == (3, 16)
    assert codes.dtype == torch.int64
    assert 0 <= int(codes.min()) <= int(codes.max()) < 32
    painted = model.decode(codes)
    assert painted.shape == (3, 3, 32, 32)
    assert float(painted.abs().max()) <= 1


def test_codes_run_row_by_row_from_the_top_left(model: ImageTokenizer) -> None:
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    _, latents, codes = model(pixels)
    assert torch.equal(model.encode(pixels)[:, 3], codes[:, 0, 3])
    assert torch.equal(model.encode(pixels)[:, 4], codes[:, 1, 0])
    painted = model.decode_latents(model.code_vectors[codes]).clamp(-1, 1)
    assert torch.allclose(model.decode(codes.flatten(1)), painted, atol=1e-6)
    assert latents.shape == (2, 4, 4, 4)


def test_a_code_stands_for_itself(model: ImageTokenizer) -> None:
    codes = torch.arange(32)
    assert torch.equal(model.nearest(model.code_vectors[codes]), codes)


def test_gradients_reach_the_encoder_but_not_the_codebook(model: ImageTokenizer) -> None:
    painted, latents, codes = model(torch.rand(2, 3, 32, 32))
    assert latents.shape == (2, 4, 4, 4)
    assert codes.shape == (2, 4, 4)
    painted.square().mean().backward()
    assert float(model.encoder.layers[0].weight.grad.abs().sum()) > 0
    assert model.code_vectors.grad is None


def test_saved_tokenizer_gives_the_same_codes(model: ImageTokenizer, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    again = ImageTokenizer.from_pretrained(tmp_path).eval()
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    assert torch.equal(again.encode(pixels), model.encode(pixels))
    assert torch.equal(again.decode(model.encode(pixels)), model.decode(model.encode(pixels)))
