"""Who the benchmarks train: a bundled character, or a terse one for machines where every position counts.

Only the size of pictures matters to a measurement, so they are plain colours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.core.character.character import Character
from pipelines.core.character.character_folder import read_character
from pipelines.core.run_folder import CHARACTER_FOLDER
from pipelines.data.chat_template import reply, user
from pipelines.data.reply_form import LookProcessor, WordsProcessor
from pipelines.models.decoding.sampling import Sampling, TextSamples

BUNDLED = Path(__file__).parents[1] / "core" / "bundled"
WORDS = 48
"""Text ids of every reply, look included; then comes the picture."""
LOOK = 12
"""How many of them are the look."""


def bench_character(folder: Path) -> Character:
    """A bundled character's texts; its pictures are plain colours written to `folder`, since only their size counts."""
    character = read_character(sorted(BUNDLED.glob("*/character.yaml"))[0].parent)
    images = folder / CHARACTER_FOLDER / "images"
    images.mkdir(parents=True)
    for place, image in enumerate(character.images):
        Image.new("RGB", (96, 96), (25 * place % 256, 90, 200)).save(images / image.file)
    return character


def terse_character(folder: Path) -> Character:
    """The same with the shortest prompt there can be."""
    character = bench_character(folder)
    facts = tuple(replace(fact, question="Why?", answer="So.") for fact in character.facts[:3])
    return replace(
        character,
        name="Al",
        persona="A.",
        style="",
        appearance="",
        greeting="",
        scenario="",
        facts=facts,
        interactions=((user("Hi?"), reply("Aye.")),),
    )


@contextmanager
def always_draws(model: Any, words: int, draws: bool = True) -> Iterator[None]:
    """Inside, every reply has `words` ids, its look included, and every or no reply has a picture."""

    def sample_text(prompts: list[list[int]], sampling: Sampling, **settings: Any) -> TextSamples:
        processor = settings.get("logits_processor")
        look = min(LOOK, words // 4)
        length, last = words - look, model.spec.eot_id
        if isinstance(processor, WordsProcessor):
            length = max(length, len(processor.mark) + 2)  # the mark that announces a picture comes whole
            processor.always[:], processor.never[:], processor.sample_decision = draws, not draws, False
        elif isinstance(processor, LookProcessor):
            length, last = max(look, 2), model.spec.boi_id
        unstopped = {**settings, "stop_ids": ()}
        text = type(model).sample_text(model, prompts, replace(sampling, max_new_tokens=length), **unstopped)
        return TextSamples([[*ids[:-1], last] for ids in text.ids], text.logps)

    model.sample_text = sample_text
    try:
        yield
    finally:
        del model.sample_text
