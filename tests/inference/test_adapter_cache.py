"""Adapters by recent use: counted readings, waiting readers, failures."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipelines.inference.adapter_cache import AdapterCache
from pipelines.models.decoding.multi_lora import Adapter, AdapterError


class Reader:
    """Reads by making an empty adapter; counts, and waits while closed."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.broken = False

    def __call__(self, folder: Path) -> Adapter:
        assert self.open.wait(10)
        self.read.append(folder.name)
        if self.broken:
            raise AdapterError(f"{folder} is broken")
        return Adapter(str(folder), {})


def test_what_was_not_used_for_longest_is_read_again() -> None:
    reader = Reader()
    shelf = AdapterCache(reader, keep=2)
    for name in ("a", "b"):
        shelf.add(name, Path(name)).result()
    kept = shelf.take("a")
    shelf.add("c", Path("c")).result()
    assert shelf.loaded() == ["a", "c"] and shelf.names() == ["a", "b", "c"]
    assert shelf.take("a") is kept and reader.read == ["a", "b", "c"]
    assert shelf.take("b").source == "b" and reader.read[-1] == "b" and shelf.loaded() == ["a", "b"]
    shelf.add("a", Path("new-a")).result()  # replaced, not kept beside the old one
    assert shelf.take("a").source == "new-a" and kept.source == "a"
    shelf.drop("a")
    with pytest.raises(KeyError, match="no adapter 'a' is known"):
        shelf.take("a")
    with pytest.raises(ValueError, match="keep is 0"):
        AdapterCache(reader, keep=0)


def test_adding_does_not_wait_and_taking_does() -> None:
    reader = Reader()
    reader.open.clear()
    shelf = AdapterCache(reader, keep=2)
    coming = shelf.add("a", Path("a"))
    assert not coming.done() and shelf.loaded() == []
    taken: list[Adapter] = []
    thread = threading.Thread(target=lambda: taken.append(shelf.take("a")))
    thread.start()
    reader.open.set()
    thread.join(10)
    assert taken == [coming.result()] and reader.read == ["a"]


def test_a_failure_is_told_and_the_next_time_tried_again() -> None:
    reader = Reader()
    reader.broken = True
    shelf = AdapterCache(reader, keep=2)
    assert isinstance(shelf.add("a", Path("a")).exception(), AdapterError)
    with pytest.raises(AdapterError, match="a is broken"):
        shelf.take("a")
    assert shelf.loaded() == []
    reader.broken = False
    assert shelf.take("a").source == "a" and reader.read == ["a"] * 3
