"""Ada, the toy character: a whole folder with a held-out split, drawn on the spot, trained in seconds."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from pipelines.core.character.character import Character, CharacterImage, Fact, MultipleChoice, TestSplit
from pipelines.core.character.character_folder import write_character, write_test_split
from pipelines.data.chat_template import reply, user

TOY_BASE = "starter-toy"
"""The base model of the runs below: real classes, random weights."""

TOY_STEPS = {
    "sft_steps": 4,
    "sft_save_every": 2,
    "grpo_steps": 2,
    "grpo_save_every": 1,
    "grpo_group_size": 2,
    "max_new_tokens": 24,
}
"""The whole recipe in seconds."""

_LOOKS = (
    ("happy", "a red hoodie", "on a beach", "gold"),
    ("sad", "a blue hoodie", "in the snow", "white"),
    ("angry", "a red hoodie", "in a forest", "green"),
    ("happy", "a blue hoodie", "in a park", "lime"),
    ("sleepy", "a red hoodie", "in space", "navy"),
    ("winking", "a blue hoodie", "on a ship", "teal"),
)


def _picture(path: Path, place: str, clothes: str, number: int) -> None:
    # Fine structure and different layouts, so that photo checks find it neither small, blurred nor a double.
    image = Image.new("RGB", (256, 256), place)
    pen = ImageDraw.Draw(image)
    for stripe in range(0, 256, 8 + 4 * number):
        pen.line((stripe, 0, 255 - stripe, 255), fill="black", width=2)
    pen.rectangle((60 + 8 * number, 150, 190 - 6 * number, 255), fill=clothes.split()[1])
    pen.ellipse((70 + 10 * number, 40 + 4 * number, 150 + 10 * number, 140), fill="peachpuff", outline="black", width=3)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def toy() -> tuple[Character, TestSplit]:
    """Ada: six pictures, eight conversations (two with a picture), six facts; short, since toy models read bytes."""
    images = tuple(
        CharacterImage(f"{i:02d}.png", expression, clothes, place)
        for i, (expression, clothes, place, _) in enumerate(_LOOKS[:5], start=1)
    )
    images = (*images, CharacterImage("06.png", *_LOOKS[5][:3], pose="close-up"))
    talks = [
        (user(f"Question {i}?"), reply(f"Aye, answer {i}."), user("And then?"), reply(f"Then {i} bells."))
        for i in range(1, 7)
    ]
    shown = [
        (user("Where are you?"), reply("By the water.", f"Ada, {images[0].description}", "01.png")),
        (user("Cold there?"), reply("Aye, cold.", f"Ada, {images[1].description}", "02.png")),
    ]
    character = Character(
        name="Ada",
        persona="A ferry pilot who counts bells.",
        style="Short, says aye.",
        appearance="Round face.",
        greeting="Aye?",
        facts=tuple(
            Fact(f"What is bell {i}?", f"Bell {i} is {word}.")
            for i, word in enumerate(("tin", "iron", "glass", "brass", "silver", "clay"), start=1)
        ),
        images=images,
        interactions=(*talks, *shown),
        licence="CC0-1.0",
    )
    split = TestSplit(
        dialogues=tuple((user(f"Will it rain on day {i}?"), reply(f"Aye, rain at {i} bells.")) for i in range(1, 5)),
        choices=(
            MultipleChoice(
                "Which is bell 1?", ("Bell 1 is tin.", "Bell 1 is iron.", "Bell 1 is clay.", "Bell 1 is glass."), 0
            ),
            MultipleChoice(
                "Which is bell 2?", ("Bell 2 is tin.", "Bell 2 is iron.", "Bell 2 is clay.", "Bell 2 is glass."), 1
            ),
        ),
        images=(
            CharacterImage("01.png", "sad", "a red hoodie", "on a ship"),
            CharacterImage("02.png", "happy", "a blue hoodie", "in a forest"),
        ),
    )
    return character, split


def write_toy(folder: Path) -> Path:
    """Ada's folder, pictures drawn on the spot."""
    character, split = toy()
    for number, (image, look) in enumerate(zip(character.images, _LOOKS, strict=True)):
        _picture(folder / "images" / image.file, look[3], look[1], number)
    for number, image in enumerate(split.images):
        _picture(folder / "test_images" / image.file, ("teal", "green")[number], image.clothes, 3 + number)
    write_character(character, folder)
    write_test_split(split, folder)
    return folder
