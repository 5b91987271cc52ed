"""Where bytes are kept: pictures, adapters, samples, exports and runs, in a folder or on an S3 server.

    store = open_store(settings)
    key = put_content(store, path, "pictures", ".png")          # pictures/ab/abcd....png, named after its SHA-256
    files = put_tree(store, folder, "runs/JOB/sft-000060")      # its files, then the marker .../COMPLETE
    fetch(store, key, path); fetch_files(store, files, folder)

Content never changes under its key, so two attempts at one job cannot mix their files. An object is there whole or not
at all, and what is read is checked against its SHA-256. What nothing refers to goes by `collect_garbage`
(`garbage.py`). The two stores are in `store_folder.py` and `store_s3.py`; `open_store.py` opens the one that is set.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, Protocol

from pipelines.core.durable import replace_durably
from pipelines.core.full_disk import is_full

KINDS = ("pictures", "adapters", "samples", "exports", "runs")
"""First segment of every key."""
MARKER = "COMPLETE"
"""Last object of a tree: JSON of relative path -> key, size and SHA-256."""
FRESH_S = 6 * 3600.0
"""Content found in the store is put again when it is older than this (seconds). So the garbage collector, which
leaves younger objects alone, cannot take what somebody is just about to refer to."""
LONGEST_LINK_S = 604_800
"""Seconds; signatures of S3 are void after a week."""
CHUNK_BYTES = 1 << 20
FETCH_WAITS_S = (0.2, 1.0)
"""Seconds before the second and third try to fetch an object whole."""

Source = bytes | Path | BinaryIO
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}"
_KEY = re.compile(rf"(?:{_SEGMENT}/)*{_SEGMENT}")
_CONTENT_KEY = re.compile(r"[a-z]+/([0-9a-f]{2})/(\1[0-9a-f]{62})(?:\.[a-z0-9]+)?")


class StoreError(RuntimeError):
    """The store cannot do what was asked; the text says why and what mends it."""


class ObjectMissing(StoreError):
    """Nothing is kept under this key."""


class ObjectDamaged(StoreError):
    """The bytes are not those that were put."""


@dataclass(frozen=True)
class Stored:
    """One object as it was put."""

    key: str
    size: int
    """Bytes."""
    sha256: str
    """Of the bytes, as 64 hexadecimal digits."""


class Listed(NamedTuple):
    """One object as a listing shows it."""

    key: str
    size: int
    """Bytes."""
    modified: datetime
    """When it was last put, UTC."""


class Store(Protocol):
    """Bytes under keys. `put` replaces and is all or nothing; every error is a StoreError in plain words."""

    def put(self, key: str, source: Source) -> Stored:
        """Keep the bytes under the key. An error of the source itself is passed on; then nothing was kept."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Stream the bytes, forward only; ObjectMissing at once, ObjectDamaged at the end. Use it in a `with`."""
        ...

    def delete(self, key: str) -> None:
        """Forget the key; fine when it is not there."""
        ...

    def keys(self, prefix: str = "") -> Iterator[Listed]:
        """What is kept under keys that begin with the prefix; the key that is the prefix itself comes first.

        Otherwise in the store's own order: servers differ in where a slash sorts.
        """
        ...

    def link(self, key: str, seconds: int, filename: str) -> str | Path:
        """Where a browser may download the object: an address that expires, or the path of a file."""
        ...


def exists(store: Store, key: str) -> bool:
    """Whether an object is kept under the key."""
    return _listed(store, key) is not None


def read(store: Store, key: str) -> bytes:
    """All the bytes at once, for what is small."""
    with store.open(key) as stream:
        return stream.read()


def fetch(store: Store, key: str, path: Path) -> None:
    """Write the object to a file, streamed, checked and renamed into place; tried again when it came damaged."""
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    for wait_s in (*FETCH_WAITS_S, None):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with store.open(key) as stream, part.open("wb") as file:
                shutil.copyfileobj(stream, file, CHUNK_BYTES)
            replace_durably(part, path)
            return
        except ObjectDamaged:
            if wait_s is None:
                raise
            time.sleep(wait_s)
        except OSError as error:
            if is_full(error):
                raise StoreError(f"{path} could not be written: the disk is full; free space there") from error
            raise
        finally:
            part.unlink(missing_ok=True)


def put_content(store: Store, source: bytes | Path, kind: str, suffix: str) -> str:
    """Keep bytes under a key made of their SHA-256, `kind/ab/abcd….suffix`; not sent again when they are there."""
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of object: use one of {', '.join(KINDS)}")
    if not re.fullmatch(r"(?:\.[a-z0-9]+)?", suffix):
        raise ValueError(f"{suffix!r} is no ending: it is empty or like .png, in small letters")
    sha256 = _sha256_of(source)
    key = f"{kind}/{sha256[:2]}/{sha256}{suffix}"
    there = _listed(store, key)
    if there is not None and datetime.now(UTC) - there.modified < timedelta(seconds=FRESH_S):
        return key
    if store.put(key, source).sha256 != sha256:
        store.delete(key)
        raise StoreError(f"{source!r} changed while it was being kept: try again when nobody writes to it")
    return key


def put_tree(store: Store, folder: Path, prefix: str) -> dict[str, str]:
    """Keep every file below a folder, then the marker `prefix/COMPLETE`; returns relative path -> key.

    The kind is the prefix's first word. Links are refused: what they point to need not belong to the tree.
    """
    check_key(prefix)
    kind = prefix.partition("/")[0]
    files: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise StoreError(f"{path} is a link, and only files are kept: take it away")
        if path.is_file():
            suffix = path.suffix.lower()
            plain = suffix if re.fullmatch(r"\.[a-z0-9]+", suffix) else ""
            files[path.relative_to(folder).as_posix()] = put_content(store, path, kind, plain)
    if not files:
        raise StoreError(f"{folder} has no files to keep")
    store.put(f"{prefix}/{MARKER}", json.dumps(files, indent=1, sort_keys=True).encode())
    return files


def tree_files(store: Store, prefix: str) -> dict[str, str]:
    """Relative path -> key of a tree that was kept whole; ObjectMissing when it was not."""
    key = f"{prefix}/{MARKER}"
    try:
        files = json.loads(read(store, key))
    except ValueError as error:
        raise ObjectDamaged(f"{key} is not the list of files it should be: {error}") from error
    if not isinstance(files, dict) or not all(isinstance(item, str) for item in files.values()):
        raise ObjectDamaged(f"{key} is not the list of files it should be")
    return files


def fetch_files(store: Store, files: Mapping[str, str], folder: Path) -> None:
    """Write files, relative path -> key, into a folder. Files that are there and right are left as they are."""
    for name, key in files.items():
        relative = PurePosixPath(name)
        if not relative.parts or relative.is_absolute() or ".." in relative.parts or "\\" in name or "\0" in name:
            raise StoreError(f"{name!r} leads out of {folder}: this tree was not made by put_tree")
        path = folder.joinpath(*relative.parts)
        if not path.parent.resolve().is_relative_to(folder.resolve()):
            raise StoreError(f"{path.parent} is a link that leads out of {folder}: take it away")
        content = _CONTENT_KEY.fullmatch(key)
        if content and path.is_file() and _sha256_of(path) == content[2]:
            continue
        fetch(store, key, path)


def link(store: Store, key: str, seconds: int, filename: str) -> str | Path:
    """Where a browser may download the object under a file name for some seconds; a path when the store is a folder."""
    if not 1 <= seconds <= LONGEST_LINK_S:
        raise ValueError(f"a link can last 1 to {LONGEST_LINK_S} seconds (a week), not {seconds}")
    if not filename or re.search(r"[/\\\x00-\x1f\x7f]", filename):
        raise ValueError(f"{filename!r} is no plain file name")
    return store.link(check_key(key), seconds, filename)


def is_key(key: str) -> bool:
    """Whether a name in the store is one of ours."""
    return bool(_KEY.fullmatch(key)) and "/" in key and key.split("/")[0] in KINDS


def check_key(key: str) -> str:
    """The key itself when it is one; StoreError for what could lead out of the store or hide in it."""
    if not is_key(key):
        raise StoreError(f"{key!r} is no key: one of {', '.join(KINDS)}, then plain names between slashes")
    return key


def check_prefix(prefix: str) -> str:
    """The prefix itself when keys can begin with it; StoreError otherwise."""
    folder, _, start = prefix.rpartition("/")
    if (folder and not _KEY.fullmatch(folder)) or not re.fullmatch(rf"(?:{_SEGMENT})?", start):
        raise StoreError(f"{prefix!r} is no beginning of a key")
    return prefix


def content_sha256(key: str) -> str:
    """The SHA-256 that a key of `put_content` promises, "" for another key."""
    match = _CONTENT_KEY.fullmatch(key)
    return match[2] if match else ""


def _listed(store: Store, key: str) -> Listed | None:
    first = next(store.keys(check_key(key)), None)
    return first if first is not None and first.key == key else None


def _sha256_of(source: bytes | Path) -> str:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def source_stream(source: Source) -> Iterator[BinaryIO]:
    """The bytes of a source as a stream; closed afterwards only when it was opened here."""
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        yield source


class CheckedStream(io.RawIOBase):
    """Bytes on their way out: at the end the count and the SHA-256, where it is known, must be right."""

    def __init__(self, stream: BinaryIO, key: str, size: int, sha256: str) -> None:
        self.stream, self.key, self.size, self.sha256 = stream, key, size, sha256
        self._seen, self._hash = 0, hashlib.sha256()

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; ObjectDamaged at the end of wrong bytes."""
        data = self.stream.read(len(buffer))
        buffer[: len(data)] = data
        self._seen += len(data)
        self._hash.update(data)
        if not data and len(buffer):
            if self._seen != self.size:
                raise ObjectDamaged(f"{self.key} ended after {self._seen} of {self.size} bytes")
            if self.sha256 and self._hash.hexdigest() != self.sha256:
                raise ObjectDamaged(f"{self.key} does not have the SHA-256 it was kept with: restore it from a backup")
        return len(data)

    def close(self) -> None:
        """Close what is behind it too."""
        self.stream.close()
        super().close()
