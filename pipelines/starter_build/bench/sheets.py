"""Contact sheets of a benchmark's drawings, as JPEG: what people look at beside the numbers.

A part has as many as it takes to keep whole rows together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from pipelines.inference.generate_images import contact_sheet

PAGE = 48
"""Most pictures of one sheet."""
QUALITY = 88


def save_sheets(
    out: Path, name: str, images: Sequence[Image.Image], labels: Sequence[str], columns: int
) -> tuple[str, ...]:
    """Write NAME-1.jpg, NAME-2.jpg and so on; returns the names. Whole rows are kept together."""
    page = max(columns, PAGE // columns * columns)
    names = []
    for number, start in enumerate(range(0, len(images), page), start=1):
        file = f"{name}-{number}.jpg"
        sheet = contact_sheet(images[start : start + page], labels[start : start + page], columns)
        sheet.save(out / file, quality=QUALITY)
        names.append(file)
    return tuple(names)
