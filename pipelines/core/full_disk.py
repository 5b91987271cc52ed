"""A full disk: told apart from other errors, told in plain words, and looked for before a training begins.

    is_full(error), says_full(log)      whether that is what went wrong
    lacking_space(settings)             sentences about places that have too little room for a training

Libraries say it in ways of their own: torch's writer only notices that its file is shorter than it ought to be.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from pipelines.core.settings import Settings

FULL = (errno.ENOSPC, errno.EDQUOT)
RUN_GB = 1.0
"""A run folder of the starter takes a few hundred megabytes."""
OBJECTS_GB = 0.5
"""What a run folder leaves in a folder store: its checkpoints, each file once."""
RECORDS_GB = 0.1
_SAID = re.compile(
    r"No space left on device|Disk quota exceeded|ENOSPC|disk (of \S+ )?is full"
    r"|inline_container\S*\W+unexpected pos|PytorchStreamWriter failed writing",
    re.IGNORECASE,
)


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came of, is that of a full disk."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno in FULL) or says_full(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def says_full(log: str) -> bool:
    """Whether a message, or the end of a log, speaks of a full disk."""
    return bool(_SAID.search(log))


def full_words(place: Path | str, what: str) -> str:
    """Two sentences: the place whose disk is full and what did not work, and that the rest is safe."""
    return f"The disk of {place} is full, so {what}. What was saved before is safe."


def existing(place: Path) -> Path:
    """The place itself, or the nearest folder above it that is there."""
    return next(parent for parent in (place, *place.parents) if parent.exists())


def lacking_space(settings: Settings) -> list[str]:
    """For each disk with too little room for a training a sentence that names its places, with the mend."""
    needs = [(settings.runs_folder, "run folders", RUN_GB)]
    if not settings.uses_s3:
        needs.append((Path(settings.objects), "pictures and adapters", OBJECTS_GB))
    if settings.database_url.startswith("sqlite:///"):
        needs.append((Path(settings.database_url.removeprefix("sqlite:///")).parent, "records", RECORDS_GB))
    return lacking_at(needs)


def lacking_at(needs: Iterable[tuple[Path, str, float]]) -> list[str]:
    """The same for places, what is kept there, and how many GB of it a training makes."""
    disks: dict[int, list[tuple[Path, str, float]]] = {}
    for place, what, gigabytes in needs:
        disks.setdefault(os.stat(existing(place)).st_dev, []).append((place, what, gigabytes))
    found = []
    for places in disks.values():
        free = shutil.disk_usage(existing(places[0][0])).free / 1e9
        needed = sum(gigabytes for _, _, gigabytes in places)
        if free < needed:
            named = ", ".join(f"{what} in {place}" for place, what, _ in places)
            found.append(
                f"There is too little room for a training: {free:.1f} GB are free on the disk of {places[0][0]} "
                f"({named}), and a training takes up to {needed:.1f} GB. Free some space there, or point "
                "UNDERSTUDY_HOME at another disk."
            )
    return found
