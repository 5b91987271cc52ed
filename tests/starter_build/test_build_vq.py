"""Training of the image tokenizer at toy size: it learns, resumes, and can train its decoder alone."""

from __future__ import annotations

import torch

from pipelines.models.starter.vq import ImageTokenizer, toy_tokenizer_config
from pipelines.starter_build.build_config import SIZES
from pipelines.starter_build.build_loop import Budget
from pipelines.starter_build.build_vq import reconstruction_sheet, tokenizer_scores, train_tokenizer
from pipelines.starter_build.dataset import DrawnDataset
from pipelines.starter_build.render_dataset import render_images


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
