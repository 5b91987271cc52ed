"""Objects in a folder: the default, and the first implementation of `Store`.

An object is a plain file whose path is its key. It is written under `parts/`, flushed to the disk and renamed into
place, so a reader sees all of it or nothing, whoever is killed and whenever.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pipelines.core.durable import replace_durably
from pipelines.core.full_disk import is_full
from pipelines.core.storage.store import (
    CHUNK_BYTES,
    CheckedStream,
    Listed,
    ObjectMissing,
    Source,
    Stored,
    StoreError,
    check_key,
    check_prefix,
    content_sha256,
    is_key,
    source_stream,
)

PARTS = "parts"
"""First segment of what is not complete: an upload on its way, or one that was killed."""


class FolderStore:
    """Objects as files below one folder, which is made when the first is put. Processes may share it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, key: str) -> Path:
        return self.root.joinpath(*check_key(key).split("/"))

    def _files(self, folder: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
        """Key and state of the files below a folder whose key begins with the prefix, in the order of keys."""
        try:
            with os.scandir(folder) as entries:
                # In the order of whole keys "a.b" comes before "a/b", so a folder sorts with its slash.
                found = sorted((entry.name + "/" * entry.is_dir(follow_symlinks=False), entry) for entry in entries)
        except FileNotFoundError:
            return
        start = folder.relative_to(self.root).as_posix().removeprefix(".")
        for name, entry in found:
            key = f"{start}/{name}".removeprefix("/")
            if entry.is_dir(follow_symlinks=False):
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._files(Path(entry.path), prefix)
            elif key.startswith(prefix):
                with contextlib.suppress(FileNotFoundError):  # deleted, or an upload that came to its end
                    yield key, entry.stat(follow_symlinks=False)

    def put(self, key: str, source: Source) -> Stored:
        """See `Store`. The file is on the disk, name and all, when this returns."""
        path = self._path(key)
        part = self.root / PARTS / uuid.uuid4().hex
        digest, size = hashlib.sha256(), 0
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            with source_stream(source) as stream, part.open("wb") as file:
                while chunk := stream.read(CHUNK_BYTES):
                    file.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_durably(part, path)
        except OSError as error:
            if is_full(error):
                raise StoreError(f"{key} was not kept, the disk of {self.root} is full: free space there") from error
            raise
        finally:
            part.unlink(missing_ok=True)
        return Stored(key, size, digest.hexdigest())

    def open(self, key: str) -> BinaryIO:
        """See `Store`. The SHA-256 is known of content alone; other objects are taken as they are."""
        try:
            file = self._path(key).open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise ObjectMissing(f"nothing is kept under {key} in {self.root}") from error
        size = os.fstat(file.fileno()).st_size
        return io.BufferedReader(CheckedStream(file, key, size, content_sha256(key)), CHUNK_BYTES)

    def delete(self, key: str) -> None:
        """See `Store`. Folders that are empty then stay; another process may be about to use them."""
        part = self.root / PARTS / key.rpartition("/")[2]
        (part if key == f"{PARTS}/{part.name}" else self._path(key)).unlink(missing_ok=True)

    def keys(self, prefix: str = "") -> Iterator[Listed]:
        """See `Store`. Uploads that were killed are listed too, as `parts/...`, so that they can be collected."""
        folder = self.root.joinpath(*check_prefix(prefix).split("/")[:-1])
        for key, state in self._files(folder, prefix):
            if is_key(key) or key.startswith(f"{PARTS}/"):  # not what people and systems leave in folders
                yield Listed(key, state.st_size, datetime.fromtimestamp(state.st_mtime, UTC))

    def link(self, key: str, seconds: int, filename: str) -> str | Path:
        """The file itself; whoever serves it gives it the name."""
        path = self._path(key)
        if not path.is_file():
            raise ObjectMissing(f"nothing is kept under {key} in {self.root}")
        return path
