"""The SHA-256 of a checkpoint's files, kept beside them: a disk that lost or changed bytes is noticed before resuming.

    write_sums(folder)          when all that the run needs to go on is written, before the folder gets its name
    damaged_files(folder)       names that are missing or differ; None where nothing was kept to compare with

Scores, samples and the README.md with them are written later and can be made anew, so they are not among them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

SUMS_FILE = "sha256.json"
"""Path inside the folder -> 64 hexadecimal digits."""
_WRITTEN_AGAIN = ("README.md", "scores.json")
_MADE_LATER = "samples/"


def is_state(name: str) -> bool:
    """Whether a file of a checkpoint (its path inside the folder) is what a run needs to go on from it."""
    return name not in _WRITTEN_AGAIN and not name.startswith(_MADE_LATER)


def write_sums(folder: Path) -> None:
    """Keep the sums of all files that are there now."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    sums = {name: sha256_of(path) for name, path in paths.items() if is_state(name) and name != SUMS_FILE}
    (folder / SUMS_FILE).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")


def damaged_files(folder: Path) -> list[str] | None:
    """Files that are not as they were; None when no sums were kept (an earlier version saved it)."""
    try:
        text = (folder / SUMS_FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        sums = dict(json.loads(text))
        return [name for name, sha256 in sums.items() if not is_as_kept(folder / name, sha256)]
    except (ValueError, TypeError):
        return [SUMS_FILE]


def is_as_kept(path: Path, sha256: str) -> bool:
    """Whether there is a file with these bytes; one that the disk does not give back is not."""
    try:
        return sha256_of(path) == sha256
    except OSError:
        return False


def sha256_of(path: Path) -> str:
    """64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
