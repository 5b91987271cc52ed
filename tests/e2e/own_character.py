"""Somebody who is not bundled: Pim, a teapot who keeps a night kiosk. Ten flat drawings, made anew for each test."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

NAME = "Pim Kettlewick"
PERSONA = (
    "Pim is a small teapot who keeps a kiosk that opens at night. Pim collects lost buttons and is afraid of hail."
)
APPEARANCE = "A round teal teapot with two black eyes, a yellow lid and thin black legs."
STYLE = "Short, warm sentences. Calls everybody 'late one'."
FACTS = (
    ("Where do you work?", "In a kiosk that opens at night."),
    ("What do you collect?", "Lost buttons."),
    ("What are you afraid of?", "Hail."),
    ("What colour is your lid?", "Yellow."),
    ("Who taught you to pour?", "My aunt, a samovar."),
)
FACES = ("happy", "sad", "angry", "surprised", "laughing")
PLACES = {
    "by a river": ("#bfe3f2", "#4a90b8"),
    "in the snow": ("#dfe7ef", "#ffffff"),
    "in a kiosk": ("#3b2f4a", "#c98a3a"),
    "in a forest": ("#cfe8c6", "#4d7f45"),
    "on a roof": ("#f6d9b8", "#a2553f"),
}
SIDE_PX = 512


def drawing(number: int) -> Image.Image:
    """One of ten: each face in two places."""
    face, place = FACES[number % 5], list(PLACES)[(number + number // 5) % 5]
    sky, ground = PLACES[place]
    image = Image.new("RGB", (SIDE_PX, SIDE_PX), sky)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 380, SIDE_PX, SIDE_PX), fill=ground)
    x, y, size = 256 + 12 * (number % 3 - 1), 280, 120 + 6 * (number // 5)
    for side in (-1, 1):
        pen.line((x + side * 40, y + 90, x + side * 46, y + 170), fill="#111111", width=10)
    pen.polygon([(x + 80, y), (x + 190, y - 80), (x + 200, y - 50), (x + 90, y + 60)], fill="#1f8a86")
    pen.arc((x - 220, y - 70, x - 60, y + 70), 60, 300, fill="#1f8a86", width=26)
    pen.ellipse((x - size, y - size, x + size, y + size), fill="#27a39e")
    pen.pieslice((x - 80, y - size - 40, x + 80, y - size + 60), 180, 360, fill="#f2c230")
    pen.ellipse((x - 14, y - size - 62, x + 14, y - size - 34), fill="#d8502f")
    for side in (-1, 1):
        pen.ellipse((x + side * 42 - 13, y - 40, x + side * 42 + 13, y - 14), fill="#111111")
        if face == "angry":
            pen.line((x + side * 20, y - 46, x + side * 66, y - 66), fill="#111111", width=9)
    mouth = (x - 40, y + 5, x + 40, y + 65)
    if face in ("happy", "laughing"):
        pen.chord(mouth, 0, 180, fill="#7a1f2b" if face == "laughing" else "#27a39e", outline="#111111", width=8)
    elif face == "surprised":
        pen.ellipse((x - 18, y + 15, x + 18, y + 60), fill="#7a1f2b")
    else:
        pen.arc((x - 40, y + 30, x + 40, y + 90), 180, 360, fill="#111111", width=8)
    return image


def write_pictures(folder: Path) -> list[Path]:
    """Ten PNGs, each with a text file that says what varies."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(10):
        drawing(number).save(folder / f"pim-{number}.png")
        words = f"{FACES[number % 5]}, {list(PLACES)[(number + number // 5) % 5]}"
        (folder / f"pim-{number}.txt").write_text(words, encoding="utf-8")
    return sorted(folder.iterdir())
