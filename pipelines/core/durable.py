"""Renaming that a power cut cannot undo: the bytes reach the disk first, then the name, then the folder's own list.

    replace_durably(fresh, target)

Without the first a name may stand over an empty file after a power cut, without the last over nothing. All renames of
the project go through here (a house rule).
"""

from __future__ import annotations

import os
from pathlib import Path


def replace_durably(fresh: Path, target: Path) -> None:
    """Give a written file, or a folder with all that is in it, another name in one step.

    A file of that name is replaced; a folder only when it is empty.
    """
    sync(fresh)
    os.replace(fresh, target)
    sync_folder(target.parent)


def sync(path: Path) -> None:
    """Wait until a file, or a folder with all that is in it, is on the disk."""
    if not path.is_dir():
        _sync(path)
        return
    for folder, _, files in os.walk(path, topdown=False):
        for name in files:
            if not Path(folder, name).is_symlink():
                _sync(Path(folder, name))
        sync_folder(Path(folder))


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    _sync(folder)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
