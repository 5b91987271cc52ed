"""A sheet for people: numbered drawings, under each six faces and six places of which one each was asked for.

Whoever reads it sees the drawing alone. The answers stand in a JSON file beside it: number -> letter of face and place.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from pipelines.models.starter.vocabulary import EXPRESSIONS, WIDE_PLACES
from pipelines.starter_build.drawings.attributes import Attributes

OPTIONS = 6
LETTERS = "abcdef"
COLUMNS, LINE, GAP = 5, 13, 10
QUALITY = 90


def options_for(right: str, words: Sequence[str], rng: random.Random) -> list[str]:
    """`OPTIONS` of the words in random order, the right one among them."""
    return rng.sample([right, *rng.sample([word for word in words if word != right], OPTIONS - 1)], OPTIONS)


def save_reader_sheet(
    out: Path, name: str, images: Sequence[Image.Image], looks: Sequence[Attributes]
) -> tuple[str, str]:
    """Write NAME-reader.jpg and NAME-reader-answers.json; returns the file names."""
    rng = random.Random(f"reader of {name}")
    questions = [
        (options_for(look.expression, EXPRESSIONS, rng), options_for(look.place, WIDE_PLACES, rng)) for look in looks
    ]
    sheet_file, answers_file = f"{name}-reader.jpg", f"{name}-reader-answers.json"
    _sheet(images, questions).save(out / sheet_file, quality=QUALITY)
    answers = {
        str(number): {"face": LETTERS[faces.index(look.expression)], "place": LETTERS[places.index(look.place)]}
        for number, (look, (faces, places)) in enumerate(zip(looks, questions, strict=True), start=1)
    }
    (out / answers_file).write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")
    return sheet_file, answers_file


def _sheet(images: Sequence[Image.Image], questions: Sequence[tuple[list[str], list[str]]]) -> Image.Image:
    side = max(256, images[0].width)
    height = side + (OPTIONS + 2) * LINE
    rows = -(-len(images) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (side + GAP) + GAP, rows * (height + GAP) + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (image, (faces, places)) in enumerate(zip(images, questions, strict=True)):
        left = GAP + number % COLUMNS * (side + GAP)
        top = GAP + number // COLUMNS * (height + GAP)
        sheet.paste(image, (left, top))
        pen.text((left, top + side + 2), f"{number + 1}.", fill="black")
        for line, (face, place) in enumerate(zip(faces, places, strict=True), start=1):
            y = top + side + 2 + line * LINE
            pen.text((left, y), f"{LETTERS[line - 1]} {face}", fill="black")
            pen.text((left + side // 3, y), f"{LETTERS[line - 1]} {place}", fill="black")
    return sheet
