"""Suggested captions: what the shipped starter sees in drawings it never saw, and that it keeps quiet when unsure."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from pipelines.inference import captioning
from pipelines.models.presets import load
from pipelines.rewards.judge import load_judge
from pipelines.starter_build.drawings.attributes import FIRST
from pipelines.starter_build.drawings.render_svg import render_image
from pipelines.starter_build.own_art.sets import SETS

COUNT = 6


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, dict[str, str]]]:
    """Held-out identities with the fields their captions should have."""
    folder, rng = tmp_path_factory.mktemp("drawings"), random.Random(3)
    made = []
    for number in range(COUNT):
        identity = FIRST.identity(20 * (700 + number))  # every twentieth is held out
        look = FIRST.sample_attributes(rng, identity, held_out=True)
        path = folder / f"{number}.png"
        Image.fromarray(np.asarray(render_image(identity, look, 192))).save(path)
        told = {"expression": look.expression, "clothes": look.clothes, "place": look.place}
        made.append((path, told))
    return made


def test_most_of_what_is_drawn_is_seen(drawings) -> None:
    found = captioning.suggest_captions("starter", [path for path, _ in drawings])
    right = dict.fromkeys(("expression", "clothes", "place"), 0)
    for seen, (_, told) in zip(found, drawings, strict=True):
        for name in right:
            right[name] += seen.get(name, "") == told[name]
        assert all(words == told[name] for name, words in seen.items())
    assert right["place"] >= COUNT - 1 and right["expression"] >= COUNT - 2 and right["clothes"] >= COUNT // 2


def test_noise_is_not_described(tmp_path, drawings) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    (seen,) = captioning.suggest_captions("starter", [tmp_path / "noise.png"])
    assert seen == {}


def test_in_a_foreign_art_nothing_is_suggested() -> None:
    art = SETS["dame-oolong"]
    looks = art.attributes("character.yaml")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.png" for number in range(5)]
        for path, look in zip(paths, looks.values(), strict=False):
            art.art.draw(look, 256).save(path)
        found = captioning.suggest_captions("starter", paths)
    assert found == [{}] * 5


def test_a_reading_says_how_far_it_is_to_be_trusted(drawings) -> None:
    model, tokenizer = load("starter")
    reader = captioning.ImageReader(model.eval(), tokenizer, load_judge("starter"))
    read = [reader.read(path) for path, _ in drawings[:3]]
    assert sum(seen.is_familiar for seen in read) >= 2
    assert all(words in seen.description for seen in read for words in seen.fields.values())
    assert all(set(seen.sure) <= set(seen.fields) & set(captioning.SURE_FIELDS) for seen in read)


def test_a_file_that_is_no_picture_is_told(tmp_path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(UnidentifiedImageError):
        captioning.suggest_captions("starter-toy", [tmp_path / "notes.png"])
