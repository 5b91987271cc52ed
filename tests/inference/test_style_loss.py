"""Whether the starter knows an art, with its shipped weights: two bundled characters in its own art, one in another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.core.character.character_folder import image_path, read_character
from pipelines.core.jobs.draw_protocol import FOREIGN_LOSS
from pipelines.inference.engine import InferenceEngine
from pipelines.inference.style_loss import style_loss

BUNDLED = Path(__file__).resolve().parents[2] / "pipelines" / "core" / "bundled"


@pytest.fixture(scope="module")
def engine() -> InferenceEngine:
    """The starter, once."""
    return InferenceEngine("starter")


@pytest.mark.parametrize(("name", "is_foreign"), [("nella-tarn", False), ("ambrose-fell", False), ("quibb", True)])
def test_foreign_art_is_told_from_its_own_with_words_and_without(
    engine: InferenceEngine, name: str, is_foreign: bool
) -> None:
    folder = BUNDLED / name
    character = read_character(folder)
    files = {image.file: image_path(folder, image.file) for image in character.images}
    bare = replace(
        character,
        appearance="",
        images=tuple(
            replace(image, expression="", clothes="", place="", pose="", caption="") for image in character.images
        ),
    )
    for one in (character, bare):
        loss = style_loss(engine, one, files)
        assert loss is not None and (loss > FOREIGN_LOSS) is is_foreign, loss
    two = dict(list(files.items())[:2])
    assert style_loss(engine, character, two) is None, "none is left to look at beside two references"
