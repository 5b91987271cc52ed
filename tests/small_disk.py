"""A real file system of a few megabytes that fills.

    with small_disk(folder, 64) as disk: disk.fill(); disk.make_room()

A tmpfs that is mounted on the folder, which root may do on Linux; elsewhere the test is left out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """The mounted folder; a file named BALLOON takes the room away."""

    BALLOON = ".balloon"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._balloon = folder / self.BALLOON

    @property
    def free(self) -> int:
        """Bytes."""
        return shutil.disk_usage(self.folder).free

    def fill(self, leave: int = 0) -> None:
        """Take all room but so many bytes."""
        with self._balloon.open("ab") as file:
            while (more := self.free - leave) > 0:
                with contextlib.suppress(OSError):  # others write meanwhile: look again
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), more)

    def make_room(self) -> None:
        """Give it back."""
        self._balloon.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """A disk of that size on a folder, which is made; the test is skipped where nobody may mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux may mount a small disk")
    words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "understudy-small-disk", str(folder)]
    made = subprocess.run(words, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
