"""Pictures of characters out of the store, without metadata whoever put them there.

What is stored is clean since pictures are cleaned on their way in. Version 0.1 did less there (an import kept a
phone's film behind a photo, content credentials and profiles) and cleaned once more before training, so what it stored
is cleaned when it is read. Every picture of a draft or a published version that leaves the store comes through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipelines.core.character.image_decode import without_metadata
from pipelines.core.storage.store import Store, fetch_files, read


def read_image(store: Store, key: str, name: str = "the picture") -> bytes:
    """The picture's bytes as they were put, or cleaned when they hold metadata.

    Raises CharacterProblems, with the field `images/{name}`, for what is no picture; StoreError.
    """
    return without_metadata(read(store, key), name)


def fetch_images(store: Store, images: Mapping[str, str], folder: Path) -> None:
    """Write pictures, file name -> key, into a folder, as `read_image` gives them."""
    fetch_files(store, images, folder)
    for file in images:
        stored = (folder / file).read_bytes()
        clean = without_metadata(stored, file)
        if clean != stored:
            (folder / file).write_bytes(clean)
