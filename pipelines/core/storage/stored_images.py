"""Pictures of characters out of the store, without metadata whoever put them there.

What is stored is clean since pictures are cleaned on their way in. Version 0.1 did less there (an import kept a
phone's film behind a photo, content credentials and profiles) and cleaned once more before training, so what it stored
is cleaned when it is read. Every picture of a draft or a published version that leaves the store comes through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipelines.core.character.image_decode import without_metadata
from pipelines.core.character.image_metadata import holds_only_pixels
from pipelines.core.storage.store import Store, fetch_files, read


def read_image(store: Store, key: str, name: str = "the picture") -> bytes:
    """The picture's bytes as they were put, or cleaned when they hold metadata.

    No pixel is decoded of what is clean. Raises CharacterProblems, with the field `images/{name}`, for what is no
    picture; StoreError.
    """
    data = read(store, key)
    return data if holds_only_pixels(data) else without_metadata(data, name)


def fetch_images(store: Store, images: Mapping[str, str], folder: Path) -> None:
    """Write pictures, file name -> key, into a folder, as `read_image` gives them."""
    fetch_files(store, images, folder)
    for file in images:
        stored = (folder / file).read_bytes()
        if not holds_only_pixels(stored):
            (folder / file).write_bytes(without_metadata(stored, file))
