"""Collecting garbage on both stores: what is used, young or not ours stays, markers go first, a dry run only looks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.core.settings import Settings
from pipelines.core.storage.garbage import FEW, GRACE_S, SAFE_S, collect_garbage
from pipelines.core.storage.installation import TRASH_KEY
from pipelines.core.storage.open_store import open_store
from pipelines.core.storage.store import MARKER, Store, StoreError, exists, put_content, put_tree
from pipelines.core.storage.store_folder import FolderStore

DAY_S = 86_400.0
TOMORROW = datetime.now(UTC) + timedelta(days=2)
"""Seen from then, everything that the tests put is older than a day."""


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(Settings(tmp_path / "home"))
    return open_store(request.getfixturevalue("s3_settings"))


@pytest.fixture
def trees(store: Store, tmp_path: Path) -> list[dict[str, str]]:
    """Two checkpoints that share their README."""
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "README.md").write_text("about")
        (tmp_path / name / "adapter").write_text(name)
        found.append(put_tree(store, tmp_path / name, f"runs/job/{name}"))
    return found


def keys(store: Store) -> set[str]:
    return {item.key for item in store.keys("")}


def test_what_is_used_stays(store: Store, trees: list[dict[str, str]]) -> None:
    picture = put_content(store, b"picture", "pictures", ".png")
    unused = put_content(store, b"unused", "pictures", ".png")
    everything = keys(store)
    used = {picture, *trees[0].values()}
    gone = [f"runs/job/b/{MARKER}", trees[1]["adapter"], unused]
    looked = collect_garbage(store, used, DAY_S, dry_run=True, now=TOMORROW).gone
    assert keys(store) == everything and looked[0][0] == gone[0]
    assert dict(looked) == {key: next(store.keys(key)).size for key in gone}
    assert collect_garbage(store, iter(used), DAY_S, dry_run=False, now=TOMORROW).gone == looked
    assert keys(store) == everything - set(gone) and exists(store, f"runs/job/a/{MARKER}")
    assert collect_garbage(store, used, DAY_S, dry_run=False, now=TOMORROW).gone == []


def test_what_is_young_stays(store: Store, trees: list[dict[str, str]]) -> None:
    everything = keys(store)
    assert collect_garbage(store, {"pictures/x"}, DAY_S, dry_run=False).gone == []
    assert collect_garbage(store, set(), DAY_S, dry_run=False).gone == []
    with pytest.raises(ValueError, match="work in progress"):
        collect_garbage(store, {"pictures/x"}, SAFE_S - 1, dry_run=False)
    assert keys(store) == everything


def test_an_empty_database_deletes_nothing_unasked(store: Store, trees: list[dict[str, str]]) -> None:
    with pytest.raises(StoreError, match="UNDERSTUDY_DATABASE_URL"):
        collect_garbage(store, [], DAY_S, dry_run=False, now=TOMORROW)
    assert len(keys(store)) == 5
    collect_garbage(store, [], DAY_S, dry_run=False, even_all=True, now=TOMORROW)
    assert keys(store) == set()


def test_a_marker_that_cannot_be_read_goes(store: Store) -> None:
    store.put(f"runs/job/a/{MARKER}", b"damaged")
    gone = collect_garbage(store, {"runs/x"}, DAY_S, dry_run=False, now=TOMORROW).gone
    assert gone == [(f"runs/job/a/{MARKER}", 7)]


def test_rows_written_during_the_listing_count(store: Store) -> None:
    key = put_content(store, b"picture", "pictures", ".png")
    listed = []

    def used() -> Iterator[str]:
        listed.extend(keys(store))
        yield key  # a row that was not there when the collection began

    assert collect_garbage(store, used(), DAY_S, dry_run=False, now=TOMORROW).gone == [] and listed == [key]


def test_what_is_put_again_meanwhile_stays(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    key = put_content(store, b"picture", "pictures", ".png")
    old = put_content(store, b"old", "pictures", ".png")
    for item in (key, old):
        os.utime(tmp_path / item, (0, 0))

    def used() -> Iterator[str]:
        put_content(store, b"picture", "pictures", ".png")  # its row follows; by then the listing called it old
        yield "runs/x"

    assert collect_garbage(store, used(), DAY_S, dry_run=False).gone == [(old, 3)]
    assert exists(store, key)


def test_uploads_that_were_killed_go_from_a_folder(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    key = put_content(store, b"picture", "pictures", ".png")
    for name, when in (("killed", 0.0), ("running", datetime.now(UTC).timestamp())):
        (tmp_path / "parts" / name).write_bytes(b"half")
        os.utime(tmp_path / "parts" / name, (when, when))
    (tmp_path / "notes.txt").write_text("somebody's own")
    os.utime(tmp_path / "notes.txt", (0, 0))
    assert collect_garbage(store, [key], DAY_S, dry_run=False).gone == [("parts/killed", 4)]
    assert sorted(os.listdir(tmp_path / "parts")) == ["running"] and (tmp_path / "notes.txt").exists()


def test_garbage_stays_in_the_trash_for_its_time(store: Store) -> None:
    used, unused, back = (put_content(store, word, "pictures", ".png") for word in (b"used", b"unused", b"back"))
    week = timedelta(seconds=GRACE_S)
    first = collect_garbage(store, [used], DAY_S, dry_run=False, now=TOMORROW, grace_s=GRACE_S)
    assert first.gone == [] and set(first.trash) == {unused, back} and exists(store, unused)
    assert "2 objects (2 pictures) wait in the trash" in "\n".join(first.words)
    looked = collect_garbage(store, [used, back], DAY_S, dry_run=True, now=TOMORROW + week / 2, grace_s=GRACE_S)
    assert looked.gone == [] and set(looked.trash) == {unused}
    # A restored backup refers to one of them again: it is out of the trash, and its time begins anew.
    collect_garbage(store, [used, back], DAY_S, dry_run=False, now=TOMORROW + week / 2, grace_s=GRACE_S)
    last = collect_garbage(store, [used], DAY_S, dry_run=False, now=TOMORROW + week, grace_s=GRACE_S)
    assert [key for key, _ in last.gone] == [unused] and set(last.trash) == {back}
    assert not exists(store, unused) and exists(store, back) and exists(store, used)
    store.put(TRASH_KEY, b"damaged")
    again = collect_garbage(store, [used], DAY_S, dry_run=False, now=TOMORROW + 2 * week, grace_s=GRACE_S)
    assert again.gone == [] and set(again.trash) == {back}, "a list that cannot be read begins anew"


def test_a_sweep_of_most_objects_is_refused_and_explained(store: Store) -> None:
    kept = [put_content(store, b"%d" % number, "pictures", ".png") for number in range(FEW + 3)]
    looked = collect_garbage(store, kept[:1], DAY_S, dry_run=True, now=TOMORROW)
    assert len(looked.gone) == FEW + 2 and "more than 50%" in looked.words[-1]
    with pytest.raises(StoreError, match=f"{FEW + 2} of {FEW + 3} objects would go"):
        collect_garbage(store, kept[:1], DAY_S, dry_run=False, now=TOMORROW)
    assert len(keys(store)) == FEW + 3
    assert len(collect_garbage(store, kept[:2], DAY_S, dry_run=False, even_all=True, now=TOMORROW).gone) == FEW + 1
