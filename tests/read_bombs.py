"""Reads a bomb as the studio does, in the process of its own, and says what that took."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.formats.import_notes import RoleNeeded
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.upload_process import read_apart
from studio.actions.upload_readers import read_book, read_character_upload, read_pictures, read_talks
from tests.upload_bombs import Bomb

NOTHING_TO_REFUSE = ("spaces", "numbers", "near names", "one alpha")
"""Kinds that are read as they are, since they cost little now: texts stay texts."""


@dataclass(frozen=True)
class Took:
    """What reading one bomb took."""

    bomb: str
    seconds: float
    """By the clock."""
    process_mb: int
    """The most that the reading process held; 0 where it was killed."""
    parent_mb: int
    """By how much this process grew at its peak."""
    is_refused: bool
    words: str
    """What is told of it."""


def measured(bomb: Bomb) -> Took:
    """The bomb is made, then read by the studio's own reader."""
    data = bomb.make()
    with tempfile.TemporaryDirectory() as folder:
        reader, arguments = _reading(bomb, data, Path(folder))
        before, began = _reset_peak(), time.monotonic()
        try:
            is_refused, problems, process_mb = read_apart(_told, reader, arguments, file=bomb.file)
        except CharacterProblems as limit:
            is_refused, problems, process_mb = True, list(limit.problems), 0
        seconds, grown = time.monotonic() - began, status_mb("VmHWM") - before
    words = " ".join(f"{problem.message} {problem.mend}" for problem in problems)
    return Took(str(bomb), seconds, process_mb, max(grown, 0), is_refused, words)


def _reading(bomb: Bomb, data: bytes, folder: Path) -> tuple[Callable[..., object], tuple[object, ...]]:
    if bomb.way == "pictures":
        return read_pictures, ([(bomb.file, data)],)
    if bomb.way == "talks":
        return read_talks, (data, bomb.file, "Mira", "")
    if bomb.way == "lore":
        return read_book, (data, bomb.file)
    path = folder / f"upload{Path(bomb.file).suffix}"
    path.write_bytes(data)
    return read_character_upload, (str(path), str(folder / "character"), "", bomb.file)


def _told(reader: Callable[..., object], arguments: tuple[object, ...]) -> tuple[bool, list[Problem], int]:
    """Runs in the process: whether it is refused, what is told, and the most memory that was held."""
    try:
        found = reader(*arguments)
    except RoleNeeded as several:
        return False, list(several.problems), status_mb("VmHWM")
    except CharacterProblems as refused:
        return True, list(refused.problems), status_mb("VmHWM")
    if reader is read_pictures:
        return not found.pictures, list(found.refused), status_mb("VmHWM")  # type: ignore[attr-defined]
    notes = found[1] if isinstance(found, tuple) else found.notes  # type: ignore[attr-defined]
    return False, list(notes), status_mb("VmHWM")


def measure_self() -> tuple[float, int]:
    """Runs in the process: its processor seconds so far, and the most that it held since the last call."""
    peak = status_mb("VmHWM")
    _reset_peak()
    return time.process_time(), peak


def _reset_peak() -> int:
    """This process's memory; from now on its peak is counted anew."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return status_mb("VmRSS")


def status_mb(key: str) -> int:
    """A line of this process's status, in MB; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(key))
