"""Renderings of figures and kept drawings, as tensors for the graders and as images for the sheets.

Dimension letters: N images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from pipelines.inference.generate_images import to_image
from pipelines.starter_build.dataset import pixels_of_images
from pipelines.starter_build.drawings.attributes import Attributes, Identity
from pipelines.starter_build.drawings.render_svg import render_image


def rendered(wanted: Sequence[tuple[Identity, Attributes]], px: int) -> torch.Tensor:
    """(N, 3, px, px) in [-1, 1]: the real drawings."""
    return pixels_of_images([render_image(identity, attributes, px) for identity, attributes in wanted])


def to_images(pixels: torch.Tensor) -> list[Image.Image]:
    """Of (N, 3, h, w) in [-1, 1]."""
    return [to_image(one) for one in pixels]


def open_pictures(paths: Sequence[Path]) -> list[Image.Image]:
    """Kept drawings, read whole."""
    found = []
    for path in paths:
        with Image.open(path) as image:
            found.append(image.convert("RGB"))
    return found


def label(identity: Identity, attributes: Attributes) -> str:
    """What a picture is to show, for a sheet."""
    return f"{attributes.description}; {identity.noun}"
