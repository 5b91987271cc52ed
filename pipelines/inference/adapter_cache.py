"""Adapters in memory, least recently used leave first, read from their folders in a background thread.

Reading never touches the model that is generating, and a reply that holds an adapter keeps it: evicting it only means
that it is read again next time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from pipelines.models.decoding.multi_lora import Adapter


class AdapterCache:
    """Adapters by name; safe to use from several threads."""

    def __init__(self, read: Callable[[Path], Adapter], keep: int) -> None:
        """read: loads an adapter from a folder, slowly, and may raise; keep: how many stay in memory, at least 1."""
        if keep < 1:
            raise ValueError(f"keep is {keep}: at least one adapter must fit in memory")
        self._read, self._keep = read, keep
        self._lock = threading.Lock()
        self._folders: dict[str, Path] = {}
        self._loaded: OrderedDict[str, Future[Adapter]] = OrderedDict()  # least recently used first
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="adapters")

    def add(self, name: str, folder: Path) -> Future[Adapter]:
        """Start to read the folder, replacing an adapter of that name; the future is done when it is in memory."""
        with self._lock:
            self._folders[name] = folder
            self._loaded.pop(name, None)
            return self._start_reading(name)

    def _start_reading(self, name: str) -> Future[Adapter]:
        # Called with the lock held.
        future = self._loaded[name] = self._reader.submit(self._read, self._folders[name])
        while len(self._loaded) > self._keep:
            self._loaded.popitem(last=False)
        return future

    def take(self, name: str) -> Adapter:
        """The adapter of that name, waited for or read again if need be; it is the most recently used now.

        Raises KeyError for a name never added, and what reading it raised.
        """
        with self._lock:
            if name not in self._folders:
                raise KeyError(f"no adapter {name!r} is known, only {sorted(self._folders)}")
            if name in self._loaded and not _failed(self._loaded[name]):
                self._loaded.move_to_end(name)
                future = self._loaded[name]
            else:
                self._loaded.pop(name, None)
                future = self._start_reading(name)
        return future.result()

    def drop(self, name: str) -> None:
        """Forget the name and the adapter; KeyError when it was never added."""
        with self._lock:
            del self._folders[name]
            self._loaded.pop(name, None)

    def names(self) -> list[str]:
        """All names that can be taken."""
        with self._lock:
            return sorted(self._folders)

    def loaded(self) -> list[str]:
        """Names whose adapters are in memory, least recently used first."""
        with self._lock:
            return [name for name, future in self._loaded.items() if future.done() and not _failed(future)]


def _failed(future: Future[Adapter]) -> bool:
    return future.done() and future.exception() is not None
