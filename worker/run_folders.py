"""The run folder of a job on this machine: made from the character's version, or brought back as it was last kept.

    HOME/runs/JOB/          the run folder                     HOME/runs/.JOB.lock    held while anybody works in it
    HOME/runs/.JOB.json     the last attempt that worked here   HOME/runs/.JOB.pid     the trainer's process group
    HOME/runs/.JOB.making   being made; renamed when it is whole

A folder that the attempt before left is gone on with. When the job was elsewhere meanwhile, or never here, it is made
anew and its checkpoints and events come from the object store and the records: other hosts have gone further.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipelines.core.character.character_folder import CHARACTER_FILE, IMAGES, TEST_FILE, TEST_IMAGES
from pipelines.core.events import Event
from pipelines.core.jobs.job import ENDED, Job, RecordMissing
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.records import Records
from pipelines.core.run_folder import CHECKPOINTS, RunError, read_events
from pipelines.core.storage.store import Store, fetch_files
from pipelines.core.yaml_text import write_yaml
from worker.trainer_process import kill_leftover

EVENTS_AT_ONCE = 5000
DAY_S = 24 * 3600.0
KEPT_S = 7 * DAY_S
"""A run folder stays on its machine so long after its job ended; everything is in the object store by then. When the
job itself is gone, since somebody deleted the character, it stays for a day."""


class FolderBusy(RuntimeError):
    """Another process works in the run folder and does not leave it."""


class RunFolder:
    """The place of one job on this machine."""

    def __init__(self, runs: Path, job: str) -> None:
        self.path = runs / job
        self.lock_path = runs / f".{job}.lock"
        self.note_path = runs / f".{job}.json"
        self.pid_path = runs / f".{job}.pid"
        self.making_path = runs / f".{job}.making"

    @contextlib.contextmanager
    def locked(self, patience_s: float, go_on: Callable[[], bool] = lambda: True) -> Iterator[int]:
        """Alone in the folder; gives the lock's file descriptor. What an earlier worker left running is ended first.

        FolderBusy when another one stays in it for so long, or `go_on` says no.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.lock_path.open("a") as file:
            until = time.monotonic() + patience_s
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    kill_leftover(self.pid_path)
                    if time.monotonic() > until or not go_on():
                        raise FolderBusy(
                            f"Another process on this machine still works in {self.path}. End it, or wait until it has "
                            "noticed that the job is no longer its own, and resume the job."
                        ) from None
                    time.sleep(0.2)
            yield file.fileno()

    def is_of(self, attempt: int) -> bool:
        """Whether that attempt was the last one to work here."""
        try:
            return bool(json.loads(self.note_path.read_text(encoding="utf-8"))["attempt"] == attempt)
        except (OSError, ValueError, KeyError):
            return False

    def note(self, attempt: int) -> None:
        """From now on this attempt works here."""
        fresh = self.note_path.with_suffix(".new")
        fresh.write_text(json.dumps({"attempt": attempt}), encoding="utf-8")
        os.replace(fresh, self.note_path)

    def remove(self) -> None:
        """Delete the folder and what stands beside it; the lock's file stays while somebody may hold it."""
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.rmtree(self.making_path, ignore_errors=True)
        for path in (self.note_path, self.pid_path):
            path.unlink(missing_ok=True)


def prepare(folder: RunFolder, job: Job, records: Records, store: Store) -> list[Event]:
    """Make the folder ready for this attempt of a training, and return events that the records do not have yet.

    Raises CharacterProblems, RunError, StoreError, RecordMissing, OSError.
    """
    if job.recipe is None or not job.version:
        raise RunError(f"job {job.id} has no recipe or no published character; send it again from the studio")
    if (folder.path / "run.json").is_file() and folder.is_of(job.attempt - 1):
        missing = unsent(folder.path, records, job.id)
    else:
        make(folder.path, job.character, job.version, Recipe.from_json(job.recipe), records, store)
        restore(folder.path, job.id, records, store)
        missing = []
    folder.note(job.attempt)
    return missing


def make(path: Path, character: str, version: int, recipe: Recipe, records: Records, store: Store) -> None:
    """A fresh run folder of a published character; takes the place of what was there, as a whole or not at all."""
    from pipelines.train import prepare_run

    published = records.characters.version(character, version)
    scratch = path.with_name(f".{path.name}.making")
    shutil.rmtree(scratch, ignore_errors=True)
    source = scratch / "character"
    source.mkdir(parents=True)
    fetch_files(store, published.images, source / IMAGES)
    fetch_files(store, published.test_images, source / TEST_IMAGES)
    if published.test_entries is not None:
        (source / TEST_FILE).write_bytes(write_yaml(published.test_entries, TEST_FILE))
    (source / CHARACTER_FILE).write_bytes(write_yaml(published.entries, CHARACTER_FILE))
    prepare_run(scratch / "run", source, recipe)
    shutil.rmtree(path, ignore_errors=True)
    os.replace(scratch / "run", path)
    shutil.rmtree(scratch, ignore_errors=True)


def restore(path: Path, job: str, records: Records, store: Store) -> None:
    """Bring back the events and all kept checkpoints of a job, so that its trainer goes on after the last one."""
    with (path / "events.jsonl").open("w", encoding="utf-8") as file:
        last = -1
        while events := records.events.after(job, last, EVENTS_AT_ONCE):
            last = events[-1].sequence
            file.writelines(event.to_line() for event in events)
    for checkpoint in records.checkpoints.of_job(job):
        if checkpoint.files:
            fetch_files(store, checkpoint.files, path / CHECKPOINTS / checkpoint.name)


def unsent(path: Path, records: Records, job: str) -> list[Event]:
    """Events that an earlier attempt wrote to its file but could not hand on before it was killed."""
    known: set[Any] = set()
    last = -1
    while events := records.events.after(job, last, EVENTS_AT_ONCE):
        last = events[-1].sequence
        known |= {event.time for event in events}  # of microseconds, so no two are equal
    return [event for event in read_events(path) if event.time not in known]


def tidy(runs: Path, records: Records) -> list[str]:
    """Delete the run folders of jobs that are gone, or ended long ago; returns their ids. Others are left alone."""
    gone = []
    for job in sorted({path.name[1:].partition(".")[0] for path in runs.glob(".*.*")}):
        folder = RunFolder(runs, job)
        with contextlib.suppress(FolderBusy, OSError):
            newest = max((path.stat().st_mtime for path in runs.glob(f".{job}.*")), default=time.time())
            unused_s = time.time() - newest
            if unused_s > DAY_S and unused_s > _stays_s(records, job):
                with folder.locked(0.0):
                    folder.remove()
                    folder.lock_path.unlink(missing_ok=True)
                gone.append(job)
    return gone


def _stays_s(records: Records, id: str) -> float:
    try:
        return KEPT_S if records.jobs.get(id).status in ENDED else float("inf")
    except RecordMissing:
        return DAY_S
