"""Masks among the pictures of a training set: they say which pixels a trainer shall look at, and show nobody.

OneTrainer puts `01-masklabel.png` beside `01.png`; kohya's scripts, ComfyUI and others keep `01_mask.png` or a folder
of the same names (`masks/`, `conditioning/`). A name alone proves little, since characters wear masks too: a picture is
one by what trainers call them and its partner, or by its black and white areas and either of the two.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from pipelines.core.character.image_decode import decode_image
from pipelines.core.formats.caption_files import bare_id, caption_id
from pipelines.core.problems import CharacterProblems

_FOLDER = re.compile(r"(?:.*[ _-])?masks?|conditioning(?:[ _-](?:images?|data))?", re.IGNORECASE)
_LABEL = re.compile(r"(?P<of>.+)[ _-]masklabel", re.IGNORECASE)
_SUFFIX = re.compile(r"(?P<of>.+)[ _.-]mask", re.IGNORECASE)
_DARK, _LIGHT = 48, 208
"""Grey values from 0 to 255 up to which a pixel is black, and from which it is white."""
_LEAST_AREA = 0.02
"""Share of the picture that is black and that is white at least; thin lines of a drawing stay below."""
_LEAST_PURE = 0.9
"""Share of the small picture that is one or the other; what is left are soft borders."""
_SMALL_PX = 64


def looks_like_mask(path: str) -> bool:
    """Whether a file is called as masks are, or lies in a folder of them."""
    parts = PurePosixPath(path)
    named = _LABEL.fullmatch(parts.stem) or _SUFFIX.fullmatch(parts.stem)
    return named is not None or any(_FOLDER.fullmatch(part) for part in parts.parts[:-1])


def masks_among(pictures: Sequence[tuple[str, bytes]]) -> frozenset[str]:
    """Paths of the pictures that are masks of others among them."""
    bytes_of = dict(pictures)
    same_name: dict[str, list[str]] = defaultdict(list)
    for path in bytes_of:
        same_name[bare_id(caption_id(path))].append(path)
    found = set()
    for path, data in pictures:
        own = bare_id(caption_id(path))
        in_folder = any(_FOLDER.fullmatch(part) for part in PurePosixPath(path).parts[:-1])
        label, suffix = _LABEL.fullmatch(own), _SUFFIX.fullmatch(own)
        named = label or suffix
        partners = [other for other in same_name.get(named["of"] if named else own, ()) if other != path]
        if in_folder:
            partners = [other for other in partners if not looks_like_mask(other)]
        is_called_so = bool(named) or in_folder
        if partners and (label or in_folder):
            found.add(path)
        elif not (partners or in_folder) or not is_black_and_white(data):
            continue
        elif is_called_so or not any(is_black_and_white(bytes_of[other]) for other in partners):
            found.add(path)  # of two drawings in ink neither is the mask of the other
    return frozenset(found) if len(found) < len(pictures) else frozenset()


def is_black_and_white(data: bytes) -> bool:
    """Whether a picture is made of areas of black and white; False for one that cannot be opened."""
    try:
        image = decode_image(data, "the picture").pixels
    except CharacterProblems:
        return False
    small = image.resize((_SMALL_PX, _SMALL_PX), Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.int16)  # (64, 64, RGB)
    coloured = (pixels.max(axis=2) - pixels.min(axis=2)).max()
    dark, light = (pixels.max(axis=2) <= _DARK).mean(), (pixels.min(axis=2) >= _LIGHT).mean()
    return bool(coloured <= _DARK and min(dark, light) >= _LEAST_AREA and dark + light >= _LEAST_PURE)
