"""The pictures of a character as a set: count, copies of each other, and variety.

Equal bytes are found by SHA-256. Near duplicates (scaled, saved again, brightened, trimmed) are found by a perceptual
hash first and then by the correlation of small colour thumbnails, since drawings of one figure that differ in the face
only have nearly the same hash and are no copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.core.character.amounts import GOOD_IMAGES, MAX_IMAGES, MIN_IMAGES
from pipelines.core.character.character import CharacterImage
from pipelines.core.character.image_check import ImageReport, check_image
from pipelines.core.problems import Problem

MAX_HASH_BITS = 20
"""Hamming distance of the 64-bit hashes above which two pictures are not compared further."""
MAX_THUMB_DISTANCE = 0.008
"""`thumb_distance` up to which two pictures are copies. Measured on 30 drawings and 9 photographs: copies (JPEG at
quality 50, scaled to a third, 10 % brighter, 15 % more contrast) are below 0.0066; of drawings that differ in the
expression only, nine in ten are above 0.016."""

# Expressions that a set should have, and words that captions use for them; the key is what the creator reads.
_MOODS = {
    "happy": ("happy", "laughing", "smiling", "smile", "laugh", "grin", "winking", "cheerful", "joyful", "delighted"),
    "sad": ("sad", "crying", "tears", "weeping", "worried", "unhappy", "tearful", "gloomy", "melancholy"),
    "angry": ("angry", "furious", "annoyed", "grumpy", "cross", "scowling", "frowning"),
    "surprised": ("surprised", "astonished", "shocked", "amazed", "startled"),
}


def check_image_set(files: Iterable[tuple[str, bytes | Path]]) -> tuple[list[ImageReport], list[Problem]]:
    """The usable pictures of a set, and every problem of each of them and of the set: count and copies."""
    reports: list[ImageReport] = []
    problems: list[Problem] = []
    count = 0
    for name, data in files:
        report, found = check_image(data, name)
        problems += found
        reports += [report] if report else []
        count += 1
    return reports, [*check_image_count(count), *problems, *find_copies(reports)]


def check_image_count(count: int) -> list[Problem]:
    """Too few or too many pictures."""
    if count < MIN_IMAGES:
        have = {0: "There are no pictures yet", 1: "There is 1 picture"}.get(count, f"There are {count} pictures")
        return [
            Problem(
                "images",
                f"{have}; at least {MIN_IMAGES} are needed, about {GOOD_IMAGES} are best.",
                "Add pictures of the same character with other faces, clothes and places.",
            )
        ]
    if count > MAX_IMAGES:
        return [
            Problem(
                "images",
                f"There are {count} pictures; at most {MAX_IMAGES} are used.",
                "Keep the ones that differ most from each other.",
            )
        ]
    return []


def find_copies(reports: Sequence[ImageReport]) -> list[Problem]:
    """Pictures that are in the set twice: an error for equal bytes, a warning for nearly equal pictures."""
    found = []
    for first, second in combinations(reports, 2):
        where = f"images/{second.name}"
        if first.sha256 == second.sha256:
            found.append(Problem(where, f"{second.name} is the same file as {first.name}.", "Take one of the two out."))
        elif is_copy(first, second):
            found.append(
                Problem(
                    where,
                    f"{second.name} is nearly the same picture as {first.name}.",
                    "Keep the better one and add a picture with another face, place or clothes.",
                    "warning",
                )
            )
    return found


def is_copy(first: ImageReport, second: ImageReport) -> bool:
    """Whether two pictures are near duplicates: perhaps scaled, saved again, brightened or trimmed a little."""
    if first.phash - second.phash > MAX_HASH_BITS:
        return False
    # Each whole picture against the other's crops: either of the two may be the trimmed one.
    pairs = [(first.thumbs[0], thumb) for thumb in second.thumbs]
    pairs += [(thumb, second.thumbs[0]) for thumb in first.thumbs[1:]]
    return min(thumb_distance(a, b) for a, b in pairs) <= MAX_THUMB_DISTANCE


def thumb_distance(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """1 - correlation of two thumbnails (H, W, 3), each channel about its mean: 0 equal, 1 unrelated."""
    a, b = a - a.mean((0, 1)), b - b.mean((0, 1))
    energy = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return 1.0 - float((a * b).sum()) / energy if energy else 0.0


def most_varied(reports: Sequence[ImageReport | None], count: int, first: Sequence[int] = ()) -> list[int]:
    """Places of up to `count` pictures that differ from each other, in the order they are chosen; those of `first` are.

    Greedy: next comes the one whose nearest chosen picture is farthest away (`thumb_distance`). None stands for a
    picture that could not be read; such come last.
    """
    chosen = list(dict.fromkeys(first))[:count]
    left = [place for place, report in enumerate(reports) if report is not None and place not in chosen]
    nearest = dict.fromkeys(left, 3.0)  # no distance is above 2

    def note(place: int) -> None:
        report = reports[place]
        for other in left:
            found = reports[other]
            if report is not None and found is not None:
                nearest[other] = min(nearest[other], thumb_distance(report.thumbs[0], found.thumbs[0]))

    for place in chosen:
        note(place)
    while left and len(chosen) < count:
        best = max(left, key=lambda place: (nearest[place], -place))
        left.remove(best)
        chosen.append(best)
        note(best)
    unread = [place for place, report in enumerate(reports) if report is None and place not in chosen]
    return (chosen + unread)[:count]


def check_variety(images: Sequence[CharacterImage]) -> list[Problem]:
    """Warnings about variety, from what the creator wrote beside the pictures (never from the pixels)."""
    found = [
        Problem(
            f"images[{number}]",
            f"Nothing says what varies in {image.file}.",
            "Add its expression, clothes, place and pose, or a caption: what is not named is learned as always there.",
            "warning",
        )
        for number, image in enumerate(images)
        if not image.description
    ]
    if len(images) < MIN_IMAGES:
        return found  # below that the count is what matters
    return found + _missing_moods(images) + _always_the_same(images)


def _missing_moods(images: Sequence[CharacterImage]) -> list[Problem]:
    if not all(image.expression or image.caption for image in images):
        return []  # a picture that nobody described may show just that face
    said = " ".join(f"{image.expression} {image.caption}".lower() for image in images).replace(",", " ").split()
    missing = [mood for mood, words in _MOODS.items() if not any(word in said for word in words)]
    if not missing:
        return []
    faces = " and no ".join(f"{mood} face" for mood in missing)
    return [
        Problem(
            "images", f"There is no {faces} yet.", "Add a picture, or expect the character to guess there.", "warning"
        )
    ]


def _always_the_same(images: Sequence[CharacterImage]) -> list[Problem]:
    """The fields that have one value in every picture: the model cannot tell them from the character."""
    if not any(image.description for image in images):
        return []  # an empty pose means the usual one, but not before anything is described
    fields = {
        "place": [image.place for image in images],
        "clothes": [image.clothes for image in images],
        "expression": [image.expression for image in images],
        "pose": [image.pose for image in images],
    }
    found = []
    for name, values in fields.items():
        only = {value.strip().lower() for value in values}
        if len(only) > 1 or (only == {""} and name != "pose"):
            continue  # varied; or left empty everywhere, which a caption may make up for
        if name == "pose" and any(image.caption for image in images):
            continue
        other = "other clothes" if name == "clothes" else f"another {name}"
        same = f"the same {name} ({values[0]})" if values[0] else f"the usual {name}"
        found.append(
            Problem(
                "images",
                f"All pictures show {same}.",
                f"Add a picture with {other}: what never varies is learned as part of the character.",
                "warning",
            )
        )
    return found
