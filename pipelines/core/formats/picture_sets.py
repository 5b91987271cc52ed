"""Pictures with captions, as trainers of picture models keep them: kohya folders and Hugging Face image folders.

- kohya (docs/train_README of github.com/kohya-ss/sd-scripts): folders called REPEATS_IDENTIFIER CLASS, beside each
  picture a caption of the same name ending in .txt or .caption. Regularisation pictures (`reg/`) show the class, not
  the character. Repeats say how often a trainer shows a picture; here every picture counts alike.
- Image folders (huggingface.co/docs/datasets/image_dataset): `metadata.jsonl` or `metadata.csv` with a column
  `file_name` (or one ending in `_file_name`), relative to it, and any others; the caption is in one of `CAPTION_KEYS`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from pipelines.core.character.character import CharacterImage
from pipelines.core.decode_text import decode_text
from pipelines.core.formats.caption_files import assign_captions, caption_id, fit_caption, is_caption_file
from pipelines.core.formats.card_images import suffix_of
from pipelines.core.formats.import_notes import Mended, notes_from, tell
from pipelines.core.formats.json_text import NOT_JSON, parse_json
from pipelines.core.problems import CharacterProblems, Problem, left_out

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp")
METADATA_FILES = ("metadata.jsonl", "metadata.csv")
CAPTION_KEYS = ("text", "caption", "captions", "prompt", "description", "sentence")
FIELD_KEYS = ("expression", "clothes", "place", "pose")
"""Columns of an image folder that a character's pictures have too."""
MAX_ROWS = 10_000
_REPEATS = re.compile(r"\d{1,4}_(?P<label>\S.*)")
_CLASS_PICTURES = re.compile(r"reg(?:s|ulari[sz]ation)?(?:_(?:images|data|dir))?|class_images", re.IGNORECASE)
_TEST_FOLDERS = ("test", "validation", "valid", "val", "eval", "dev")
_NO_CONTENT = ("thumbs.db", "desktop.ini", "readme.md", ".gitattributes")


@dataclass(frozen=True)
class PictureSet:
    """The pictures of a set with what is said about them."""

    pictures: tuple[tuple[str, bytes], ...]
    """Path and bytes as they came, each content once."""
    captions: tuple[CharacterImage, ...]
    """What varies in each of them, by its path."""
    label: str
    """What kohya's folders call the character ("tola woman"); "" where they do not."""
    test: frozenset[str]
    """Paths of the pictures that the set itself keeps for testing."""
    notes: list[Problem]


def is_picture(path: str) -> bool:
    """Whether a file's name says that it is a picture."""
    return path.lower().endswith(PICTURE_SUFFIXES)


def is_metadata(path: str) -> bool:
    """Whether a file is the table of an image folder."""
    return PurePosixPath(path).name.lower() in METADATA_FILES


def belongs_to_set(path: str) -> bool:
    """Whether a file is a picture, a caption or a table, and none that a system has put beside them."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(path).parts)
    return not hidden and (is_picture(path) or is_caption_file(path) or is_metadata(path))


def read_picture_set(files: Sequence[tuple[str, bytes]], others: Iterable[str], file: str) -> PictureSet:
    """The pictures among the files (path -> bytes) with their captions; `others` are paths that were not read."""
    mended: Counter[str] = Mended()
    pictures = _pictures(files, mended)
    paths = [path for path, _ in pictures]
    notes: list[Problem] = []
    texts = [(path, data) for path, data in files if is_caption_file(path) and not _shows_the_class(path)]
    assigned, told = assign_captions(paths, texts)
    notes += told
    captions = [CharacterImage(path, caption=assigned.get(place, "")) for place, path in enumerate(paths)]
    for path, data in files:
        if is_metadata(path):
            _read_table(path, data, captions, notes, mended)
    folders = [part for path in paths for part in PurePosixPath(path).parts[:-1]]
    labels = Counter(match["label"] for part in folders if (match := _REPEATS.fullmatch(part)))
    label = next((label for label, _ in labels.most_common(1)), "")
    captions = [replace(image, caption=_without_label(image.caption, label, mended)) for image in captions]
    if labels:
        mended[left_out("repeats in the names of folders were not used: every picture counts alike")] += len(labels)
    spare = [path for path in others if not _is_nothing(path)]
    if any(path.lower().endswith(".parquet") for path in spare):
        mended[left_out("tables as .parquet cannot be read: save them as metadata.csv")] += 1
    elif spare:
        mended[left_out("files that are neither pictures nor captions were left out")] += len(spare)
    return PictureSet(
        tuple(pictures),
        tuple(captions),
        label,
        _test_paths(paths),
        notes + notes_from(mended, file),
    )


def _without_label(caption: str, label: str, mended: Counter[str]) -> str:
    """A caption without the words that stand for the character in it ("tola woman, laughing"): they never vary."""
    for words in (label, label.split(" ")[0]):
        if words and caption.lower().startswith(f"{words.lower()},"):
            mended[left_out(f"the words {words!r} before captions were left out: they stand for the character")] += 1
            return caption[len(words) + 1 :].strip()
    return caption


def _pictures(files: Iterable[tuple[str, bytes]], mended: Counter[str]) -> list[tuple[str, bytes]]:
    """The pictures of the character, in the order of their paths, equal ones once."""
    seen: set[str] = set()
    kept = []
    for path, data in sorted(files):
        if not is_picture(path):
            continue
        digest = hashlib.sha256(data).hexdigest()
        if _shows_the_class(path):
            sentence = "pictures of the class alone (regularisation) were left out: they do not show the character"
            tell(mended, left_out(sentence), path)
        elif not suffix_of(data):
            tell(mended, left_out("pictures that are not PNG, JPEG or WebP were left out"), path)
        elif digest in seen:
            tell(mended, left_out("pictures that are there twice were taken once"), path)
        else:
            seen.add(digest)
            kept.append((path, data))
    return kept


def _shows_the_class(path: str) -> bool:
    return any(_CLASS_PICTURES.fullmatch(part) for part in PurePosixPath(path).parts[:-1])


def _is_nothing(path: str) -> bool:
    parts = PurePosixPath(path).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return hidden or parts[-1].lower() in _NO_CONTENT


def _test_paths(paths: Sequence[str]) -> frozenset[str]:
    """Paths in a folder that is called like a test, unless all of them are."""
    held = frozenset(
        path for path in paths if {part.lower() for part in PurePosixPath(path).parts[:-1]} & {*_TEST_FOLDERS}
    )
    return held if len(held) < len(paths) else frozenset()


# ---------------------------------------------------------------- the table of an image folder


def _read_table(
    path: str, data: bytes, captions: list[CharacterImage], notes: list[Problem], mended: Counter[str]
) -> None:
    """Puts the captions of a table in the place of those beside the pictures."""
    places = {caption_id(f"{image.file}.x"): place for place, image in enumerate(captions)}
    try:
        text, told = decode_text(data, path)
        rows = _rows(path, text, mended)
    except CharacterProblems as error:
        notes += error.problems
        return
    notes += told
    spare: Counter[str] = Counter()
    for row in rows[:MAX_ROWS]:
        keys = [key for key in row if key == "file_name" or key.endswith("_file_name")]
        name = next((row[key] for key in keys if isinstance(row[key], str) and row[key].strip()), "")
        place = places.get(caption_id(f"{PurePosixPath(path).parent / name.strip()}.x")) if name else None
        if place is None:
            tell(
                mended, left_out("lines of a table that name no picture of it were left out"), f"{path}: {name or row}"
            )
            continue
        captions[place] = _described(captions[place], row, f"{path} ({name[:60]})", notes)
        spare.update(key for key in row if key not in (*keys, *CAPTION_KEYS, *FIELD_KEYS))
    if spare:
        named = ", ".join(key[:30] for key in list(spare)[:6])
        mended[left_out(f"columns of a table were not used: {named}")] += len(spare)


def _rows(path: str, text: str, mended: Counter[str]) -> list[dict[str, Any]]:
    if path.lower().endswith(".csv"):
        try:
            table = list(csv.DictReader(io.StringIO(text, newline="")))
        except csv.Error:
            mended[left_out("tables that are damaged were left out")] += 1
            return []
        return [{str(key): value for key, value in row.items() if key} for row in table]
    rows = []
    for line in re.split(r"\r\n|\n|\r", text):
        try:
            value = parse_json(line, path) if line.strip() else None
        except ValueError:
            value = None
            mended[NOT_JSON] += 1
        rows += [value] if isinstance(value, dict) else []
    return rows


def _described(image: CharacterImage, row: Mapping[str, Any], name: str, notes: list[Problem]) -> CharacterImage:
    """What a line says about its picture; an empty one leaves the caption that lies beside it."""
    fields = {key: fit_caption(_words(row.get(key)), name, image.file, notes) for key in FIELD_KEYS}
    caption = next((words for key in CAPTION_KEYS if (words := _words(row.get(key)).strip())), "")
    if not caption and not any(fields.values()):
        return image
    return CharacterImage(image.file, **fields, caption=fit_caption(caption, name, image.file, notes))


def _words(value: Any) -> str:
    """A text, or the first of several captions."""
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, str) and item.strip()), "")
    return value if isinstance(value, str) else ""
