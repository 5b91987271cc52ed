"""The picture tokenizer at toy size: shapes, files, and a training that goes on after a stop."""

from __future__ import annotations

import pytest
import torch

from pipelines.models.starter.vq import ImageTokenizer, toy_tokenizer_config
from pipelines.starter_build.build_config import SIZES
from pipelines.starter_build.build_loop import Budget
from pipelines.starter_build.build_vq import held_out_scores, reconstruction_sheet, train_tokenizer
from pipelines.starter_build.dataset import DrawnDataset
from pipelines.starter_build.render_dataset import render_images


@pytest.fixture
def model() -> ImageTokenizer:
    """Random weights."""
    torch.manual_seed(0)
    return ImageTokenizer(toy_tokenizer_config()).eval()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory):
    """A folder as the part `pictures` writes it: 40 training and 20 held-out drawings of 32 pixels."""
    folder = tmp_path_factory.mktemp("pictures")
    render_images(folder, 40, px=32, processes=1)
    render_images(folder / "held_out", 20, px=32, held_out=True, processes=1)
    return folder


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


def test_training_lowers_the_error_and_goes_on_after_a_stop(model: ImageTokenizer, pictures, tmp_path) -> None:
    drawn, held_out = DrawnDataset.load(pictures, "train"), DrawnDataset.load(pictures, "held_out")
    before = held_out_scores(model, held_out)

    def train(seconds: float, decoder_only: bool = False) -> dict[str, float]:
        budget = Budget(seconds)
        return train_tokenizer(drawn, held_out, tmp_path, budget, SIZES["toy"], decoder_only=decoder_only)

    first, again = train(3.0), train(6.0)
    assert again["steps"] > first["steps"] > 1
    assert again["psnr_people"] > before["psnr_people"]
    assert {path.name for path in tmp_path.iterdir()} == {"state.pt", "tokenizer", "sheet.png", "scores.json"}
    kept = ImageTokenizer.from_pretrained(tmp_path / "tokenizer", dtype=torch.bfloat16)
    assert kept.dtype == torch.bfloat16
    train(8.0, decoder_only=True)
    finer = ImageTokenizer.from_pretrained(tmp_path / "tokenizer", dtype=torch.bfloat16).state_dict()
    moved = {name.split(".")[0] for name, value in kept.state_dict().items() if not torch.equal(value, finer[name])}
    assert moved == {"decoder"}
    size = reconstruction_sheet(kept.float(), held_out.pixels[:14], columns=7).size
    assert size == (7 * 32, 4 * 32)
