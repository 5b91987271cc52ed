"""Adapters kept in memory by recent use, read from their folders in the background.

Reading never touches the model that is speaking, and who has taken an adapter keeps it: dropping it from the shelf
only means that it is read again next time.
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
        """read: from a folder, may take long and raise; keep: how many stay in memory. ValueError when below 1."""
        if keep < 1:
            raise ValueError(f"keep is {keep}: at least one adapter must fit in memory")
        self._read, self._keep = read, keep
        self._lock = threading.Lock()
        self._folders: dict[str, Path] = {}
        self._there: OrderedDict[str, Future[Adapter]] = OrderedDict()  # least lately used first
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="adapters")

    def add(self, name: str, folder: Path) -> Future[Adapter]:
        """Begin to read the folder under that name, replacing what had it; the future is done when it is there."""
        with self._lock:
            self._folders[name] = folder
            self._there.pop(name, None)
            return self._begin(name)

    def _begin(self, name: str) -> Future[Adapter]:
        # Called with the lock held.
        future = self._there[name] = self._reader.submit(self._read, self._folders[name])
        while len(self._there) > self._keep:
            self._there.popitem(last=False)
        return future

    def take(self, name: str) -> Adapter:
        """The adapter of that name, waited for or read again if need be; it is the most lately used now.

        Raises KeyError for a name never added, and what reading it raised.
        """
        with self._lock:
            if name not in self._folders:
                raise KeyError(f"no adapter {name!r} is known, only {sorted(self._folders)}")
            if name in self._there and not _failed(self._there[name]):
                self._there.move_to_end(name)
                future = self._there[name]
            else:
                self._there.pop(name, None)
                future = self._begin(name)
        return future.result()

    def drop(self, name: str) -> None:
        """Forget the name and the adapter; KeyError when it was never added."""
        with self._lock:
            del self._folders[name]
            self._there.pop(name, None)

    def names(self) -> list[str]:
        """All names that can be taken."""
        with self._lock:
            return sorted(self._folders)

    def loaded(self) -> list[str]:
        """Names whose adapters are in memory, least lately used first."""
        with self._lock:
            return [name for name, future in self._there.items() if future.done() and not _failed(future)]


def _failed(future: Future[Adapter]) -> bool:
    return future.done() and future.exception() is not None
