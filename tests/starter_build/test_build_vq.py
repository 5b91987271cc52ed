"""Training of the image tokenizer at toy size: it learns, resumes, can train its decoder alone, and is judged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.models.starter.vq import ImageTokenizer, toy_tokenizer_config
from pipelines.rewards.starter_critic import toy_critic
from pipelines.starter_build.adversarial import PatchDiscriminator, adversarial_term, discriminator_loss, ramp
from pipelines.starter_build.broad_domain import BroadDomain
from pipelines.starter_build.build_config import SIZES
from pipelines.starter_build.build_loop import Budget, read_state
from pipelines.starter_build.build_vq import reconstruction_sheet, tokenizer_scores, train_tokenizer
from pipelines.starter_build.dataset import DrawnDataset
from pipelines.starter_build.render_dataset import render_images
from pipelines.starter_build.streaming_dataset import BroadStream
from tests.starter_build.toy_symbols import toy_symbols_file


def test_training_lowers_the_error_and_goes_on_after_a_stop(tmp_path) -> None:
    images, out = tmp_path / "images", tmp_path / "tokenizer_part"
    render_images(images, 40, px=32, processes=1)
    render_images(images / "held_out", 20, px=32, held_out=True, processes=1)
    train_set, held_out = DrawnDataset.load(images, "train"), DrawnDataset.load(images, "held_out")
    torch.manual_seed(0)
    before = tokenizer_scores(ImageTokenizer(toy_tokenizer_config()).eval(), held_out)

    def train(seconds: float, decoder_only: bool = False) -> dict[str, float]:
        budget = Budget(seconds)
        return train_tokenizer(train_set, held_out, out, budget, SIZES["toy"], decoder_only=decoder_only)

    first, again = train(3.0), train(6.0)
    assert again["steps"] > first["steps"] > 1
    assert again["psnr_people"] > before["psnr_people"]
    assert {path.name for path in out.iterdir()} == {"state.pt", "tokenizer", "sheet.png", "scores.json"}
    kept = ImageTokenizer.from_pretrained(out / "tokenizer", dtype=torch.bfloat16)
    assert kept.dtype == torch.bfloat16
    train(8.0, decoder_only=True)
    finer = ImageTokenizer.from_pretrained(out / "tokenizer", dtype=torch.bfloat16).state_dict()
    moved = {name.split(".")[0] for name, value in kept.state_dict().items() if not torch.equal(value, finer[name])}
    assert moved == {"decoder"}
    size = reconstruction_sheet(kept.float(), held_out.pixels[:14], columns=7).size
    assert size == (7 * 32, 4 * 32)


def test_a_sheet_whose_last_row_is_not_full_is_filled_with_white() -> None:
    model = ImageTokenizer(toy_tokenizer_config()).eval()
    sheet = np.asarray(reconstruction_sheet(model, np.zeros((9, 32, 32, 3), dtype=np.uint8), columns=7))
    assert sheet.shape == (4 * 32, 7 * 32, 3)
    assert not sheet[64:96, :64].any() and (sheet[64:96, 64:] == 255).all()


def test_the_discriminator_learns_first_and_never_outweighs_the_pixels() -> None:
    torch.manual_seed(0)
    discriminator, decoder = PatchDiscriminator(), torch.nn.Conv2d(3, 3, 3, padding=1)
    images = torch.rand(4, 3, 64, 64) * 2 - 1
    fakes = decoder(images)
    judged = discriminator_loss(discriminator, images, fakes)
    judged.backward()
    assert decoder.weight.grad is None and discriminator.layers[0].weight.grad.abs().sum() > 0
    discriminator.zero_grad()
    pixels = (fakes - images).abs().mean()
    term, weight = adversarial_term(discriminator, fakes, pixels, decoder.weight, 0.5)
    term.backward()
    assert decoder.weight.grad.abs().sum() > 0 and 0 < weight.item() <= 0.1 + 1e-6
    assert all(value.grad is None for value in discriminator.parameters())
    assert discriminator.layers[0].weight.requires_grad
    assert [ramp(fraction, 0.4) for fraction in (0.4, 0.46, 0.52, 0.9)] == pytest.approx([0, 0, 1, 1], abs=1e-9)
    assert 0 < ramp(0.49, 0.4) < 1


def test_critic_and_discriminator_take_part_in_the_training(tmp_path, capsys) -> None:
    domain = BroadDomain(symbols_file=toy_symbols_file(tmp_path), art=1 / 7)
    render_images(tmp_path / "held_out", 20, px=32, held_out=True, processes=1)
    held_out = DrawnDataset.load(tmp_path, "held_out")
    stream = BroadStream(domain, px=32, window=40, processes=1)
    try:
        critic = toy_critic().requires_grad_(False)
        scores = train_tokenizer(stream, held_out, tmp_path / "part", Budget(2.5), SIZES["toy"], critic=critic)
    finally:
        stream.close()
    state = read_state(tmp_path / "part" / "state.pt")
    assert scores["steps"] > 5 and {"model", "discriminator"} <= set(state) and state["more"]["place"] >= 4
    torch.manual_seed(0)
    ImageTokenizer(toy_tokenizer_config())
    started = PatchDiscriminator().state_dict()
    assert not torch.equal(state["discriminator"]["layers.0.weight"], started["layers.0.weight"])
