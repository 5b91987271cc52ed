"""A character folder as a card or a zip, ready to be handed on.

Pictures keep nothing but their pixels; what a card cannot carry is told.
"""

from __future__ import annotations

from collections import Counter
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
from pipelines.core.character.text_pictures import with_clean_texts
from pipelines.core.formats.card_files import read_bytes, write_archive
from pipelines.core.formats.card_images import is_adapter_file, suffix_of
from pipelines.core.formats.cards import ADAPTER_FOLDER, write_card
from pipelines.core.formats.import_notes import Mended, notes_from, tell
from pipelines.core.problems import CharacterProblems, Problem, left_out


def export_card(folder: Path, target: Path, adapter: Path | None = None) -> list[Problem]:
    """Writes a character folder as `.png`, `.json` or `.charx` card or whole as `.zip`; returns notes.

    `adapter` is a folder with a PEFT adapter; only `.charx` and `.zip` can carry it.
    """
    character = with_clean_texts(read_character(folder))
    mended: Counter[str] = Mended()
    adapter_files = {} if adapter is None else _read_adapter(adapter, mended)
    notes = notes_from(mended, target.name)
    if target.suffix.lower() == ".zip":
        files = _read_folder(folder) | {f"{ADAPTER_FOLDER}/{name}": data for name, data in adapter_files.items()}
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(write_archive(files))
        return notes
    listed = [*(image.file for image in character.images), *character.input_images]
    images = {file: _read_image(image_path(folder, file)) for file in listed}
    return write_card(character, images, target, adapter_files=adapter_files) + notes


def _read_adapter(folder: Path, mended: Counter[str]) -> dict[str, bytes]:
    """An adapter's files by their path in its folder, thumbnails with nothing but their pixels."""
    inside = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {}
    for name, path in inside.items():
        if not is_adapter_file(name):
            continue
        try:
            files[name] = _read_image(path) if name.endswith(".jpg") else path.read_bytes()
        except CharacterProblems:  # they are for people alone, and no reason to keep an adapter back
            tell(mended, left_out("thumbnails of the adapter that cannot be opened were left out"), name)
    return files


def _read_folder(folder: Path) -> dict[str, bytes]:
    """Everything that belongs to a character folder, by path relative to it."""
    paths = [folder / CHARACTER_FILE, folder / TEST_FILE, folder / "LICENCE.md"]
    files = {path: _clean_text(read_bytes(path, path.name)) for path in paths if path.is_file()}
    for kind in (IMAGES, TEST_IMAGES):
        files |= {folder / kind / file: data for file, data in clean_images(folder / kind).items()}
    return {path.relative_to(folder).as_posix(): data for path, data in files.items()}


def clean_images(folder: Path) -> dict[str, bytes]:
    """The pictures of a folder by file name, with nothing but their pixels."""
    paths = sorted(path for path in folder.glob("*") if path.is_file() and suffix_of(path.read_bytes()[:16]))
    return {path.name: _read_image(path) for path in paths}


def _clean_text(data: bytes) -> bytes:
    return with_clean_texts(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _read_image(path: Path) -> bytes:
    # A card is made to be handed on: where and when a picture was taken stays behind.
    return without_metadata(read_bytes(path, path.name), path.name)
