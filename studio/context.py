"""The app context: everything an action needs, opened once for the whole process.

    context = open_context(Settings.from_environment())
    context.records.characters.list(context.owner)

The studio keeps no state of its own: whatever matters is in the records and the object store, so a second tab or a
restarted studio shows the same. No model is ever loaded here.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from pipelines.core.records import Records, open_records
from pipelines.core.settings import Settings
from pipelines.core.storage.open_store import open_store
from pipelines.core.storage.store import Store, read
from pipelines.core.upload_process import keep_spare

if TYPE_CHECKING:
    from celery import Celery

MAX_CACHED_IMAGES = 2000
"""Small pictures that stay in memory, so that a redrawn page reads no file twice."""
MAX_CACHED_BYTES = 128 * 1024
"""Larger objects are not kept."""
MAX_STAGED = 8
"""Uploads that wait to be looked over."""
MAX_STAGED_BYTES = 512 * 2**20
"""That they hold in memory together; the newest may hold as much as an upload may."""
STAGED_S = 4 * 3600.0
MAX_SENT = 2000
"""Fields of browser tabs of which the latest texts are known."""


@dataclass
class Sent:
    """What a browser tab has sent for one field, to tell what comes late."""

    number: int = 0
    """The highest number of its texts."""
    digests: deque[str] = field(default_factory=lambda: deque(maxlen=64))
    """Of its latest texts."""
    shown: deque[str] = field(default_factory=lambda: deque(maxlen=16))
    """Of what the page has shown in the field."""
    used: str = ""
    """Of a text that was used, after which the field was emptied."""


@dataclass(kw_only=True)
class Staged:
    """An upload that was read and is not saved yet (`actions/import_review.py`)."""

    folder: tempfile.TemporaryDirectory[str] | None = None
    """Where its files are; it goes with the upload."""
    held_bytes: int = 0
    """What it holds in memory, about."""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    made_s: float = field(default_factory=time.monotonic)

    def discard(self) -> None:
        """Leave nothing of it behind."""
        if self.folder is not None:
            self.folder.cleanup()


class AppContext:
    """Records, objects and queue of one owner. Any number of browser sessions share one."""

    def __init__(self, settings: Settings, records: Records, store: Store) -> None:
        self.settings = settings
        self.records = records
        self.store = store
        self.owner = settings.owner
        self.editing = threading.RLock()
        """Held while a draft is read, changed and saved, so that two tabs do not undo each other's fields."""
        self._sent: OrderedDict[tuple[str, str, str], Sent] = OrderedDict()
        self._scripted: OrderedDict[str, None] = OrderedDict()
        self._images: OrderedDict[str, bytes] = OrderedDict()
        self._staged: OrderedDict[str, Staged] = OrderedDict()
        self._lock = threading.Lock()

    @cached_property
    def queue(self) -> Celery:
        """The queue's sending end; nothing is connected until something is sent."""
        from pipelines.core.queue.broker import make_app  # importing Celery takes half a second

        return make_app(self.settings)

    def image(self, key: str) -> bytes:
        """The bytes of a picture; StoreError when it is not there or damaged."""
        with self._lock:
            known = self._images.get(key)
            if known is not None:
                self._images.move_to_end(key)
                return known
        data = read(self.store, key)
        if len(data) <= MAX_CACHED_BYTES:
            with self._lock:
                self._images[key] = data
                while len(self._images) > MAX_CACHED_IMAGES:
                    self._images.popitem(last=False)
        return data

    def stage(self, upload: Staged) -> None:
        """Keep an upload until somebody has looked it over; the oldest go when there are many, and after some hours."""
        with self._lock:
            self._staged.pop(upload.id, None)
            count, held = 1, upload.held_bytes
            gone = []
            for id, one in reversed(list(self._staged.items())):
                count, held = count + 1, held + one.held_bytes
                if count > MAX_STAGED or held > MAX_STAGED_BYTES or one.made_s < upload.made_s - STAGED_S:
                    gone.append(self._staged.pop(id))
            self._staged[upload.id] = upload
        for one in gone:
            one.discard()

    def staged(self, id: str) -> Staged | None:
        """An upload that waits to be looked over; None when it was taken in, cancelled, or is from before a restart."""
        with self._lock:
            return self._staged.get(id)

    def unstage(self, id: str) -> Staged | None:
        """Take an upload out of those that wait: of two tabs that want it, one gets it."""
        with self._lock:
            return self._staged.pop(id, None)

    def sent_by(self, tab: str, character: str, place: str) -> Sent:
        """What a browser tab has sent for one field lately; `typed.py` keeps it up to date, holding `editing`."""
        key = (tab, character, place)
        found = self._sent.pop(key, None) or Sent()
        self._sent[key] = found
        while len(self._sent) > MAX_SENT:
            self._sent.popitem(last=False)
        return found

    def note_script(self, tab: str) -> None:
        """`autosave.js` runs in that browser tab: what is typed there comes by itself."""
        self._scripted[tab] = None
        while len(self._scripted) > MAX_SENT:
            self._scripted.popitem(last=False)

    def has_script(self, tab: str) -> bool:
        """Whether `autosave.js` has told of itself from that tab."""
        return tab in self._scripted

    def forget_images(self, keys: Iterable[str]) -> None:
        """Drop pictures from memory, after they were deleted."""
        with self._lock:
            for key in keys:
                self._images.pop(key, None)


_OPENING = threading.Lock()


def shared_context() -> AppContext:
    """The one context of this process; opened anew only when the environment names other records or objects."""
    settings = Settings.from_environment()
    with _OPENING:  # two would each hold their own `editing`
        return _opened(settings.database_url, settings.objects, settings.owner)


@lru_cache(maxsize=4)
def _opened(database: str, objects: str, owner: str) -> AppContext:
    # The arguments only tell one set of places from another.
    keep_spare()
    return open_context(Settings.from_environment())


def open_context(settings: Settings) -> AppContext:
    """A context on these settings; makes the embedded database when it is not there yet."""
    settings.home.mkdir(parents=True, exist_ok=True)
    return AppContext(settings, open_records(settings.database_url), open_store(settings))
