"""Sets of pictures (`picture_sets.py`) from a folder or a zip into a character folder, new or there already.

A set says nothing about who is shown, so a new character has a name from the set's folders and no persona yet; the
notes and the checks say so. Pictures get the names 01.png, 02.jpg, ..., as in the studio.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pipelines.core.character.amounts import MAX_IMAGES
from pipelines.core.character.character import Character, CharacterImage
from pipelines.core.character.character_folder import CHARACTER_FILE, IMAGES, read_character, write_character
from pipelines.core.character.image_decode import without_metadata
from pipelines.core.formats.caption_files import is_picture
from pipelines.core.formats.card_files import MAX_MEMBERS
from pipelines.core.formats.card_images import suffix_of
from pipelines.core.formats.file_sources import FileSource
from pipelines.core.formats.import_notes import Mended, note, notes_from, tell
from pipelines.core.formats.picture_sets import PictureSet, belongs_to_set, read_picture_set
from pipelines.core.problems import CharacterProblems, Problem, left_out, only_kept

MAX_TAKEN = 4 * MAX_IMAGES
"""Most pictures of a set that are taken: enough to choose from."""
_OTHER_FORMATS = (CHARACTER_FILE, "card.json")


def import_picture_set(
    source: FileSource, folder: Path, role: str = "", without: Collection[str] = ()
) -> list[Problem] | None:
    """Writes or extends a character folder from a set of pictures; None when the source is none, with nothing written.

    role: whom to take where its folders show several; without: paths that are read otherwise.

    Raises:
        RoleNeeded: its folders show several people, and none was named.
        CharacterProblems: none of its pictures can be used, or the character that is there cannot be read.
    """
    paths = [path for path in source.paths if path not in without]
    if not _is_set(paths):
        return None
    file, mended = source.file, Mended()
    is_new = not (folder / CHARACTER_FILE).exists()
    there_is = Character("", "") if is_new else read_character(folder)
    inside = source.read(lambda path: path not in without and belongs_to_set(path), mended)
    others = [path for path in paths if not belongs_to_set(path)]
    found = read_picture_set(list(inside.items()), others, file, role, there_is.name)
    words = found.label.split(" ")[0] or PurePosixPath(file).stem
    character = Character(_named(words), "") if is_new else there_is
    there = {path.name: path.read_bytes() for path in _files_in(folder / IMAGES)}
    listed, images = _take(found, {image.file for image in character.images} | set(there), set(there.values()), mended)
    if not images:
        message = f"{file} holds no new picture that can be opened."
        none = Problem(file, message, "Send PNG, JPEG or WebP pictures.", subject=file)
        raise CharacterProblems([none, *found.notes, *notes_from(mended, file)])
    held = tuple(image.file for path, image in listed if path in found.test)
    if held:
        mended[only_kept("pictures in a folder called like a test are kept for the test")] += len(held)
        chosen = replace(character.held_out, images=(*(character.held_out.images or ()), *held))
        character = replace(character, held_out=chosen)
    character = replace(character, images=character.images + tuple(image for _, image in listed))
    write_character(character, folder, {**there, **images})
    notes = found.notes + notes_from(mended, file)
    if is_new:
        message = f"Only pictures are in {file}; the character is called {character.name} after it."
        notes.insert(0, note(file, message, "Give it its name, and say who it is: a persona is needed."))
    return notes


def _is_set(paths: Iterable[str]) -> bool:
    """Whether these are pictures without a character: no card, no character folder, no Backyard or RoleScape data."""
    listed = [PurePosixPath(path) for path in paths]
    names = {path.name.lower() for path in listed}
    backyard = PurePosixPath("manifest.json") in listed
    rolescape = "annotation.json" in names or any(name.endswith("_with_image.json") for name in names)
    pictures = any(is_picture(str(path)) for path in listed)
    return pictures and not backyard and not rolescape and not names & {*_OTHER_FORMATS}


def _files_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_file()] if folder.is_dir() else []


def _take(
    found: PictureSet, taken: set[str], known: set[bytes], mended: Counter[str]
) -> tuple[list[tuple[str, CharacterImage]], dict[str, bytes]]:
    """The pictures under new names with their captions and paths, and their clean bytes."""
    listed: list[tuple[str, CharacterImage]] = []
    images: dict[str, bytes] = {}
    stems = {PurePosixPath(file).stem for file in taken}
    numbers = (f"{number:02d}" for number in range(1, MAX_MEMBERS * 2) if f"{number:02d}" not in stems)
    for (path, data), caption in zip(found.pictures, found.captions, strict=True):
        if len(listed) == MAX_TAKEN:
            mended[left_out(f"pictures beyond the first {MAX_TAKEN} were left out")] += 1
            continue
        try:
            clean = without_metadata(data)
        except CharacterProblems:
            tell(mended, left_out("pictures that cannot be opened were left out"), path)
            continue
        if clean in known:
            tell(mended, left_out("pictures that are there already were left out"), path)
            continue
        file = f"{next(numbers)}{suffix_of(clean)}"
        images[file] = clean
        listed.append((path, replace(caption, file=file)))
    return listed, images


def _named(words: str) -> str:
    """A folder's name as the name of somebody: without underscores, capital letters where there are none."""
    plain = " ".join(words.replace("_", " ").replace("-", " ").split())[:80] or "Somebody"
    return plain.title() if plain.islower() else plain
