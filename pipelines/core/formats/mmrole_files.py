"""The files of MMRole: which of them hold samples, of which roles and of which split, and where the pictures lie.

A source is a folder as it is published (`data/train/*.json`, `data/test/<distribution>/*.json`, `images/`), a zip of
one, or one file of samples. The training file has some 600 MB, so lists are read item by item and never held whole.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.core.decode_text import decode_text
from pipelines.core.formats.card_files import MAX_FILE_BYTES, read_archive
from pipelines.core.formats.import_notes import Mended
from pipelines.core.formats.json_text import JSON_VALUES
from pipelines.core.formats.mmrole_records import MMRoleRecord, is_record, parse_record
from pipelines.core.problems import CharacterProblems, left_out

IN_DISTRIBUTION, OUT_OF_DISTRIBUTION = "in-distribution", "out-of-distribution"
MAX_RECORD_CHARS = 2 * 2**20
"""Longest sample that is read; published ones stay below 20,000 characters."""
_BLOCK_CHARS = 1 << 20
_RECORD_SUFFIXES = (".json", ".jsonl", ".ndjson")
_LAYOUT = ("train", "test", IN_DISTRIBUTION, OUT_OF_DISTRIBUTION)
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_IS_TEST = re.compile(r"(?:^|[^a-z])test(?:$|[^a-z])", re.IGNORECASE)
_IS_OUT = re.compile(r"(?:^|[^a-z])out(?:$|[^a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Sample:
    """A sample, and the split it belongs to."""

    record: MMRoleRecord
    split: str
    """"" for training, else the distribution of the test."""


@dataclass
class MMRoleSource:
    """Everything that can be read of a source; samples are read anew each time."""

    name: str
    texts: dict[str, Callable[[], Iterator[str]]]
    """Blocks of text by path of each file that may hold samples."""
    picture: Callable[[str], bytes | None]
    """The bytes of a picture by its path below `images/`; None when it is not there."""
    damaged: Counter[str] = field(default_factory=Mended)
    """Files of a zip that cannot be unpacked."""
    unreadable: Counter[str] = field(default_factory=Mended)

    def samples(self, role: str = "") -> Iterator[Sample]:
        """All samples, or those of one role; broken ones are counted in `unreadable`."""
        self.unreadable = Mended(self.damaged)
        for path, blocks in sorted(self.texts.items()):
            split = split_of(path)
            for value in read_items(blocks(), path, self.unreadable):
                if not is_record(value):
                    sentence = f"entries of {PurePosixPath(path).name} that are no samples were left out"
                    self.unreadable[left_out(sentence)] += 1
                    continue
                if role and value["role"].strip() != role:
                    continue
                record = parse_record(value)
                if record is None:
                    self.unreadable[left_out("samples whose parts cannot be told apart were left out")] += 1
                else:
                    yield Sample(record, split or (IN_DISTRIBUTION if record.has_answer else ""))

    def roles(self) -> Counter[str]:
        """Name of each role -> its samples."""
        return Counter(sample.record.role for sample in self.samples())

    def split_by_role(self, scratch: Path) -> list[tuple[str, MMRoleSource]]:
        """A source for each role, its samples written to a folder of JSON lines in one pass."""
        folders: dict[str, Path] = {}
        for path, blocks in sorted(self.texts.items()):
            for value in read_items(blocks(), path, self.unreadable):
                if is_record(value):
                    role = value["role"].strip()
                    folder = folders.setdefault(role, scratch / f"{len(folders):03d}")
                    target = folder / PurePosixPath(path).with_suffix(".jsonl")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(value, ensure_ascii=True) + "\n")
        return [
            (role, replace(_of_folder(folder, self.name), picture=self.picture)) for role, folder in folders.items()
        ]


def split_of(path: str) -> str:
    """The split that a path names: "" for training, else the distribution of the test."""
    parts = PurePosixPath(path).parts[-4:]
    if not any(_IS_TEST.search(part) for part in parts):
        return ""
    return OUT_OF_DISTRIBUTION if any(_IS_OUT.search(part) for part in parts) else IN_DISTRIBUTION


def read_items(blocks: Iterator[str], file: str, mended: Counter[str]) -> Iterator[Any]:
    """The values of a JSON list, or of one JSON value a line, read as the text comes.

    What is no JSON, or longer than `MAX_RECORD_CHARS`, ends the reading and is counted in `mended`.
    """
    decoder = json.JSONDecoder(**JSON_VALUES)
    text, is_over = "", False
    while not is_over:
        piece = next(blocks, None)
        is_over = piece is None
        text += piece or ""
        at = 0
        while True:
            at = _next_value(text, at)
            if at >= len(text):
                break
            try:
                value, end = decoder.raw_decode(text, at)
            except (ValueError, RecursionError):
                if is_over or len(text) - at > MAX_RECORD_CHARS:
                    mended[left_out(f"the end of {PurePosixPath(file).name} is damaged and was left out")] += 1
                    return
                break
            if end == len(text) and not is_over and not isinstance(value, (dict, list)):
                break  # a number may go on in the next block
            at = end
            yield value
        text = text[at:]


def _next_value(text: str, at: int) -> int:
    """Where the next value begins, behind white space, commas and the brackets of the list around all."""
    while at < len(text) and text[at] in " \t\r\n,[]\ufeff":
        at += 1
    return at


# ---------------------------------------------------------------- sources


def find_source(path: Path, name: str = "") -> MMRoleSource | None:
    """The source at a path; None when nothing in it is a sample of MMRole.

    name: what it is called in problems, where it was uploaded and lies under a temporary name. Nothing on this
    machine beside such a file belongs to it, whatever pictures it names.
    """
    is_uploaded = bool(name)
    name = name or path.name
    if path.is_dir():
        found = _of_folder(path, name)
    elif path.suffix.lower() in _RECORD_SUFFIXES:
        # Of the folders above only those of the published layout say something.
        folders = [] if is_uploaded else path.resolve().parents[:2]
        above = [folder.name for folder in reversed(folders) if folder.name in _LAYOUT]
        inside = "/".join([*above, name])
        picture = (lambda image: None) if is_uploaded else (lambda image: _beside(path, image))
        found = MMRoleSource(name, {inside: lambda: _blocks(path)}, picture)
    elif path.suffix.lower() == ".zip":
        found = _of_zip(path, name)
    else:
        return None
    texts = {file: blocks for file, blocks in found.texts.items() if _begins_with_sample(blocks(), file)}
    return MMRoleSource(name, texts, found.picture, found.damaged) if texts else None


def _begins_with_sample(blocks: Iterator[str], file: str) -> bool:
    try:
        return is_record(next(read_items(blocks, file, Counter()), None))
    except (CharacterProblems, RecursionError):
        return False


def _of_folder(folder: Path, name: str) -> MMRoleSource:
    root = folder / "data" if (folder / "data").is_dir() else folder
    texts: dict[str, Callable[[], Iterator[str]]] = {}
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix.lower() in _RECORD_SUFFIXES and path.is_file() and "images" not in inside.parts:
            texts[inside.as_posix()] = partial(_blocks, path)
    return MMRoleSource(name, texts, lambda image: _picture_in(folder / "images", image))


def _of_zip(path: Path, name: str) -> MMRoleSource:
    damaged = Mended()
    wanted = (*_RECORD_SUFFIXES, *_PICTURES)
    files, _ = read_archive(path.read_bytes(), name, lambda member: member.lower().endswith(wanted), damaged)

    def text_of(member: str) -> Iterator[str]:
        yield decode_text(files[member], member)[0]

    def picture(image: str) -> bytes | None:
        return next((data for member, data in files.items() if f"/{member}".endswith(f"/images/{image}")), None)

    texts: dict[str, Callable[[], Iterator[str]]] = {
        member: partial(text_of, member)
        for member in files
        if member.lower().endswith(_RECORD_SUFFIXES) and "/RM_data/" not in f"/{member}"
    }
    return MMRoleSource(name, texts, picture, damaged)


def _blocks(path: Path) -> Iterator[str]:
    """A file's text piece by piece; the published files are UTF-8."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        while piece := file.read(_BLOCK_CHARS):
            yield piece


def _beside(file: Path, image: str) -> bytes | None:
    """A picture of a lone file of samples: in `images/` beside it, or beside one of the four folders above."""
    for folder in list(file.resolve().parents)[:5]:
        found = _picture_in(folder / "images", image)
        if found is not None:
            return found
    return None


def _picture_in(root: Path, image: str) -> bytes | None:
    inside = PurePosixPath(image)
    if inside.is_absolute() or ".." in inside.parts or not image.lower().endswith(_PICTURES):
        return None
    path = root / inside
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            return None
    except OSError:  # a name that no file can have
        return None
    return path.read_bytes()
