"""One picture of a creator, judged: size, shape, sharpness, metadata.

`check_image` reports every problem of a file in a creator's words, and measures what sets of pictures are compared by
(`image_set_check.py`: count, copies, variety). Opening files with guards and cleaning them is in `image_decode.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.core.character.image_decode import decode_image, image_sha256
from pipelines.core.command_line import as_typed
from pipelines.core.problems import CharacterProblems, Problem, errors

MIN_SIDE_PX = 96
"""Shorter sides are refused: the starter draws 96 px, and what is missing would have to be invented."""
GOOD_SIDE_PX = 192
"""Shorter sides are warned of: twice what the starter draws, half of what the larger presets look at (384 px)."""
MAX_ASPECT, GOOD_ASPECT = 4.0, 2.0
"""Long side / short side. Models see squares, so the sides of a panorama are lost."""
MIN_SHARPNESS = 0.3
"""See `sharpness`. Measured on 36 flat drawings of the starter (1.61-2.97 at 384 px, 1.35-3.66 at 96 px) and 14
photographs (1.35-3.93); blurred by 1.5 px at 256 px all drawings are below 0.22, all photographs below 0.25."""
DARK_LEVEL, LIGHT_LEVEL = 60, 215
"""Of 255: a picture whose lightest hundredth is darker, or darkest hundredth lighter, shows hardly anything. Drawings,
own art, emoji and photographs (docs/log.md, 2026-11-27) have 140 and more, and 153 and less; drawings darkened to a
fifth 49 to 53."""
EMPTY_SHARE = 0.97
"""Share of a picture in one colour from which it is nearly empty: emoji on white have up to 0.84, a figure of a sixth
of the side 0.98."""
SAME_COLOUR = 12
"""Levels of 255 by which one colour may differ in any channel."""
THUMB_PX = 32
"""Side of the colour thumbnails that near duplicates are recognised by."""
CROPS = (0.0, 0.02, 0.05)
"""Parts cut from each side for `ImageReport.thumbs`, so that a trimmed copy is still recognised."""


@dataclass(frozen=True)
class ImageReport:
    """A picture that can be used, and what was measured on it."""

    name: str
    format: str
    """PNG, JPEG or WEBP."""
    width: int
    """Pixels, standing upright."""
    height: int
    sha256: str
    """Of the file's bytes."""
    phash: imagehash.ImageHash = field(repr=False, compare=False)
    """64-bit perceptual hash."""
    thumbs: tuple[npt.NDArray[np.float32], ...] = field(repr=False, compare=False)
    """(THUMB_PX, THUMB_PX, 3) each: the whole picture, then centred crops of it (`CROPS`)."""
    sharpness: float = field(compare=False, default=0.0)
    """See `sharpness`."""
    metadata: str = field(compare=False, default="")
    """What the file tells besides its pixels, in words; "" for nothing."""


def check_image(data: bytes | Path, name: str) -> tuple[ImageReport | None, list[Problem]]:
    """Every problem of one picture; the report is None when the picture cannot be used at all.

    `name` is the file's name as the creator knows it; problems have the field `images/{name}`.
    """
    try:
        decoded = decode_image(data, name)
    except CharacterProblems as refused:
        return None, list(refused.problems)
    pixels = decoded.pixels
    grey = _grey(pixels)
    report = ImageReport(
        name,
        decoded.format,
        pixels.width,
        pixels.height,
        image_sha256(decoded.data),
        imagehash.phash(pixels),
        _thumbs(pixels),
        sharpness(grey),
        decoded.metadata,
    )
    problems = [*_size_problems(report), *_pixel_problems(report, grey, _small(pixels))]
    return (None if errors(problems) else report), problems


def sharpness(grey: npt.NDArray[np.float32]) -> float:
    """How hard the edges of a picture are: variance of the Laplacian over the energy of the gradient, on the edges.

    `grey` (H, W) in 0..255. Only the 5 % of pixels with the strongest gradient count: the usual variance over
    the whole picture calls flat drawings blurred, since most of their pixels are one colour. Dividing by the gradient
    takes the contrast out. About 2 for a sharp picture, below 0.3 for a blurred one; 0.0 when there is no edge at all.
    """
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    gradient = ((grey[2:, 1:-1] - grey[:-2, 1:-1]) / 2) ** 2 + ((grey[1:-1, 2:] - grey[1:-1, :-2]) / 2) ** 2
    edges = gradient >= max(float(np.quantile(gradient, 0.95)), 1e-6)
    if not edges.any():
        return 0.0
    return float(laplacian[edges].var() / gradient[edges].mean())


def _small(image: Image.Image) -> npt.NDArray[np.int16]:
    """(H, W, 3) in 0..255, its longer side 128 px."""
    small = image.copy()
    small.thumbnail((128, 128), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.int16)


def _grey(image: Image.Image) -> npt.NDArray[np.float32]:
    """(H, W) in 0..255 with a short side of at most 256 px, about what vision encoders take: blur that is gone at that
    size does not matter."""
    scale = min(1.0, 256 / min(image.size))
    size = (max(3, round(image.width * scale)), max(3, round(image.height * scale)))
    return np.asarray(image.convert("L").resize(size, Image.Resampling.LANCZOS), dtype=np.float32)


def _thumbs(image: Image.Image) -> tuple[npt.NDArray[np.float32], ...]:
    """`ImageReport.thumbs`."""
    boxes = [
        (part * image.width, part * image.height, (1 - part) * image.width, (1 - part) * image.height) for part in CROPS
    ]
    small = [image.resize((THUMB_PX, THUMB_PX), Image.Resampling.BOX, box=box) for box in boxes]
    return tuple(np.asarray(thumb, dtype=np.float32) for thumb in small)


def _size_problems(report: ImageReport) -> list[Problem]:
    where, name, size = f"images/{report.name}", report.name, f"{report.width} x {report.height} px"
    short, long = sorted((report.width, report.height))
    found = []
    if short < MIN_SIDE_PX:
        found.append(
            Problem(
                where,
                f"{name} is too small ({size}); the shorter side must have {MIN_SIDE_PX} px.",
                "Use the original, larger picture; making a small one bigger does not help.",
            )
        )
    elif short < GOOD_SIDE_PX:
        found.append(
            Problem(
                where,
                f"{name} is small ({size}).",
                f"{GOOD_SIDE_PX} px and more show details better; use a larger original if there is one.",
                "warning",
            )
        )
    if long > MAX_ASPECT * short:
        found.append(
            Problem(
                where,
                f"{name} is a strip ({size}): more than {MAX_ASPECT:g} times as long as wide.",
                "Crop it to the character, nearly square.",
            )
        )
    elif long > GOOD_ASPECT * short:
        found.append(
            Problem(
                where,
                f"{name} is long ({size}); models see squares, so its ends are lost.",
                "Crop it to the character, nearly square.",
                "warning",
            )
        )
    return found


def _little_to_see(name: str, small: npt.NDArray[np.int16]) -> Problem | None:
    """A warning where a picture (H, W, 3) is nearly black, nearly white or nearly empty."""
    where = f"images/{name}"
    if np.quantile(small.max(-1), 0.99) < DARK_LEVEL:
        mend = "Brighten it, or use another: what cannot be seen is not learned."
        return Problem(where, f"{name} is nearly black.", mend, "warning")
    if np.quantile(small.min(-1), 0.01) > LIGHT_LEVEL:
        mend = "Darken it, or use another: what cannot be seen is not learned."
        return Problem(where, f"{name} is nearly white.", mend, "warning")
    # The most frequent of 32,768 colours stands for the background.
    coarse = (small >> 3) @ np.array([1024, 32, 1])
    first = np.flatnonzero(coarse == np.bincount(coarse.ravel()).argmax())[0]
    background = small.reshape(-1, 3)[first]
    if float((np.abs(small - background).max(-1) <= SAME_COLOUR).mean()) >= EMPTY_SHARE:
        mend = "Crop it to the character, so that they fill the picture."
        return Problem(where, f"{name} is nearly empty.", mend, "warning")
    return None


def _pixel_problems(report: ImageReport, grey: npt.NDArray[np.float32], small: npt.NDArray[np.int16]) -> list[Problem]:
    where, name = f"images/{report.name}", report.name
    found = []
    # Neither any channel of the thumbnail nor the grey picture spans 8 of 255 levels.
    if max(float(np.ptp(report.thumbs[0][..., channel])) for channel in range(3)) < 8 and np.ptp(grey) < 8:
        found.append(Problem(where, f"{name} shows one flat colour and nothing else.", "Use another picture."))
    elif (little := _little_to_see(name, small)) is not None:
        found.append(little)
    elif report.sharpness < MIN_SHARPNESS:
        found.append(
            Problem(
                where,
                f"{name} is blurred, or was made bigger from a small picture.",
                "Use a sharp picture if there is one: blur is learned like everything else.",
                "warning",
            )
        )
    if report.metadata:
        found.append(
            Problem(
                where,
                f"{name} tells more than it shows ({report.metadata}).",
                f"Save it again without metadata, or take it in with `{as_typed('character import')}` or "
                "the studio, which strip it.",
                "warning",
            )
        )
    return found
