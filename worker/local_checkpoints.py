"""The checkpoints on this machine before a trainer goes on from them: fetched, compared, mended, or stepped over.

What a disk lost or changed since the last attempt is fetched again from the object store. Where the store cannot give
it either, the checkpoint is set aside and the run goes on from the one before. The sums are those that the trainer left
beside its files (`core/checkpoint_sums.py`), else those in the names of the objects.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.checkpoint_sums import damaged_files, is_as_kept, is_state
from pipelines.core.jobs.job import Checkpoint
from pipelines.core.records import Records
from pipelines.core.run_folder import (
    BASE,
    SAMPLES_FOLDER,
    SCORES_FILE,
    START,
    RunError,
    adapters,
    checkpoint_folder,
    read_json,
    set_aside,
    start_damaged,
)
from pipelines.core.storage.store import ObjectDamaged, ObjectMissing, Store, content_sha256, fetch_files

logger = logging.getLogger("understudy.worker")
GONE = (ObjectMissing, ObjectDamaged)
"""The store answers, and does not have it; any other error is worth another try."""


@dataclass(frozen=True)
class Mended:
    """What was found when checkpoints were compared; names of checkpoints."""

    fetched_again: tuple[str, ...] = ()
    stepped_over: tuple[str, ...] = ()
    """They could not be had whole; the run goes on from the ones before."""


def fetch_checkpoints(run_dir: Path, job: str, records: Records, store: Store) -> Mended:
    """Fetch all kept checkpoints of a job into a fresh run folder. Raises StoreError when the store does not answer."""
    missing = []
    for row in records.checkpoints.of_job(job):
        if row.files and not _fetch(run_dir, row, row.files, store):
            missing.append(row.name)
    return _stepped_over(run_dir, (), missing)


def mend_checkpoints(run_dir: Path, job: str, records: Records, store: Store) -> Mended:
    """Compare the checkpoints of a run folder that an earlier attempt left, and mend them.

    Raises StoreError when the store does not answer, RunError when the one that the run began with is lost.
    """
    rows = {row.name: row for row in records.checkpoints.of_job(job)}
    again: list[str] = []
    missing: list[str] = []
    for name in adapters(run_dir):
        row = rows.get(name)
        if not (wrong := _damaged(checkpoint_folder(run_dir, name), row.files if row else {})):
            continue
        logger.warning("checkpoint %s of job %s is damaged here: %s", name, job, ", ".join(wrong))
        whole = row is not None and _fetch(run_dir, row, row.files, store)
        (again if whole else missing).append(name)
    for name in [BASE, *adapters(run_dir)]:
        _mend_measurement(run_dir, name, rows.get(name), store)
    return _stepped_over(run_dir, again, missing)


def _damaged(folder: Path, kept: Mapping[str, str]) -> list[str]:
    wrong = damaged_files(folder)
    if wrong is not None:
        return wrong
    sums = {name: content_sha256(key) for name, key in kept.items() if is_state(name)}
    return [name for name, sha256 in sums.items() if sha256 and not is_as_kept(folder / name, sha256)]


def _fetch(run_dir: Path, row: Checkpoint, files: Mapping[str, str], store: Store) -> bool:
    """Whether all of these files are there now."""
    try:
        fetch_files(store, files, checkpoint_folder(run_dir, row.name))
    except GONE as error:
        logger.warning("checkpoint %s of job %s cannot be fetched: %s", row.name, row.job, error)
        return False
    return True


def _mend_measurement(run_dir: Path, name: str, row: Checkpoint | None, store: Store) -> None:
    """Scores and samples as they were kept; what cannot be read and was not kept is measured anew."""
    folder = checkpoint_folder(run_dir, name)
    if row is not None and SCORES_FILE in row.files:
        measured = {path: key for path, key in row.files.items() if not is_state(path)}
        if _fetch(run_dir, row, measured, store):
            return
    if (folder / SCORES_FILE).is_file():
        with contextlib.suppress(RunError):
            read_json(folder / SCORES_FILE)
            return
        (folder / SCORES_FILE).unlink()
        shutil.rmtree(folder / SAMPLES_FOLDER, ignore_errors=True)


def _stepped_over(run_dir: Path, again: list[str] | tuple[str, ...], missing: list[str]) -> Mended:
    if START in missing:
        raise RunError(start_damaged(run_dir))
    for name in missing:
        if checkpoint_folder(run_dir, name).is_dir():
            set_aside(run_dir, name)
    return Mended(tuple(again), tuple(missing))
