"""The sweeper: repairs what crashes leave behind. `python -m worker.sweeper`, one or more of them.

Every few seconds: jobs whose lease has run out are queued again (failed after the third lost worker), queued jobs whose
message may be lost get another one while a worker is idle, workers that vanished are taken off the list. After a sleep
of the machine, when a clock was set, or after the records were away, leases only seem to have run out: workers are
first given time to be heard of.
Once a day: objects that no record refers to are deleted, and run folders of jobs that ended a week ago.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from pipelines.core.jobs.job import Job, RecordsUnusable
from pipelines.core.queue.broker import LOG_FORMAT, QUEUES, make_app, notify_worker
from pipelines.core.records import Records, open_records
from pipelines.core.records.store_check import settle_owner, store_alarm
from pipelines.core.settings import Settings
from pipelines.core.storage.garbage import GRACE_S, collect_garbage
from pipelines.core.storage.installation import check_owner
from pipelines.core.storage.open_store import open_store
from pipelines.core.storage.store import Store, StoreError
from worker.run_folders import remove_old_folders

MAX_ATTEMPTS = 3
"""Attempts after which a job whose worker was lost again has failed."""
DAY_S = 24 * 3600.0
GARBAGE_AGE_S = 2 * DAY_S
"""Objects younger than this are never deleted."""
OPEN_AGAIN_S = 3.0
"""Seconds between tries to reach records that do not answer."""
FORGET_S = DAY_S
"""A worker that was not seen for so long is taken off the list; until then the system page shows it as missing."""

logger = logging.getLogger("understudy.sweeper")


class Sweeper:
    """Rounds over one set of records and objects."""

    def __init__(
        self, settings: Settings, records: Records, store: Store, steady: Callable[[], float] = time.monotonic
    ) -> None:
        """`steady`: a clock that nobody sets and that stands still while the machine sleeps."""
        self._settings, self._records, self._store, self._steady = settings, records, store, steady
        self._clocks: tuple[datetime, float] | None = None
        """The records' clock and the steady one at the last round."""
        self._wait_until = 0.0
        self._settled = False
        self._app = make_app(settings)
        self._cleaned = settings.home / "cleaned"
        """A file whose time is that of the last cleaning, so that a restart neither repeats nor postpones it."""
        self.every_s = min(15.0, settings.lease_s / 4)
        """Seconds between rounds."""

    def round(self) -> None:
        """All repairs once; what does not answer is tried again in the next round."""
        for step in (self._release, self._notify, self._forget, self._settle, self._clean):
            self._try(step)

    def _settle(self) -> None:
        if not self._settled:
            settle_owner(self._records, self._store)
            self._settled = True
            if alarm := store_alarm(self._records, self._store):
                logger.error("%s", alarm)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (RecordsUnusable, StoreError, OSError) as error:
            logger.warning("%s: %s", step.__name__.strip("_"), error)

    def _clocks_agree(self) -> bool:
        """Whether the records' clock has run like the steady one for half a lease, and so leases can be believed."""
        before = self._steady()
        wall = datetime.fromisoformat(self._records.clock())
        steady = self._steady()
        if self._clocks is not None:
            apart = (wall - self._clocks[0]).total_seconds() - (steady - self._clocks[1])
            if abs(apart) > self._settings.lease_s / 4 + (steady - before):
                logger.warning("the clock jumped by %.0f s: lost workers are looked for a little later", apart)
                self.note_absence()
        self._clocks = wall, steady
        return steady >= self._wait_until

    def note_absence(self) -> None:
        """The records were away: workers could not be heard of either, so they are given time as after a jump."""
        self._wait_until = self._steady() + self._settings.lease_s / 2  # longer than any heartbeat takes

    def _release(self) -> None:
        try:
            if not self._clocks_agree():
                return
            released = self._records.jobs.release_lost(MAX_ATTEMPTS)
        except RecordsUnusable:
            self.note_absence()
            raise
        for job in released:
            logger.info("job %s lost its worker %s and is %s", job.id, job.worker or "(gone)", job.status)

    def _notify(self) -> None:
        """Send as many messages as there are idle workers; a busy one claims its next job by itself."""
        waiting = self._records.jobs.waiting(self.every_s)
        if not waiting:
            return
        alive = self._records.workers.list(alive_within_s=self._settings.worker_alive_s)
        idle = Counter(queue for worker in alive if not worker.job for queue in worker.queues)
        sent: list[Job] = []
        for job in waiting:
            queue = QUEUES[job.kind]
            if idle[queue] > 0 and notify_worker(self._app, job):
                idle[queue] -= 1
                sent.append(job)
        self._records.jobs.mark_notified([job.id for job in sent])

    def _forget(self) -> None:
        now = datetime.fromisoformat(self._records.clock())
        for worker in self._records.workers.list():
            # One that was seen a day ahead was seen before the clock was set back.
            if abs((now - datetime.fromisoformat(worker.seen)).total_seconds()) > FORGET_S:
                self._records.workers.forget(worker.id)

    def _clean(self) -> None:
        if not self._cleaned.exists():  # a day from now, when whoever just began has found their way
            self._cleaned.parent.mkdir(parents=True, exist_ok=True)
            self._cleaned.touch()
        if 0 <= time.time() - self._cleaned.stat().st_mtime < DAY_S:  # below 0: the clock was set back since
            return
        self._cleaned.touch()
        check_owner(self._store, self._records.installation())
        gone = collect_garbage(self._store, self._records.keys(), GARBAGE_AGE_S, dry_run=False, grace_s=GRACE_S).gone
        if gone:
            logger.info("%d objects (%d bytes) that nothing refers to are deleted", len(gone), sum(n for _, n in gone))
        remove_old_folders(self._settings.runs_folder, self._records)


def main() -> None:
    """Rounds until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = Settings.from_environment()
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    records = _open_patiently(settings, over)
    if records is None:
        return
    sweeper = Sweeper(settings, records, open_store(settings))
    sweeper.note_absence()  # what was before nobody knows
    logger.info("looking every %.0f s", sweeper.every_s)
    while not over.is_set():
        sweeper.round()
        over.wait(sweeper.every_s)


def _open_patiently(settings: Settings, over: threading.Event) -> Records | None:
    """The records, as soon as they answer; None when this program is to end before."""
    while not over.is_set():
        try:
            return open_records(settings.database_url)
        except RecordsUnusable as error:
            logger.warning("%s", error)
            over.wait(OPEN_AGAIN_S)
    return None


if __name__ == "__main__":
    main()
