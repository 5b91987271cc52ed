"""Collecting what the records no longer refer to, in either store, with a trash in between.

    sweep = collect_garbage(store, records.keys(), older_than_s=86400, dry_run=True, grace_s=7 * 86400)
    sweep.gone, sweep.trash, sweep.words      what goes now, what lies in the trash since when, and why

Safe while others work: nothing young is taken, so neither is an upload whose row is still to be written. Content that
is put again is made young again (`FRESH_S` in `store.py`). Markers go before the files they promise. Garbage is written
down first and deleted by a later sweep, when nothing has referred to it for all the time between: bytes stay where they
are meanwhile, so what a restored backup of the records refers to is simply there again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipelines.core.command_line import as_typed
from pipelines.core.storage.installation import OWN_KEYS, TRASH_KEY
from pipelines.core.storage.store import (
    FRESH_S,
    MARKER,
    Listed,
    ObjectDamaged,
    ObjectMissing,
    Store,
    StoreError,
    read,
    tree_files,
)

SAFE_S = 2 * FRESH_S
"""The least age (seconds) that may be collected: content as old as `FRESH_S` may still be taken as being there, and as
long again is left to whoever did so to write the row."""
GRACE_S = 7 * 24 * 3600.0
"""How long garbage stays in the trash."""
MOST_SHARE = 0.5
"""A sweep that would delete more than this share of what is old is refused: most likely the records are the wrong ones
or an old backup."""
FEW = 50
"""So many objects may go whatever their share."""


@dataclass(frozen=True)
class Sweep:
    """What one sweep found and did, or would do."""

    gone: list[tuple[str, int]]
    """(key, bytes) of what went, or would go in a dry run."""
    trash: dict[str, str]
    """Key -> since when nothing refers to it (UTC, ISO 8601), of what is left until its time is over."""
    young: int
    """Objects too young to be asked about."""
    used: int
    """Old objects that records refer to."""
    grace_s: float
    refused: str = ""
    """Why a sweep that is no dry run would delete nothing."""

    @property
    def words(self) -> list[str]:
        """Lines for people: why each group stays or goes."""
        kinds = Counter(key.partition("/")[0] for key in self.trash)
        waiting = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        lines = [f"{self.used} objects stay: records refer to them", f"{self.young} objects stay: they are young"]
        if self.trash:
            first = datetime.fromisoformat(min(self.trash.values())) + timedelta(seconds=self.grace_s)
            lines.append(f"{len(self.trash)} objects ({waiting}) wait in the trash, the first until {first:%Y-%m-%d}")
        lines.append(f"{len(self.gone)} objects go: no record has referred to them for {self.grace_s / 86400:g} days")
        return [*lines, f"but nothing would go: {self.refused}"] if self.refused else lines


def collect_garbage(
    store: Store,
    used: Iterable[str],
    older_than_s: float,
    dry_run: bool,
    even_all: bool = False,
    now: datetime | None = None,
    grace_s: float = 0.0,
) -> Sweep:
    """Delete what is old, not used, and was found so `grace_s` ago already; the rest of the garbage is written down.

    `used` is read after the objects were listed, so an iterator over the records misses no row. When it is empty, or
    most objects would go, nothing goes unless `even_all` says so: such a database is more often the wrong one. Whose
    store it is must have been asked before (`installation.check_owner`). `now` is for tests.
    """
    if older_than_s < SAFE_S:
        raise ValueError(f"older_than_s is {older_than_s:g}: at least {SAFE_S:g} seconds, or work in progress is lost")
    at = now or datetime.now(UTC)
    limit = at - timedelta(seconds=older_than_s)
    listed = [item for item in store.keys("") if item.key not in OWN_KEYS]
    old = [item for item in listed if item.modified < limit]
    keep = set(used)
    if old and not keep and not even_all:
        raise StoreError(
            f"no record refers to any of {len(old)} objects: look whether UNDERSTUDY_DATABASE_URL is the right one"
        )
    garbage = _garbage(store, old, keep)
    before = _trash(store)
    since = {item.key: before.get(item.key, at.isoformat(timespec="seconds")) for item in garbage}
    due = [item for item in garbage if (at - datetime.fromisoformat(since[item.key])).total_seconds() >= grace_s]
    refused = "" if even_all or len(due) <= max(FEW, MOST_SHARE * len(old)) else _too_many(len(due), len(old))
    if refused and not dry_run:
        raise StoreError(refused)
    gone = due if dry_run else [item for item in due if _delete_old(store, item, limit)]
    left = {key: time for key, time in since.items() if key not in {item.key for item in due}}
    if not dry_run and left != before:
        store.put(TRASH_KEY, json.dumps(left, indent=0, sort_keys=True).encode())
    pairs, young = [(item.key, item.size) for item in gone], len(listed) - len(old)
    return Sweep(pairs, left, young, len(old) - len(garbage), grace_s, refused)


def _too_many(due: int, old: int) -> str:
    return (
        f"{due} of {old} objects would go, more than {MOST_SHARE:.0%}: look whether the records are the right ones and "
        f"no old backup; `{as_typed('gc --dry-run')}` lists them, and with --even-all they go"
    )


def _garbage(store: Store, old: list[Listed], keep: set[str]) -> list[Listed]:
    """Markers whose trees are dead, then all else that nothing refers to."""
    unused = [item for item in old if item.key not in keep]
    markers = [item for item in unused if _is_marker(item.key)]
    dead = [item for item in markers if not _is_whole(store, item.key, keep)]
    return dead + [item for item in unused if not _is_marker(item.key)]


def _trash(store: Store) -> dict[str, str]:
    """What earlier sweeps wrote down; a list that cannot be read begins anew, and all its time with it."""
    try:
        found = {str(key): str(time) for key, time in json.loads(read(store, TRASH_KEY)).items()}
        for time in found.values():
            datetime.fromisoformat(time)
    except (ObjectMissing, ValueError, AttributeError):
        return {}
    return found


def _is_marker(key: str) -> bool:
    return key.endswith(f"/{MARKER}")


def _is_whole(store: Store, marker: str, keep: set[str]) -> bool:
    """Whether all files of a tree are used; then its marker is, though no row names it."""
    try:
        return set(tree_files(store, marker.removesuffix(f"/{MARKER}")).values()) <= keep
    except (ObjectMissing, ObjectDamaged):
        return False


def _delete_old(store: Store, item: Listed, limit: datetime) -> bool:
    """Delete unless it was put again since it was listed."""
    again = next((found for found in store.keys(item.key) if found.key == item.key), None)
    if again is None or again.modified >= limit:
        return False
    store.delete(item.key)
    return True
