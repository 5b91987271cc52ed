"""The S3 store alone: broken connections, a server that restarts, what errors say, and links for a browser."""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message as Headers
from pathlib import Path

import pytest

from pipelines.core.settings import Settings
from pipelines.core.storage.store import ObjectDamaged, StoreError, exists, fetch, link, put_content, put_tree, read
from pipelines.core.storage.store_s3 import S3Store
from tests.cutting_proxy import CutProxy, cut_proxy
from tests.services import LEAST_ACCESS_KEY, LEAST_BUCKET, S3Server, free_ports

LARGE = os.urandom(1 << 16) * 300
"""19 MiB: three parts."""
QUICK = (0.02, 0.02, 0.02)


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[CutProxy]:
    with cut_proxy(s3_server.port) as proxy:
        yield proxy


@pytest.fixture
def store(proxy: CutProxy, s3_settings: Settings) -> S3Store:
    """The store as seen through the proxy."""
    behind = dataclasses.replace(s3_settings, s3_endpoint_internal=f"http://127.0.0.1:{proxy.port}")
    return S3Store(behind, waits_s=QUICK)


@pytest.mark.parametrize("after_bytes", [100, 100_000, 5_000_000])
def test_an_upload_that_breaks_is_sent_again(store: S3Store, proxy: CutProxy, after_bytes: int) -> None:
    proxy.cut(2, after_bytes, down=False)
    store.put("runs/a", LARGE)
    assert proxy.cuts == 0 and read(store, "runs/a") == LARGE


def test_an_upload_that_keeps_breaking_leaves_nothing(store: S3Store, proxy: CutProxy, tmp_path: Path) -> None:
    store.put("runs/a", b"before")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "large").write_bytes(LARGE)
    proxy.cut(1000, 100_000, down=False)
    with pytest.raises(StoreError, match=r"does not answer .*UNDERSTUDY_S3_ENDPOINT_INTERNAL"):
        store.put("runs/a", LARGE)
    with pytest.raises(StoreError, match="does not answer"):
        put_tree(store, tmp_path / "tree", "runs/job/a")
    proxy.cut(0, 0, down=False)
    assert [item.key for item in store.keys("")] == ["runs/a"] and read(store, "runs/a") == b"before"


def test_a_download_that_breaks_goes_on_where_it_broke(store: S3Store, proxy: CutProxy, tmp_path: Path) -> None:
    key = put_content(store, LARGE, "adapters", ".safetensors")
    proxy.cut(3, 4_000_000, down=True)
    fetch(store, key, tmp_path / "file")
    assert proxy.cuts == 0 and (tmp_path / "file").read_bytes() == LARGE
    proxy.cut(1000, 1000, down=True)
    with pytest.raises(StoreError, match="could not be read"):
        fetch(store, key, tmp_path / "other")
    assert os.listdir(tmp_path) == ["file"] or not (tmp_path / "other").exists()
    assert not list(tmp_path.glob(".*.part"))


def test_an_object_that_changes_while_it_is_read_is_not_mixed(store: S3Store, proxy: CutProxy) -> None:
    store.put("runs/a", LARGE)
    with pytest.raises(StoreError), store.open("runs/a") as stream:
        stream.read(10)
        store.put("runs/a", LARGE[::-1])
        proxy.cut(1, 0, down=True)
        stream.read()


def test_bytes_that_are_not_those_that_were_put_are_seen(store: S3Store, s3_settings: Settings) -> None:
    key = put_content(store, b"0123456789", "adapters", "")
    store.client.put_object(
        s3_settings.s3_bucket, key, io.BytesIO(b"0123456780"), 10, metadata={"sha256": key.split("/")[-1]}
    )
    with pytest.raises(ObjectDamaged, match=key):
        read(store, key)


def test_a_server_that_restarts_is_waited_for(s3_server: S3Server, s3_settings: Settings) -> None:
    store = S3Store(s3_settings, waits_s=[0.5] * 120)  # a busy machine takes its time
    store.put("runs/a", b"kept")
    s3_server.kill()
    with pytest.raises(StoreError, match="does not answer"):
        S3Store(s3_settings, waits_s=QUICK).put("runs/b", b"")
    starting = threading.Thread(target=s3_server.start)
    starting.start()
    try:
        store.put("runs/b", b"new")
    finally:
        starting.join()
    assert read(store, "runs/a") == b"kept" and read(store, "runs/b") == b"new"


@pytest.fixture
def full_server(tmp_path: Path) -> Iterator[S3Server]:
    """A server on a disk of 6 MiB."""
    server = S3Server(tmp_path)
    words = ["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(tmp_path / "data")]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        server.start()
        yield server
    finally:
        server.stop()
        subprocess.run(["umount", "--lazy", str(tmp_path / "data")], check=True)


def test_a_full_disk_of_the_server_leaves_nothing_half_written(full_server: S3Server, tmp_path: Path) -> None:
    settings = full_server.settings(tmp_path, "full")
    full_server.make_bucket(settings)
    store = S3Store(settings, QUICK[:1])
    store.put("runs/a", b"before")
    for key in ("runs/a", "runs/b"):
        with pytest.raises(StoreError, match="disk is full"):
            store.put(key, LARGE[: 9 << 20])
    assert [item.key for item in store.keys("")] == ["runs/a"] and read(store, "runs/a") == b"before"


def test_errors_say_what_to_mend(s3_settings: Settings) -> None:
    wrong = dataclasses.replace(s3_settings, s3_secret_key="wrong-secret")
    with pytest.raises(StoreError, match=r"refuses our key.*UNDERSTUDY_S3_SECRET_KEY") as refused:
        S3Store(wrong, QUICK).put("runs/a", b"")
    assert "wrong-secret" not in str(refused.value)
    nowhere = dataclasses.replace(s3_settings, s3_bucket="no-such-bucket")
    with pytest.raises(StoreError, match=r"no bucket no-such-bucket.*UNDERSTUDY_S3_BUCKET"):
        read(S3Store(nowhere, QUICK), "runs/a")
    dead = dataclasses.replace(s3_settings, s3_endpoint_internal=f"http://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(StoreError, match="does not answer"):
        list(S3Store(dead, QUICK).keys())


def test_a_key_for_one_bucket_is_enough(s3_server: S3Server, s3_settings: Settings, tmp_path: Path) -> None:
    whole = dataclasses.replace(s3_settings, s3_bucket=LEAST_BUCKET)
    s3_server.make_bucket(whole)
    store = S3Store(dataclasses.replace(whole, s3_access_key=LEAST_ACCESS_KEY), QUICK)
    key = put_content(store, LARGE, "adapters", "")
    fetch(store, key, tmp_path / "file")
    assert [item.key for item in store.keys("")] == [key] and exists(store, key)
    assert download(str(link(store, key, 60, "a")))[0] == LARGE
    store.delete(key)
    assert not exists(store, key)
    elsewhere = S3Store(dataclasses.replace(s3_settings, s3_access_key=LEAST_ACCESS_KEY), QUICK)
    with pytest.raises(StoreError, match="refuses our key"):
        elsewhere.put("runs/a", b"")
    with pytest.raises(StoreError, match="refuses our key"):
        read(elsewhere, "runs/a")
    with pytest.raises(StoreError, match="refuses our key"):
        list(elsewhere.keys(""))


def test_listings_of_many(store: S3Store, proxy: CutProxy) -> None:
    names = [f"runs/{name}/{number}{end}" for name in ("a", "b.c") for number in range(6) for end in ("", ".x")]
    for name in names:
        store.put(name, b"x")
    for page_keys in (1, 5, len(names), 1000):
        store.page_keys = page_keys
        proxy.cut(2, 300, down=True)
        assert sorted(item.key for item in store.keys("runs/")) == sorted(names)


def download(url: str) -> tuple[bytes, Headers]:
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read(), response.headers


def test_a_link_downloads_from_the_public_endpoint_and_expires(s3_settings: Settings) -> None:
    store = S3Store(s3_settings)
    key = put_content(store, b"adapter", "adapters", ".safetensors")
    url = link(store, key, 3, 'Zoë "x".safetensors')
    made = time.monotonic()
    assert isinstance(url, str) and url.startswith(s3_settings.s3_endpoint_public + "/")
    data, headers = download(url)
    assert data == b"adapter"
    disposition = headers["Content-Disposition"]
    assert disposition.startswith("attachment;") and "filename*=UTF-8''Zo%C3%AB%20%22x%22.safetensors" in disposition
    for tampered in (url.replace(key, "adapters/other"), url.replace("localhost", "127.0.0.1")):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            download(tampered)
    time.sleep(max(0.0, 5 - (time.monotonic() - made)))
    with pytest.raises(urllib.error.HTTPError, match="403"):
        download(url)


def test_signing_asks_nobody(s3_settings: Settings) -> None:
    dead = dataclasses.replace(s3_settings, s3_endpoint_public="https://files.invalid")
    assert str(link(S3Store(dead), "runs/a", 60, "a.txt")).startswith("https://files.invalid/")


def test_exists_asks_once(store: S3Store, proxy: CutProxy) -> None:
    assert not exists(store, "runs/a")
    assert proxy.connections == 1
