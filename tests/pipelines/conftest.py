"""Fixtures of the pipeline tests: a small character, its texts short enough for a byte tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from pipelines.core.character.character import Character, CharacterImage, Fact
from pipelines.data.chat_template import reply, user


@pytest.fixture(scope="session")
def mira() -> Character:
    """Three pictures, three conversations (one with a picture), five facts."""
    return Character(
        name="Mira",
        persona="A lighthouse keeper who collects storms.",
        style="Short and salty.",
        appearance="Red hair.",
        facts=tuple(Fact(f"What is in jar {n}?", f"Storm {n}.") for n in range(1, 6)),
        images=(
            CharacterImage("01.png", "happy", "a red scarf", "on a beach"),
            CharacterImage("02.png", "sad", "a blue cape", "in the snow"),
            CharacterImage("03.png", "angry", "a red scarf", "in a forest", "close-up"),
        ),
        interactions=(
            (user("Who are you?"), reply("Mira. I keep the light."), user("Alone?"), reply("Never. There is wind.")),
            (user("Where are you?"), reply("Down by the water.", "Mira, happy, on a beach", "01.png")),
            (user("Are you cold?"), reply("Always."), user("Why stay?"), reply("Who else would?")),
        ),
        licence="CC0-1.0",
    )


@pytest.fixture(scope="session")
def new_run_dir(tmp_path_factory: pytest.TempPathFactory, mira: Character) -> Callable[[], Path]:
    """Makes fresh run folders that hold Mira's pictures."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("mira") / "run"
        (folder / "character" / "images").mkdir(parents=True)
        for place, image in enumerate(mira.images):
            drawn = Image.new("RGB", (64, 64), ("gold", "white", "green")[place])
            ImageDraw.Draw(drawn).ellipse((16, 16, 40 + 8 * place, 48), fill="red")
            drawn.save(folder / "character" / "images" / image.file)
        return folder

    return make


@pytest.fixture
def run_dir(new_run_dir: Callable[[], Path]) -> Path:
    """A fresh run folder that holds Mira's pictures."""
    return new_run_dir()
