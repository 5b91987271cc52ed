"""Collecting what the records no longer refer to, in either store.

    collect_garbage(store, records.keys(), older_than_s=86400, dry_run=True)     # what would go

Safe while others work: nothing young is taken, so neither is an upload whose row is still to be written. Content that
is put again is made young again (`FRESH_S` in `store.py`). Markers go before the files they promise.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pipelines.core.storage.store import (
    FRESH_S,
    MARKER,
    Listed,
    ObjectDamaged,
    ObjectMissing,
    Store,
    StoreError,
    tree_files,
)

SAFE_S = 2 * FRESH_S
"""The least age (seconds) that may be collected: content as old as `FRESH_S` may still be taken as being there, and as
long again is left to whoever did so to write the row."""


def collect_garbage(
    store: Store,
    used: Iterable[str],
    older_than_s: float,
    dry_run: bool,
    even_all: bool = False,
    now: datetime | None = None,
) -> list[tuple[str, int]]:
    """Delete what is old and not used; returns (key, bytes) of what went, or would go in a dry run.

    `used` is read after the objects were listed, so an iterator over the records misses no row. When it is empty
    nothing goes unless `even_all` says so: an empty database is more often the wrong one. `now` is for tests.
    """
    if older_than_s < SAFE_S:
        raise ValueError(f"older_than_s is {older_than_s:g}: at least {SAFE_S:g} seconds, or work in progress is lost")
    limit = (now or datetime.now(UTC)) - timedelta(seconds=older_than_s)
    old = [item for item in store.keys("") if item.modified < limit]
    keep = set(used)
    if old and not keep and not even_all:
        raise StoreError(
            f"no record refers to any of {len(old)} objects: look whether UNDERSTUDY_DATABASE_URL is the right one"
        )
    garbage = [item for item in old if item.key not in keep]
    markers = [item for item in garbage if _is_marker(item.key)]
    dead = [item for item in markers if not _is_whole(store, item.key, keep)]
    gone = dead + [item for item in garbage if not _is_marker(item.key)]
    if dry_run:
        return [(item.key, item.size) for item in gone]
    return [(item.key, item.size) for item in gone if _delete_old(store, item, limit)]


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
