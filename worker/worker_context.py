"""What one worker process has open, its id, and whether it has been told to shut down.

It is registered in the records with its machine and the job at hand, for the system page; a thread renews that every
few seconds.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pipelines.core.jobs.job import Job, RecordMissing, RecordsUnusable, Worker, new_id
from pipelines.core.records import Records, open_records
from pipelines.core.settings import Settings
from pipelines.core.storage.open_store import open_store
from pipelines.core.storage.store import Store
from pipelines.core.versions import installed
from worker.capacity import find_device
from worker.lease import Lease

LIBRARIES = ("understudy", "torch", "transformers", "trl", "peft", "celery")

logger = logging.getLogger("understudy.worker")


class WorkerContext:
    """Settings, records and store of a worker. `close` it at the end."""

    def __init__(self, settings: Settings, queues: tuple[str, ...]) -> None:
        self.settings = settings
        self.records: Records = open_records(settings.database_url)
        self.store: Store = open_store(settings)
        host = self.host = socket.gethostname()
        self.id = f"{host}-{os.getpid()}-{new_id()[:6]}"
        self.stopping = threading.Event()
        """Set when this process shall end: a training is saved and given back."""
        self._job = ""
        self._changed = threading.Event()
        self._closed = False
        here = find_device()
        self._row = Worker(
            self.id, host, queues, here.gpu, here.total_gb, installed(LIBRARIES), cores=os.cpu_count() or 0
        )
        self._row = self.records.workers.register(self._row)
        self._presence = threading.Thread(target=self._report_presence, name="presence", daemon=True)
        self._presence.start()

    @contextmanager
    def working_on(self, job: Job) -> Iterator[Lease]:
        """Hold a claimed job's lease, and show the job as what this worker does."""
        self._job = job.id
        self._changed.set()
        try:
            with Lease(self.records, job, self.settings.lease_s, self.settings.heartbeat_s) as lease:
                yield lease
        finally:
            self._job = ""
            self._changed.set()

    def close(self) -> None:
        """Leave the list of workers and close what is open."""
        self._closed = True
        self.stopping.set()
        self._changed.set()
        self._presence.join(timeout=5)
        try:
            self.records.workers.forget(self.id)
        except RecordsUnusable as error:
            logger.warning("this worker stays listed until the sweeper forgets it: %s", error)
        self.records.close()

    def _report_presence(self) -> None:
        while not self._closed:
            self._changed.wait(self.settings.heartbeat_s)
            self._changed.clear()
            if self._closed:
                return
            try:
                self._tell_presence()
            except RecordsUnusable as error:
                logger.warning("this worker could not report its presence: %s", error)

    def _tell_presence(self) -> None:
        try:
            self.records.workers.seen(self.id, self._job)
        except RecordMissing:  # forgotten while the machine slept or the records were away
            self.records.workers.register(replace(self._row, job=self._job))
