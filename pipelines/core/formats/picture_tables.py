"""The tables of image folders (huggingface.co/docs/datasets/image_dataset): what a line says about its picture.

`metadata.jsonl` or `metadata.csv` has a column `file_name` (or one ending in `_file_name`, or another of `FILE_KEYS`)
with paths relative to it, found in letters of any case; the caption is in one of `CAPTION_KEYS`. Tables are written by
spreadsheets and by hand: semicolons, tabs, a comma behind the last line's entry and commas in a last column without
quotes are read as they are meant.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from pipelines.core.character.character import CharacterImage
from pipelines.core.decode_text import decode_text
from pipelines.core.formats.caption_files import PicturePlaces, caption_id, fit_caption, is_picture
from pipelines.core.formats.import_notes import tell
from pipelines.core.formats.json_text import NOT_JSON, dicts_of, parse_json
from pipelines.core.problems import CharacterProblems, Problem, left_out

METADATA_FILES = ("metadata.jsonl", "metadata.csv")
FILE_KEYS = ("file_name", "filename", "file", "image", "image_path", "path")
CAPTION_KEYS = ("text", "caption", "captions", "prompt", "description", "sentence")
FIELD_KEYS = ("expression", "clothes", "place", "pose")
"""Columns of an image folder that a character's pictures have too."""
MAX_ROWS = 10_000
_DELIMITERS = (",", ";", "\t")
_SPARE_COMMA = re.compile(r",(?=\s*[}\]]?\s*$)")
_NAMELESS = left_out(
    "lines of a table that name no picture of it were left out",
    "The table needs a column `file_name` with the names of the pictures.",
)


def is_metadata(path: str) -> bool:
    """Whether a file is the table of an image folder."""
    return PurePosixPath(path).name.lower() in METADATA_FILES


def read_table(
    path: str, data: bytes, captions: list[CharacterImage], notes: list[Problem], mended: Counter[str]
) -> None:
    """Puts the captions of a table in the place of those beside the pictures; `captions` are found by their file."""
    try:
        text, told = decode_text(data, path)
    except CharacterProblems as error:
        notes += error.problems
        return
    notes += told
    rows = _csv_rows(text, mended) if path.lower().endswith(".csv") else _json_rows(path, text, mended)
    place_of = _finder(path, [image.file for image in captions])
    spare: Counter[str] = Counter()
    for row in rows[:MAX_ROWS]:
        keys = [key for key in row if key in FILE_KEYS or key.endswith("_file_name")]
        name = next((row[key].strip() for key in keys if isinstance(row[key], str) and row[key].strip()), "")
        place = place_of(name) if name else None
        if place is None:
            tell(mended, _NAMELESS, f"{path}: {name or _shown(row)}")
            continue
        captions[place] = _described(captions[place], row, f"{path} ({name[:60]})", notes)
        spare.update(key for key in row if key not in (*keys, *CAPTION_KEYS, *FIELD_KEYS))
    if len(rows) > MAX_ROWS:
        mended[left_out(f"lines of a table beyond the first {MAX_ROWS:,} were left out")] += len(rows) - MAX_ROWS
    if spare:
        named = ", ".join(key[:30] for key in list(spare)[:6])
        mended[left_out(f"columns of a table were not used: {named}")] += len(spare)


def _finder(path: str, pictures: Sequence[str]) -> Callable[[str], int | None]:
    """Finds the place of the picture that a line of the table at `path` names, None where none or several fit.

    It may be named from the table's folder or from the set's, without its ending, or without its folders.
    """
    whole = PicturePlaces([f"{file}.x" for file in pictures])  # the ending belongs to the name
    bare = PicturePlaces(pictures)
    folder = PurePosixPath(path).parent

    def place_of(name: str) -> int | None:
        plain = name.replace("\\", "/")
        inside = str(folder / plain)
        tries = (
            whole.called(caption_id(f"{inside}.x")),
            whole.called(caption_id(f"{plain}.x")),
            bare.called(caption_id(inside if is_picture(inside) else f"{inside}.x")),
            bare.of_bare_name(plain if is_picture(plain) else f"{plain}.x"),
        )
        found = next((places for places in tries if places), [])
        return found[0] if len(found) == 1 else None

    return place_of


def _shown(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in row.items())


def _csv_rows(text: str, mended: Counter[str]) -> list[dict[str, Any]]:
    """The lines of a table by its first one, whichever sign stands between its columns."""
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error:
        mended[left_out("tables that are damaged were left out")] += 1
        return []
    names = [name.strip().lower() for name in lines[0]] if lines else []
    while names and not names[-1]:
        names.pop()
    rows = []
    for line in lines[1:]:
        if len(line) > len(names) and names and names[-1] in CAPTION_KEYS:
            # Words that nobody put into quotes: what stands behind the last column belongs to it.
            line = [*line[: len(names) - 1], delimiter.join(line[len(names) - 1 :]).rstrip(f"{delimiter} ")]
        if any(cell.strip() for cell in line):
            rows.append({name: cell for name, cell in zip(names, line, strict=False) if name})
    return rows


def _json_rows(path: str, text: str, mended: Counter[str]) -> list[dict[str, Any]]:
    """The objects of JSON lines, or of one list."""
    if text.lstrip().startswith("["):
        whole = _json_value(path, text)
        if isinstance(whole, list):
            return dicts_of(whole)
    rows = []
    for line in re.split(r"\r\n|\n|\r", text):
        if not line.strip(" \t[],"):
            continue
        value = _json_value(path, line)
        if isinstance(value, dict):
            rows.append(value)
        else:
            mended[NOT_JSON] += 1
    return rows


def _json_value(path: str, text: str) -> Any:
    """A JSON value, though a comma too many stands at its end; None for anything else."""
    for plain in (text, _SPARE_COMMA.sub("", text.rstrip().removesuffix(","))):
        try:
            return parse_json(plain, path)
        except ValueError:
            continue
    return None


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
