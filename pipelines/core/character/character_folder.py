"""The character folder on disk: `character.yaml` and `images/`, with `test.yaml` and `test_images/` beside them.

`read_character` collects every problem of the file and raises `CharacterProblems` with all of them; warnings
alone do not stop it. Contents are judged in `checks.py`, pictures in `image_check.py`. Files are written first and
`character.yaml` last, so a folder that has one is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipelines.core.character.character import Character, CharacterImage, TestSplit, is_file_name
from pipelines.core.character.serialize import (
    character_from_entries,
    character_to_entries,
    split_from_entries,
    split_to_entries,
)
from pipelines.core.durable import replace_durably
from pipelines.core.problems import CharacterProblems, Problem, errors
from pipelines.core.yaml_text import MAX_YAML_BYTES, read_yaml, write_yaml

__all__ = [
    "CHARACTER_FILE",
    "IMAGES",
    "TEST_FILE",
    "TEST_IMAGES",
    "image_path",
    "load_character",
    "load_test_split",
    "read_character",
    "read_test_split",
    "test_image_path",
    "write_character",
    "write_test_split",
]

CHARACTER_FILE = "character.yaml"
IMAGES = "images"
TEST_FILE = "test.yaml"
TEST_IMAGES = "test_images"

ImageSource = Mapping[str, bytes] | Path | None
"""Where pictures come from: bytes by file name, a folder that holds them, or None when they are in place already."""


def read_character(folder: Path) -> Character:
    """The character of a folder; raises CharacterProblems with everything that keeps it from being read."""
    character, problems = load_character(folder)
    if character is None or errors(problems):
        raise CharacterProblems(problems)
    return character


def read_test_split(folder: Path) -> TestSplit | None:
    """The held-out split of a folder, None when it has none; raises CharacterProblems like `read_character`."""
    split, problems = load_test_split(folder)
    if errors(problems):
        raise CharacterProblems(problems)
    return split


def load_character(folder: Path) -> tuple[Character | None, list[Problem]]:
    """The character and every problem of its file; parts with errors are left out, None when nothing can be read."""
    entries, problems = _read_entries(folder, CHARACTER_FILE)
    character = None if entries is None else character_from_entries(entries, problems)
    return character, problems


def load_test_split(folder: Path) -> tuple[TestSplit | None, list[Problem]]:
    """The held-out split and every problem of its file, like `load_character`; (None, []) when there is no file."""
    if not (folder / TEST_FILE).exists():
        return None, []
    entries, problems = _read_entries(folder, TEST_FILE)
    if entries is None:
        return None, problems
    split = split_from_entries(entries, problems)
    named = [Problem(f"{TEST_FILE}: {item.field}", item.message, item.mend, item.severity) for item in problems]
    return split, named


def write_character(
    character: Character, folder: Path, images: ImageSource = None, called: str = CHARACTER_FILE
) -> None:
    """Writes `character.yaml` and the pictures that the character lists; makes the folder.

    called: what problems call the file, where its texts come from another one.

    Picture bytes are written as they are given: strip them with `image_decode.clean_image` first.
    Raises CharacterProblems, before anything is written, when a picture is not given, a file name is not plain
    or the yaml would be too big to be read again.
    """
    data = write_yaml(character_to_entries(character), called)
    _write_images((*character.images, *map(CharacterImage, character.input_images)), folder, IMAGES, images)
    _write_last(folder / CHARACTER_FILE, data)


def write_test_split(split: TestSplit, folder: Path, images: ImageSource = None) -> None:
    """Writes `test.yaml` and `test_images/`; raises CharacterProblems like `write_character`."""
    data = write_yaml(split_to_entries(split), TEST_FILE)
    _write_images((*split.images, *map(CharacterImage, split.input_images)), folder, TEST_IMAGES, images)
    _write_last(folder / TEST_FILE, data)


def image_path(folder: Path, file: str) -> Path:
    """Where one of the character's pictures lies."""
    return folder / IMAGES / file


def test_image_path(folder: Path, file: str) -> Path:
    """Where a held-out picture lies: `test_images/`, or `images/` when the split was derived by `hold_out`."""
    path = folder / TEST_IMAGES / file
    return path if path.exists() else folder / IMAGES / file


test_image_path.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


def _read_entries(folder: Path, name: str) -> tuple[dict[str, Any] | None, list[Problem]]:
    """The entries of a yaml file, (None, problems) when it cannot be read."""
    try:
        return read_yaml(_read_file(folder, name), name), []
    except CharacterProblems as refused:
        return None, list(refused.problems)


def _read_file(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_YAML_BYTES + 1)  # one byte more than is read, so that too long is noticed
    except FileNotFoundError as error:
        if not folder.is_dir():
            message, mend = f"There is no folder {folder.name!r}.", "Check the path; it must be the character's folder."
        else:
            message = f"The folder has no {name}."
            mend = f"Make {name} in it, or rename the file if it is called otherwise (character.yml, Character.yaml)."
        raise CharacterProblems([Problem(name, message, mend)]) from error
    except OSError as error:
        mend = "Check that it is an ordinary file and that you may read it."
        problem = Problem(name, f"{name} cannot be opened: {error.strerror or error}.", mend)
        raise CharacterProblems([problem]) from error


def _write_images(listed: Iterable[CharacterImage], folder: Path, kind: str, images: ImageSource) -> None:
    """Finds the bytes of every listed picture first, then writes them."""
    problems: list[Problem] = []
    found: dict[str, bytes] = {}
    for number, image in enumerate(listed):
        field = f"{kind}[{number}].file"
        if not is_file_name(image.file):
            mend = "Use only the picture's own name, like 03.png."
            problems.append(Problem(field, f"{image.file[:80]!r} is not a plain file name.", mend))
        elif images is None:
            continue
        elif isinstance(images, Path):
            places = [images / image.file, images / kind / image.file]
            held = next((place for place in places if place.is_file()), None)
            if held is None:
                problems.append(Problem(field, f"The picture {image.file} is not in {images.name}.", "Add the file."))
            else:
                found[image.file] = held.read_bytes()
        elif image.file in images:
            found[image.file] = images[image.file]
        else:
            problems.append(Problem(field, f"The picture {image.file} is listed but was not given.", "Add the file."))
    if problems:
        raise CharacterProblems(problems)
    target = folder / kind
    target.mkdir(parents=True, exist_ok=True)
    for file, data in found.items():
        (target / file).write_bytes(data)


def _write_last(path: Path, data: bytes) -> None:
    """Replaces the file in one step: a reader sees the old one or the new one, never half."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(data)
    replace_durably(temporary, path)
