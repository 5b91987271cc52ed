"""A disk that is really full: what was saved stays, the message names place and mend, and with room it goes on."""

from __future__ import annotations

import io
import itertools
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.commands.console import reason_of
from pipelines.commands.doctor import _room
from pipelines.core.durable import replace_durably
from pipelines.core.events import Event
from pipelines.core.full_disk import is_full, lacking_space, says_full
from pipelines.core.jobs.job import RecordsUnusable
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.queue.broker import make_app, notify_worker
from pipelines.core.queue.submit import publish_folder, submit_training
from pipelines.core.records import open_records
from pipelines.core.run_folder import read_events, repair_event_log, write_json
from pipelines.core.settings import Settings
from pipelines.core.storage.open_store import open_store
from pipelines.core.storage.store import StoreError, fetch, put_content, read
from tests.services import RedisServer
from tests.small_disk import SmallDisk, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "small", 24) as made:
        yield made


def test_records_say_it_and_keep_what_they_have(disk: SmallDisk) -> None:
    records = open_records(f"sqlite:///{disk.folder / 'understudy.db'}")
    row = records.characters.create("local", {"name": "Ada", "persona": "x" * 10_000})
    disk.fill()
    with pytest.raises(RecordsUnusable, match=r"free some disk space; what was saved before is safe") as refused:
        for _ in range(50):
            records.characters.create("local", {"name": "Bea", "persona": "y" * 100_000})
    assert str(disk.folder / "understudy.db") in str(refused.value) and is_full(refused.value)
    before = len(records.characters.list("local"))
    assert records.characters.get(row.id).draft["name"] == "Ada"
    disk.make_room()
    records.characters.create("local", {"name": "Cleo"})
    assert len(records.characters.list("local")) == before + 1
    records.close()
    with sqlite3.connect(disk.folder / "understudy.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_objects_appear_whole_or_not_at_all(disk: SmallDisk, tmp_path: Path) -> None:
    store = open_store(Settings(home=disk.folder))
    kept = put_content(store, b"kept" * 1000, "pictures", ".png")
    disk.fill(leave=300_000)
    with pytest.raises(StoreError, match="is full: free space there") as refused:
        put_content(store, b"lost" * 200_000, "adapters", ".safetensors")
    assert str(disk.folder) in str(refused.value)
    assert [item.key for item in store.keys("")] == [kept] and read(store, kept) == b"kept" * 1000
    with pytest.raises(StoreError, match="could not be written: the disk is full"):
        disk.fill()
        fetch(store, kept, disk.folder / "run" / "a.png")
    disk.make_room()
    assert read(store, put_content(store, b"lost" * 200_000, "adapters", ".safetensors")) == b"lost" * 200_000
    fetch(store, kept, disk.folder / "run" / "a.png")
    assert not list((disk.folder / "run").glob("*.part"))


def test_a_file_is_replaced_whole_or_not(disk: SmallDisk) -> None:
    path = disk.folder / "result.json"
    write_json(path, {"best": "base"})
    disk.fill()
    with pytest.raises(OSError) as refused:
        write_json(path, {"best": "x" * 100_000})
    assert is_full(refused.value) and json.loads(path.read_text(encoding="utf-8")) == {"best": "base"}
    said = reason_of(refused.value)
    assert said.startswith("the disk is full (") and "free some space and go on" in said


def test_a_log_is_repaired_without_any_room(disk: SmallDisk) -> None:
    """Written anew, all of it would be lost between its first byte and its last."""
    path = disk.folder / "events.jsonl"
    lines = "".join(Event("sft", step=step, total=500, sequence=step).to_line() for step in range(500))
    path.write_text(lines + '{"stage": "sft", "st', encoding="utf-8")
    disk.fill()

    class Written(Exception):
        pass

    def refuse(*_: object, **__: object) -> None:
        raise Written

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_bytes", refuse)
        assert repair_event_log(disk.folder) == 500
    assert [event.step for event in read_events(disk.folder)] == list(range(500))


def test_libraries_say_it_in_their_own_ways(disk: SmallDisk) -> None:
    import torch
    from safetensors.torch import save_file

    weights = {"a": torch.zeros(2_000_000)}
    disk.fill(leave=1_000_000)
    for save in (torch.save, save_file):
        with pytest.raises(Exception) as refused:  # each has a class of its own
            save(weights, disk.folder / "weights")
        assert is_full(refused.value), f"{type(refused.value)}: {refused.value}"
        assert says_full(f"{type(refused.value).__name__}: {refused.value}")
        (disk.folder / "weights").unlink(missing_ok=True)
    assert not says_full("RuntimeError: expected scalar type Float but found Half")


def test_too_little_room_is_said_beforehand(
    disk: SmallDisk, toy_character: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(home=disk.folder / "home")
    [said] = lacking_space(settings)
    for place in (settings.runs_folder, settings.objects, settings.home):
        assert str(place) in said
    assert "0.0 GB are free" in said and "a training takes up to 1.6 GB. Free some space there" in said
    assert not (disk.folder / "home").exists(), "it looks only"
    finding = _room(settings)
    assert not finding.ok and finding.found == said and "A full disk" in finding.mend
    elsewhere = replace(settings, database_url="postgresql://understudy@postgres/understudy", objects=str(Path("/")))
    assert "pictures and adapters" not in lacking_space(elsewhere)[0] and "1.0 GB" in lacking_space(elsewhere)[0]
    monkeypatch.setenv("UNDERSTUDY_HOME", str(settings.home))
    assert main(["character", "check", str(toy_character), "--json"]) == 0
    out = capsys.readouterr()
    assert json.loads(out.out)["room"] == [said] and said in out.err


def test_messages_that_cannot_be_written_wait_in_the_records(
    disk: SmallDisk, toy_character: Path, tmp_path: Path
) -> None:
    """The file of messages, and Redis, whose append-only file is on that disk."""
    (disk.folder / "redis").mkdir()
    redis = RedisServer(disk.folder / "redis")
    redis.start()
    try:
        settings = Settings(home=tmp_path / "home")
        records, store = open_records(settings.database_url), open_store(settings)
        version = publish_folder(records, store, "local", toy_character)
        for url in (f"sqla+sqlite:///{disk.folder / 'broker.db'}", redis.url):
            app = make_app(replace(settings, broker_url=url))
            first = submit_training(records, app, "local", version, Recipe())
            assert notify_worker(app, first)
            disk.fill()
            tries = itertools.count()
            while notify_worker(app, first):
                assert next(tries) < 400, f"{url.partition(':')[0]} takes messages that it cannot keep"
            job = submit_training(records, app, "local", version, Recipe())
            assert job.status == "queued", "the sweeper sends the message again"
            disk.make_room()
            tries = itertools.count()
            while not notify_worker(app, job):
                assert next(tries) < 60, "messages are taken again"
                time.sleep(0.1)
        records.close()
    finally:
        redis.kill()


def test_an_upload_that_finds_no_room_is_refused_in_words(disk: SmallDisk) -> None:
    """`replace_durably` and the store are the two ways by which anything appears under its name."""
    fresh = disk.folder / "fresh"
    fresh.write_bytes(b"x" * 1000)
    disk.fill()
    replace_durably(fresh, disk.folder / "target")
    assert (disk.folder / "target").read_bytes() == b"x" * 1000, "a rename needs no room"
    store = open_store(Settings(home=disk.folder / "objects"))
    with pytest.raises(StoreError, match="is full"):
        store.put("pictures/a", io.BytesIO(b"x" * 100_000))
