"""Upload of checkpoints to the object store while training continues: bytes, then the marker, then the row.

A thread uploads one checkpoint after another. When the store or the records do not answer it retries for as long as
the job lasts; a checkpoint whose row exists is complete. `unkept` says at the end what is not in both.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from pipelines.core.jobs.job import Checkpoint, RecordMissing, RecordsUnusable
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.records import Records
from pipelines.core.run_folder import (
    BASE,
    SCORES_FILE,
    RunError,
    adapters,
    checkpoint_folder,
    read_json,
    read_result,
    read_scores,
    saved_for,
    stage_and_step,
)
from pipelines.core.storage.store import Store, StoreError, exists, put_tree

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
"""Seconds between two tries, doubled each time."""

logger = logging.getLogger("understudy.worker")


def put_checkpoint(
    records: Records, store: Store, job: str, run_dir: Path, name: str, may_write: Callable[[], bool] = lambda: True
) -> bool:
    """Store one checkpoint of a run folder as it is now; files that are stored already are not sent again.

    `may_write` is asked right before the row is written, since the bytes may have taken minutes; False when it said no.
    """
    folder = checkpoint_folder(run_dir, name)
    recipe = Recipe.from_json(read_json(run_dir / "run.json")["recipe"])
    stage, step = stage_and_step(name)
    files = put_tree(store, folder, f"adapters/{job}/{name}")
    measured = read_scores(run_dir, name) if SCORES_FILE in files else None
    config = {} if name == BASE else read_json(folder / "adapter_config.json")
    samples = tuple(key for path, key in sorted(files.items()) if path.startswith("samples/"))
    row = Checkpoint(
        job,
        name,
        stage,
        step,
        recipe.base,
        revision=config.get("revision") or "",
        adapter_key="" if name == BASE else f"adapters/{job}/{name}",
        scores=measured["scores"] if measured else {},
        measurement=measured.get("measurement", {}) if measured else {},
        saved_for=saved_for(run_dir, name),
        samples=samples,
        files=files,
    )
    if not may_write():
        return False
    records.checkpoints.put(row)
    return True


def unkept(records: Records, store: Store, job: str, run_dir: Path, complete: bool) -> list[str]:
    """Names of checkpoints of the run folder that are not whole in store and rows.

    A training that is `complete` also needs the base and the checkpoint that its result calls the best. Raises
    RecordsUnusable or StoreError when one of them does not answer.
    """
    rows = {checkpoint.name: checkpoint for checkpoint in records.checkpoints.of_job(job)}
    needed = dict.fromkeys(adapters(run_dir))
    if complete or (checkpoint_folder(run_dir, BASE) / SCORES_FILE).is_file():
        needed = {BASE: None, **needed}
    if complete:
        needed |= {str((read_result(run_dir) or {}).get("best", BASE)): None}
    return [name for name in needed if name not in rows or not _is_whole(store, rows[name], run_dir)]


def _is_whole(store: Store, row: Checkpoint, run_dir: Path) -> bool:
    folder = checkpoint_folder(run_dir, row.name)
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if not here <= set(row.files) or (SCORES_FILE in here and not row.scores):
        return False
    return all(exists(store, key) for key in row.files.values())


class Uploads:
    """Upload thread of one job. `close` it at the end; what is not sent by then is left to the next attempt."""

    def __init__(self, records: Records, store: Store, job: str, run_dir: Path, may_write: Callable[[], bool]) -> None:
        """`may_write` returns whether the job is still this worker's; nothing is written when it is not."""
        self._records, self._store, self._job, self._run_dir = records, store, job, run_dir
        self._may_write = may_write
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._change = threading.Condition()
        self._busy = self._closed = False
        self.last_error = ""
        """Why the last try failed; "" when it did not."""
        self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)
        self._thread.start()

    def add(self, name: str) -> None:
        """Queue a checkpoint that is complete, or has changed since (it was scored)."""
        with self._change:
            self._waiting[name] = None
            self._change.notify_all()

    def add_missing(self) -> None:
        """Queue every checkpoint of the folder that has no row yet, or one that was written before it was scored."""
        rows = {checkpoint.name: checkpoint for checkpoint in self._records.checkpoints.of_job(self._job)}
        for name in [BASE, *adapters(self._run_dir)]:
            scored = (checkpoint_folder(self._run_dir, name) / "scores.json").is_file()
            complete = name != BASE or scored
            if (name not in rows and complete) or (name in rows and scored and not rows[name].scores):
                self.add(name)

    def unkept(self, complete: bool) -> list[str]:
        """See `unkept` above."""
        return unkept(self._records, self._store, self._job, self._run_dir, complete)

    def finish(self, keep_waiting: Callable[[], bool]) -> bool:
        """Wait until all that is queued is sent; False when `keep_waiting` said no before."""
        with self._change:
            while (self._waiting or self._busy) and keep_waiting():
                self._change.wait(timeout=0.2)
            return not self._waiting and not self._busy

    def close(self) -> None:
        """Stop after the file at hand."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._thread.join(timeout=10)

    def _work(self) -> None:
        wait_s = FIRST_WAIT_S
        while (name := self._next()) is not None:
            self.last_error = self._try(name)
            with self._change:
                self._busy = False
                if self.last_error:
                    logger.warning("checkpoint %s of job %s is not kept yet: %s", name, self._job, self.last_error)
                    self._waiting.setdefault(name)
                self._change.notify_all()
            if self.last_error:
                self._pause(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S) if self.last_error else FIRST_WAIT_S

    def _next(self) -> str | None:
        with self._change:
            while not self._waiting and not self._closed:
                self._change.wait()
            if self._closed:
                return None
            name, _ = self._waiting.popitem(last=False)
            self._busy = True
            return name

    def _may_go_on(self) -> bool:
        # After `close` nothing may appear: a job that is discarded has its rows removed then.
        return not self._closed and self._may_write()

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._change:
            while not self._closed and time.monotonic() < until:
                self._change.wait(timeout=0.2)

    def _try(self, name: str) -> str:
        """Upload one; returns what went wrong, or ""."""
        unsure = "the records do not answer, so the job may be another worker's by now"
        if not self._may_go_on():
            return unsure
        try:
            if not put_checkpoint(self._records, self._store, self._job, self._run_dir, name, self._may_go_on):
                return unsure
        except RecordMissing as error:  # the job was deleted; the next heartbeat tells the worker
            logger.warning("%s", error)
        except (StoreError, RecordsUnusable, OSError, RunError) as error:
            return str(error)
        return ""
