"""A character folder as a card or a zip, ready to be handed on.

Pictures keep nothing but their pixels; what a card cannot carry is told.
"""

from __future__ import annotations

from pathlib import Path

from pipelines.core.character.character_folder import (
    CHARACTER_FILE,
    IMAGES,
    TEST_FILE,
    TEST_IMAGES,
    image_path,
    read_character,
)
from pipelines.core.character.image_decode import without_metadata
from pipelines.core.formats.card_files import read_bytes, write_archive
from pipelines.core.formats.card_images import is_adapter_file, suffix_of
from pipelines.core.formats.cards import ADAPTER_FOLDER, write_card
from pipelines.core.problems import Problem


def export_card(folder: Path, target: Path, adapter: Path | None = None) -> list[Problem]:
    """Writes a character folder as `.png`, `.json` or `.charx` card or whole as `.zip`; returns notes.

    `adapter` is a folder with a PEFT adapter; only `.charx` and `.zip` can carry it.
    """
    character = read_character(folder)
    adapter_files = {}
    if adapter is not None:
        inside = {path.relative_to(adapter).as_posix(): path for path in sorted(adapter.rglob("*")) if path.is_file()}
        adapter_files = {name: path.read_bytes() for name, path in inside.items() if is_adapter_file(name)}
    if target.suffix.lower() == ".zip":
        files = _read_folder(folder) | {f"{ADAPTER_FOLDER}/{name}": data for name, data in adapter_files.items()}
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(write_archive(files))
        return []
    listed = [*(image.file for image in character.images), *character.input_images]
    images = {file: _read_image(image_path(folder, file)) for file in listed}
    return write_card(character, images, target, adapter_files=adapter_files)


def _read_folder(folder: Path) -> dict[str, bytes]:
    """Everything that belongs to a character folder, by path relative to it."""
    paths = [folder / CHARACTER_FILE, folder / TEST_FILE, folder / "LICENCE.md"]
    files = {path: read_bytes(path, path.name) for path in paths if path.is_file()}
    for kind in (IMAGES, TEST_IMAGES):
        paths = sorted(path for path in (folder / kind).glob("*") if suffix_of(path.read_bytes()[:16]))
        files |= {path: _read_image(path) for path in paths}
    return {path.relative_to(folder).as_posix(): data for path, data in files.items()}


def _read_image(path: Path) -> bytes:
    # A card is made to be handed on: where and when a picture was taken stays behind.
    return without_metadata(read_bytes(path, path.name), path.name)
