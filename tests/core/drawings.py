"""Pictures made on the spot for the tests of images and folders."""

import io

import numpy as np
from PIL import Image, ImageDraw


def drawing(seed: int = 0, width: int = 400, height: int = 300) -> Image.Image:
    """A flat cartoon: a face with hard edges over bands of colour; another layout for each seed."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), tuple(rng.integers(0, 256, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(5):
        x, y = rng.integers(0, width), rng.integers(0, height)
        box = (int(x), int(y), int(x + width // 3), int(y + height // 4))
        pen.rectangle(box, fill=tuple(rng.integers(0, 256, 3).tolist()))
    pen.ellipse((width // 4, height // 5, 3 * width // 4, 4 * height // 5), fill="peachpuff", outline="black", width=3)
    pen.ellipse((width // 3, height // 3, width // 3 + 20, height // 3 + 20), fill="black")
    return image


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of a file of this kind."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
