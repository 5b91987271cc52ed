"""Suggested captions: what the shipped starter sees in drawings it never saw, and that it keeps quiet when unsure."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from pipelines.inference import captioning
from pipelines.starter_build.drawings.attributes import FIRST
from pipelines.starter_build.drawings.render_svg import render_image

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
    found = list(captioning.suggest_captions("starter", [path for path, _ in drawings]))
    right = dict.fromkeys(("expression", "clothes", "place"), 0)
    for seen, (_, told) in zip(found, drawings, strict=True):
        for name in right:
            right[name] += seen.fields.get(name, "") == told[name]
        assert all(words in seen.description for words in seen.fields.values())
    assert right["place"] >= COUNT - 1 and right["expression"] >= COUNT - 2 and right["clothes"] >= COUNT // 2


def test_noise_is_not_described(tmp_path, drawings) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    (seen,) = captioning.suggest_captions("starter", [tmp_path / "noise.png"])
    assert len(seen.fields) <= 1 and len(seen.description.split(",")) <= 1


def test_no_answer_is_suggested_that_the_judge_finds_unlikely(drawings, monkeypatch) -> None:
    paths = [path for path, _ in drawings[:1]]
    monkeypatch.setattr(captioning, "MIN_JUDGE_PROB", 1.1)
    assert [seen.fields for seen in captioning.suggest_captions("starter", paths)] == [{}]


def test_a_file_that_is_no_picture_is_told(tmp_path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(UnidentifiedImageError):
        list(captioning.suggest_captions("starter-toy", [tmp_path / "notes.png"]))
