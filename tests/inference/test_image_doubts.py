"""Doubts about pictures by the shipped starter: grain and shades that are lost, and figures side by side."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.core.jobs.reply_protocol import HARD_TO_DRAW, SEVERAL_FIGURES, SMALL_DETAILS
from pipelines.inference.captioning import ImageReader
from pipelines.inference.image_doubts import column_features, detail_kept, load_figure_count, small_detail_kept
from pipelines.models.presets import load
from pipelines.rewards.judge import load_judge
from pipelines.starter_build import build_figure_count

BUNDLED = Path(__file__).resolve().parents[2] / "pipelines" / "core" / "bundled"


@pytest.fixture(scope="module")
def reader() -> ImageReader:
    """The starter as a worker reads pictures with it."""
    model, tokenizer = load("starter")
    return ImageReader(model.eval(), tokenizer, load_judge("starter"))


def grainy(folder: Path) -> Path:
    """As a photograph is: no flat colour, shades and grain everywhere."""
    rng = np.random.default_rng(0)
    layers = [
        np.asarray(Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize((256, 256)), float)
        for side in (3, 12, 48, 128, 256)
    ]
    Image.fromarray((sum(layers) / len(layers)).astype(np.uint8)).save(folder / "grain.png")
    return folder / "grain.png"


def test_flat_drawings_are_held_and_grain_is_not(reader: ImageReader, tmp_path: Path) -> None:
    for picture in ("quibb/images/02.png", "nella-tarn/images/01.png"):
        assert reader.read(BUNDLED / picture).doubts == ()
    seen = reader.read(grainy(tmp_path))
    assert HARD_TO_DRAW in seen.doubts and seen.fields == {} and seen.description == ""


def test_eyes_that_are_lost_are_told(reader: ImageReader, tmp_path: Path) -> None:
    """By eye: of Quibb's ten pictures the eyes of 01 and 07 are smeared and those of 05 are not; small ones of Nella
    are lost altogether."""
    for number, lost in (("01", True), ("07", True), ("05", False)):
        doubts = reader.read(BUNDLED / "quibb" / "images" / f"{number}.png").doubts
        assert (SMALL_DETAILS in doubts) == lost, number
    for number in ("01", "04", "06", "10"):
        whole = Image.open(BUNDLED / "nella-tarn" / "images" / f"{number}.png").convert("RGB")
        small = np.asarray(whole.resize((102, 102), Image.Resampling.LANCZOS))
        # The scene goes on around them: a frame would be the strongest detail, and comes back well.
        Image.fromarray(np.pad(small, ((77, 77), (77, 77), (0, 0)), mode="edge")).save(tmp_path / "far.png")
        assert SMALL_DETAILS in reader.read(tmp_path / "far.png").doubts, number
        assert SMALL_DETAILS not in reader.read(BUNDLED / "nella-tarn" / "images" / f"{number}.png").doubts, number


def test_small_details_count_where_they_were() -> None:
    picture = torch.zeros(1, 3, 64, 64)
    picture[:, :, 28:30, 24:26] = 1.0  # a pupil
    assert small_detail_kept(picture, picture) == pytest.approx(1.0)
    assert small_detail_kept(picture, picture / 2) == pytest.approx(0.5)
    assert small_detail_kept(picture, picture.roll(12, -1)) < 0.1, "as much detail, but elsewhere"
    assert small_detail_kept(torch.zeros(1, 3, 64, 64), picture) == 1.0


def test_two_figures_are_told_from_one(reader: ImageReader, tmp_path: Path) -> None:
    rng, told = random.Random(4), {1: 0, 2: 0}
    for number in range(8):
        for count in told:
            path = tmp_path / f"{count}-{number}.png"
            build_figure_count.drawing(rng, count, held_out=True).save(path)
            told[count] += SEVERAL_FIGURES in reader.read(path).doubts
    assert told[1] == 0 and told[2] >= 5


def test_detail_that_comes_back_is_a_share() -> None:
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    assert detail_kept(picture, picture) == pytest.approx(1.0)
    assert detail_kept(picture, picture / 2) == pytest.approx(0.5)
    assert detail_kept(torch.zeros(1, 3, 32, 32), picture) == 1.0  # an empty picture has nothing to lose


def test_a_toy_has_no_doubts_and_a_missing_layer_none_about_figures(tmp_path: Path) -> None:
    model, tokenizer = load("starter-toy")
    reader = ImageReader(model, tokenizer, load_judge("starter-toy"), has_doubts=False)
    assert reader.read(grainy(tmp_path)).doubts == ()
    assert load_figure_count(tmp_path) is None


def test_the_layer_is_trained_from_drawings(tmp_path: Path) -> None:
    measured = build_figure_count.build(tmp_path / "figures", pictures=12, held_out=4)
    assert set(measured) == {"false_alarms", "found"} and all(0 <= share <= 1 for share in measured.values())
    made = load_figure_count(tmp_path / "figures")
    assert made is not None and made.threshold == build_figure_count.THRESHOLD
    critic = load_judge("starter")
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    features = column_features(critic, pixels)  # type: ignore[arg-type]  # the starter's judge is its critic
    assert features.shape == (2, len(made.weight))
    assert torch.equal(features, column_features(critic, pixels)) and not made.shows_several(critic, pixels[:1] * 0)  # type: ignore[arg-type]
