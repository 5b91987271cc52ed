"""Files that arrive together, in a folder or in a zip: listed first, read where they are wanted.

Character bundles and picture sets are read through it, so that both are found the same way in either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.formats.card_files import MAX_FILE_BYTES, MAX_MEMBERS, list_archive, read_archive, read_bytes
from pipelines.core.formats.import_notes import refuse


@dataclass(frozen=True)
class FileSource:
    """A folder, or a zip that was read."""

    file: str
    """What it is called."""
    paths: tuple[str, ...]
    """Its files, with `/` between folders."""
    place: Path | bytes

    def read(self, wanted: Callable[[str], bool], mended: Counter[str]) -> dict[str, bytes]:
        """Path -> bytes of the files that `wanted` names; what of a zip is damaged is told in `mended`.

        Raises:
            CharacterProblems: they are too large together, or cannot be read.
        """
        if isinstance(self.place, bytes):
            return read_archive(self.place, self.file, wanted, mended)[0]
        chosen = [path for path in self.paths if wanted(path)]
        if sum((self.place / path).stat().st_size for path in chosen) > MAX_FILE_BYTES:
            refuse(self.file, f"holds more than {MAX_FILE_BYTES >> 20} MB", "Leave out what is not needed.")
        return {path: read_bytes(self.place / path, path) for path in chosen}


def open_files(source: Path, file: str) -> FileSource | None:
    """The files of a folder and below (no links) or of a zip; None for anything else.

    Raises:
        CharacterProblems: there are too many, or the zip is one that `read_archive` refuses.
    """
    if source.is_dir():
        return FileSource(file, _paths_under(source, file), source)
    if not source.is_file():
        return None
    with source.open("rb") as stream:
        if stream.read(2) != b"PK":
            return None
    data = read_bytes(source, file)
    return FileSource(file, tuple(dict.fromkeys(list_archive(data, file))), data)


def _paths_under(folder: Path, file: str) -> tuple[str, ...]:
    found: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            found.append(path.relative_to(folder).as_posix())
        if len(found) > MAX_MEMBERS:
            refuse(file, f"holds more than {MAX_MEMBERS} files", "Point at the folder of one character.")
    return tuple(found)
