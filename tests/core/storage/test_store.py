"""Objects: the same tests on a folder and on a real S3 server, then what only one of the two does."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.core.settings import Settings
from pipelines.core.storage import store as store_module
from pipelines.core.storage.open_store import open_store
from pipelines.core.storage.store import (
    MARKER,
    ObjectDamaged,
    ObjectMissing,
    Store,
    StoreError,
    content_sha256,
    exists,
    fetch,
    fetch_files,
    link,
    put_content,
    put_tree,
    read,
    tree_files,
)
from pipelines.core.storage.store_folder import FolderStore

LARGE = os.urandom(1 << 16) * 300
"""19 MiB: several parts of an upload."""


def whole_tree(store: Store, prefix: str, folder: Path) -> dict[str, str]:
    """All files of a tree, as its marker names them, in a folder."""
    files = tree_files(store, prefix)
    fetch_files(store, files, folder)
    return files


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(Settings(tmp_path / "home"))
    return open_store(request.getfixturevalue("s3_settings"))


@pytest.fixture
def folder_store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkpoint as training leaves it."""
    folder = tmp_path / "sft-000060"
    (folder / "samples").mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(os.urandom(1000))
    (folder / "adapter_config.json").write_text("{}")
    (folder / "README.md").write_text("about")
    (folder / "samples" / "1.png").write_bytes(b"picture")
    (folder / "empty.txt").write_bytes(b"")
    return folder


def test_bytes_paths_and_streams_come_back(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(LARGE)
    with file.open("rb") as stream:
        sources = {"runs/a": b"few", "runs/b": b"", "runs/c": file, "runs/d": stream, "runs/e": io.BytesIO(b"seen")}
        for key, source in sources.items():
            stored = store.put(key, source)
            data = read(store, key)
            assert stored == store_module.Stored(key, len(data), hashlib.sha256(data).hexdigest())
    assert read(store, "runs/a") == b"few" and read(store, "runs/b") == b"" and read(store, "runs/e") == b"seen"
    assert read(store, "runs/c") == read(store, "runs/d") == LARGE
    store.put("runs/a", b"others")
    assert read(store, "runs/a") == b"others"


def test_open_streams(store: Store) -> None:
    store.put("runs/large", LARGE)
    with store.open("runs/large") as stream:
        assert stream.read(10) == LARGE[:10] and stream.read(5) == LARGE[10:15]
    with store.open("runs/large") as stream:
        assert b"".join(iter(lambda: stream.read(100_000), b"")) == LARGE


def test_what_is_missing_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing, match="runs/none"):
        store.open("runs/none")
    with pytest.raises(ObjectMissing, match="runs/none"):
        fetch(store, "runs/none", tmp_path / "none")
    assert not exists(store, "runs/none") and list(tmp_path.glob("*none*")) == []
    store.delete("runs/none")


def test_delete_and_list(store: Store) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    names = ["runs/a", "runs/a.b", "runs/a/b", "runs/ab", "runs/b/c/d", "samples/a"]
    for name in reversed(names):
        if not (isinstance(store, FolderStore) and name == "runs/a"):  # a folder cannot be a file as well
            store.put(name, name.encode())
    if isinstance(store, FolderStore):
        names.remove("runs/a")
    listed = list(store.keys(""))
    assert sorted(item.key for item in listed) == names
    assert next(store.keys("runs/a")).key == names[0]
    assert all(item.size == len(item.key) and before < item.modified <= datetime.now(UTC) for item in listed)
    assert [item.key for item in store.keys("runs/a/")] == ["runs/a/b"]
    assert [item.key for item in store.keys("runs/ab")] == ["runs/ab"]
    assert [item.key for item in store.keys("runs/b/c")] == ["runs/b/c/d"]
    assert list(store.keys("exports/")) == [] and list(store.keys("r/x/y")) == []
    store.delete("runs/b/c/d")
    assert not exists(store, "runs/b/c/d") and exists(store, "runs/ab") and not exists(store, "samples/aa")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "a",
        "runs",
        "runs/",
        "/runs/a",
        "runs/../a",
        "runs/./a",
        "runs//a",
        "runs/.hidden",
        "../runs/a",
        "runs/a\\b",
        "runs/a\0b",
        "runs/ä",
        "elsewhere/a",
        "parts/a",
        "runs/a\n",
        "runs/" + "a" * 300,
    ],
)
def test_keys_lead_nowhere_else(store: Store, key: str) -> None:
    for act in (lambda: store.put(key, b""), lambda: store.open(key), lambda: link(store, key, 60, "a")):
        with pytest.raises(StoreError, match="is no key"):
            act()
    if key != "parts/a":  # the collector may delete these in a folder
        with pytest.raises(StoreError, match="is no key"):
            store.delete(key)


@pytest.mark.parametrize("prefix", ["../", "runs/../../", "/etc/", "..", "runs/..", "a\\b"])
def test_listings_lead_nowhere_else(store: Store, prefix: str) -> None:
    with pytest.raises(StoreError, match="beginning of a key"):
        list(store.keys(prefix))


def test_content_has_one_key_and_is_sent_once(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"picture")
    key = put_content(store, b"picture", "pictures", ".png")
    digest = hashlib.sha256(b"picture").hexdigest()
    assert key == f"pictures/{digest[:2]}/{digest}.png" and content_sha256(key) == digest
    first = next(store.keys(key)).modified
    assert put_content(store, file, "pictures", ".png") == key and next(store.keys(key)).modified == first
    monkeypatch.setattr(store_module, "FRESH_S", -60.0)  # as if it were old
    while put_content(store, file, "pictures", ".png") == key and next(store.keys(key)).modified == first:
        pass
    assert read(store, key) == b"picture"
    for kind, suffix in (("secrets", ".png"), ("pictures", "png"), ("pictures", ".PNG"), ("pictures", "/../x")):
        with pytest.raises(ValueError):
            put_content(store, b"", kind, suffix)


def test_fetch_is_whole_or_not_at_all(store: Store, tmp_path: Path) -> None:
    key = put_content(store, LARGE, "adapters", ".safetensors")
    fetch(store, key, tmp_path / "new" / "file")
    assert (tmp_path / "new" / "file").read_bytes() == LARGE
    assert os.listdir(tmp_path / "new") == ["file"]


def test_a_tree_comes_back_and_its_marker_is_last(store: Store, tree: Path, tmp_path: Path) -> None:
    files = put_tree(store, tree, "runs/job/sft-000060")
    names = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    assert set(files) == names and all(exists(store, key) for key in files.values())
    marker = next(item for item in store.keys("") if item.key.endswith(MARKER))
    assert marker.key == f"runs/job/sft-000060/{MARKER}"
    assert json.loads(read(store, marker.key)) == files
    assert marker.modified >= max(item.modified for item in store.keys(""))
    assert whole_tree(store, "runs/job/sft-000060", tmp_path / "back") == files
    for name in names:
        assert (tmp_path / "back" / name).read_bytes() == (tree / name).read_bytes()
    with pytest.raises(ObjectMissing, match=MARKER):
        whole_tree(store, "runs/job/sft-000080", tmp_path / "other")


def test_two_attempts_do_not_mix_their_files(store: Store, tree: Path, tmp_path: Path) -> None:
    first = put_tree(store, tree, "runs/job/sft-000060")
    was = (tree / "adapter_model.safetensors").read_bytes()
    (tree / "adapter_model.safetensors").write_bytes(b"of the second attempt")
    second = put_tree(store, tree, "runs/job/sft-000060")
    fetch_files(store, first, tmp_path / "first")
    assert (tmp_path / "first" / "adapter_model.safetensors").read_bytes() == was
    assert first["README.md"] == second["README.md"]
    assert whole_tree(store, "runs/job/sft-000060", tmp_path / "second") == second


def test_a_tree_that_breaks_has_no_marker(store: Store, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = store_module.put_content

    def break_at_the_third(*arguments: object) -> str:
        if len(list(store.keys(""))) == 2:
            raise KeyboardInterrupt
        return put(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store_module, "put_content", break_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        put_tree(store, tree, "runs/job/sft-000060")
    assert not exists(store, f"runs/job/sft-000060/{MARKER}")


def test_what_is_no_tree_is_refused(store: Store, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="no files"):
        put_tree(store, tmp_path / "empty", "runs/job/a")
    (tree / "link").symlink_to("/etc/hostname")
    with pytest.raises(StoreError, match="link"):
        put_tree(store, tree, "runs/job/a")
    store.put(f"runs/bad/{MARKER}", b"{]")
    store.put(f"runs/odd/{MARKER}", b'{"a": 1}')
    for prefix in ("runs/bad", "runs/odd"):
        with pytest.raises(ObjectDamaged, match=prefix):
            whole_tree(store, prefix, tmp_path / "back")


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/../../out", "a\\..\\out", "", "a\0b"])
def test_trees_write_nowhere_else(store: Store, name: str, tmp_path: Path) -> None:
    key = put_content(store, b"x", "runs", "")
    with pytest.raises(StoreError, match="leads out"):
        fetch_files(store, {name: key}, tmp_path / "in")
    (tmp_path / "in2").mkdir()
    (tmp_path / "in2" / "way").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="leads out"):
        fetch_files(store, {"way/out": key}, tmp_path / "in2")
    assert not (tmp_path / "out").exists()


def test_files_that_are_right_are_not_fetched_again(store: Store, tmp_path: Path) -> None:
    files = {"a": put_content(store, b"aa", "runs", ""), "b": put_content(store, b"bb", "runs", "")}
    fetch_files(store, files, tmp_path / "in")
    os.utime(tmp_path / "in" / "a", (1, 1))
    (tmp_path / "in" / "b").write_bytes(b"damaged")
    fetch_files(store, files, tmp_path / "in")
    assert (tmp_path / "in" / "a").stat().st_mtime == 1 and (tmp_path / "in" / "b").read_bytes() == b"bb"


class BrokenSource(io.RawIOBase):
    """A stream that fails midway, such as an upload from a browser that was closed."""

    def __init__(self) -> None:
        self.left = 3

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self.left -= 1
        if not self.left:
            raise ConnectionResetError("the browser was closed")
        return b"x" * 100_000


def test_a_source_that_fails_leaves_nothing(store: Store) -> None:
    store.put("runs/a", b"before")
    for key in ("runs/a", "runs/b"):
        with pytest.raises(ConnectionResetError, match="browser"):
            store.put(key, BrokenSource())  # type: ignore[arg-type]
    assert [item.key for item in store.keys("")] == ["runs/a"] and read(store, "runs/a") == b"before"
    with pytest.raises(FileNotFoundError):
        store.put("runs/b", Path("/nowhere/at/all"))


def test_many_writers_of_one_key(store: Store) -> None:
    bodies = [bytes([number]) * 200_000 for number in range(6)]
    threads = [threading.Thread(target=store.put, args=("runs/one", body)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(store, "runs/one") in bodies and len(list(store.keys(""))) == 1


@pytest.mark.parametrize(("seconds", "filename"), [(0, "a"), (604_801, "a"), (60, ""), (60, "a/b"), (60, "a\r\nb")])
def test_links_that_make_no_sense(store: Store, seconds: int, filename: str) -> None:
    with pytest.raises(ValueError):
        link(store, "runs/a", seconds, filename)


# Only a folder


def test_damage_on_the_disk_is_seen(folder_store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "FETCH_WAITS_S", (0.0,))
    key = put_content(folder_store, b"0123456789", "adapters", "")
    path = folder_store.link(key, 60, "a")
    assert isinstance(path, Path) and path.read_bytes() == b"0123456789"
    path.write_bytes(b"0123456780")
    with pytest.raises(ObjectDamaged, match="restore it from a backup"):
        fetch(folder_store, key, tmp_path / "file")
    assert not (tmp_path / "file").exists() and not list(tmp_path.glob(".*.part"))
    with pytest.raises(ObjectMissing):
        folder_store.link("runs/none", 60, "a")


def test_other_files_in_the_folder_are_not_objects(folder_store: FolderStore) -> None:
    folder_store.put("runs/a", b"")
    (folder_store.root / ".DS_Store").write_bytes(b"")
    (folder_store.root / "lost+found").mkdir()
    (folder_store.root / "lost+found" / "x").write_bytes(b"")
    assert [item.key for item in folder_store.keys("")] == ["runs/a"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_leaves_nothing_half_written(small_disk: Path, tmp_path: Path) -> None:
    store = FolderStore(small_disk / "objects")
    store.put("runs/a", b"before")
    with pytest.raises(StoreError, match=r"disk of .* is full"):
        store.put("runs/a", LARGE)
    assert read(store, "runs/a") == b"before" and [item.key for item in store.keys("")] == ["runs/a"]
    store.put("runs/b", b"x" * 500_000)  # what was written of it is free again
    roomy = FolderStore(tmp_path / "objects")
    key = put_content(roomy, LARGE, "runs", "")
    with pytest.raises(StoreError, match="disk is full"):
        fetch(roomy, key, small_disk / "in" / "file")
    assert os.listdir(small_disk / "in") == []
