"""What reading one upload may cost, whatever it is made of: bytes unpacked, pixels decoded, and so on.

    with upload_budget():
        spend("pixels", width * height, name)

Each file has limits of its own where it is read; this is for what many small ones cost together (3,000 pictures of 64
megapixels fit into 712 KiB). Readers of uploads open a budget, and what they call spends from it before it works.
Outside of one (a training, the checks of a character folder) nothing is counted. A process that reads for the studio
has limits on memory and time besides (`upload_process.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from pipelines.core.problems import CharacterProblems, Problem

Cost = Literal["bytes", "pixels", "entries", "scans", "letters"]

LIMITS: dict[Cost, int] = {
    # Unpacked, of zips and of texts in pictures. What a zip holds is read up to three times on its way.
    "bytes": 1536 * 2**20,
    # Decoded; about 20 s on one core. 15 photographs of a 50-megapixel phone are half of it.
    "pixels": 1_500_000_000,
    # Files listed in zips; a zip is listed up to four times, and may hold others.
    "entries": 40_000,
    # Passes of progressive JPEGs: ten each as most programs write them, 200 pictures.
    "scans": 5_000,
    # That names take which are put in the place of macros (`{{char}}`).
    "letters": 64 * 2**20,
}
_TOLD: dict[Cost, tuple[str, str]] = {
    "bytes": ("unpacks to more than {most} MB in all", "Leave out what is not needed."),
    "pixels": (
        "has pictures of more than {most} million pixels in all",
        "Save the pictures smaller, 2048 px on the longer side is plenty, or send fewer at once.",
    ),
    "entries": ("lists more than {most} files in all", "Leave out what is not needed."),
    "scans": (
        "has pictures that are stored in more than {most} passes in all",
        "Save them again as PNG, or as JPEG that is not progressive.",
    ),
    "letters": (
        "says names so often that they alone would take more than {most} MB",
        "Take texts out of it that do not belong to the character.",
    ),
}
_UNITS: dict[Cost, int] = {"bytes": 2**20, "pixels": 10**6, "letters": 2**20}

_LEFT: ContextVar[dict[Cost, int] | None] = ContextVar("_LEFT", default=None)


@contextmanager
def upload_budget() -> Iterator[None]:
    """All that is read inside shares one budget; a budget inside another is that one."""
    if _LEFT.get() is not None:
        yield
        return
    token = _LEFT.set(dict(LIMITS))
    try:
        yield
    finally:
        _LEFT.reset(token)


def spend(cost: Cost, amount: int, file: str) -> None:
    """Take from the budget before the work is done; CharacterProblems, naming the file, when it is used up."""
    left = _LEFT.get()
    if left is not None:
        require(cost, amount, file)
        left[cost] -= amount


def require(cost: Cost, amount: int, file: str) -> None:
    """Refuse the file where the budget could not pay for all of it; nothing is taken yet."""
    left = _LEFT.get()
    if left is not None and amount > left[cost]:
        message, mend = _TOLD[cost]
        most = LIMITS[cost] // _UNITS.get(cost, 1)
        raise CharacterProblems([Problem(file, f"{file} {message.format(most=f'{most:,}')}.", mend, subject=file)])
