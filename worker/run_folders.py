"""The run folder of a job on this machine: made from the published character, or restored from what was kept.

    HOME/runs/JOB/          the run folder                     HOME/runs/.JOB.lock    held while any process works in it
    HOME/runs/.JOB.json     the last attempt that worked here   HOME/runs/.JOB.pid     the trainer's process group
    HOME/runs/.JOB.making   being made; renamed when it is complete

A folder that the previous attempt left is used as it is. When the job ran on another host in between, or never here,
the folder is made anew and its checkpoints and events come from the object store and the records.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipelines.core.character.character import Character, TestSplit
from pipelines.core.character.serialize import character_from_entries, split_from_entries
from pipelines.core.durable import replace_durably
from pipelines.core.events import Event, Payload
from pipelines.core.jobs.job import ENDED, CharacterVersion, Job, RecordMissing
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.problems import CharacterProblems, Problem, errors
from pipelines.core.records import Records
from pipelines.core.run_folder import RunError, clear_exit, read_events, set_savings
from pipelines.core.storage.store import Store
from pipelines.core.storage.stored_images import fetch_images
from worker.local_checkpoints import Mended, fetch_checkpoints, mend_checkpoints
from worker.trainer_process import kill_leftover_trainer

EVENTS_AT_ONCE = 5000
DAY_S = 24 * 3600.0
KEPT_S = 7 * DAY_S
"""How long a run folder stays after its job ended; everything is in the object store by then. When the job itself is
gone, since its character was deleted, the folder stays for `DAY_S`."""


class FolderBusy(RuntimeError):
    """Another process works in the run folder and does not leave it."""


class RunFolder:
    """Paths and lock of one job on this machine."""

    def __init__(self, runs: Path, job: str) -> None:
        self.path = runs / job
        self.lock_path = runs / f".{job}.lock"
        self.note_path = runs / f".{job}.json"
        self.pid_path = runs / f".{job}.pid"
        self.making_path = runs / f".{job}.making"

    @contextlib.contextmanager
    def locked(self, patience_s: float, keep_waiting: Callable[[], bool] = lambda: True) -> Iterator[int]:
        """Hold the folder's lock; yields its file descriptor. A trainer that an earlier worker left is ended first.

        FolderBusy when another process holds it for `patience_s`, or `keep_waiting` returns False.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.lock_path.open("a") as file:
            until = time.monotonic() + patience_s
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    kill_leftover_trainer(self.pid_path)
                    if time.monotonic() > until or not keep_waiting():
                        raise FolderBusy(
                            f"Another process on this machine still works in {self.path}. End it, or wait until it has "
                            "noticed that the job is no longer its own, and resume the job."
                        ) from None
                    time.sleep(0.2)
            yield file.fileno()

    def last_attempt_was(self, *attempts: int) -> bool:
        """Whether one of these attempts was the last one to work here."""
        try:
            return bool(json.loads(self.note_path.read_text(encoding="utf-8"))["attempt"] in attempts)
        except (OSError, ValueError, KeyError):
            return False

    def note_attempt(self, attempt: int) -> None:
        """Record that from now on this attempt works here."""
        fresh = self.note_path.with_suffix(".new")
        fresh.write_text(json.dumps({"attempt": attempt}), encoding="utf-8")
        replace_durably(fresh, self.note_path)

    def remove(self) -> None:
        """Delete the folder and the files beside it but the lock, which another process may hold."""
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.rmtree(self.making_path, ignore_errors=True)
        for path in (self.note_path, self.pid_path):
            path.unlink(missing_ok=True)


def prepare_folder(folder: RunFolder, job: Job, records: Records, store: Store) -> tuple[list[Event], Mended]:
    """Make the folder ready for this attempt of a training.

    Returns events that the records do not have yet, and what became of checkpoints that were damaged. Raises
    CharacterProblems, RunError, StoreError, RecordMissing, OSError.
    """
    if job.recipe is None or not job.version:
        raise RunError(f"job {job.id} has no recipe or no published character; send it again from the studio")
    if (folder.path / "run.json").is_file() and folder.last_attempt_was(job.attempt - 1, job.attempt):
        folder.note_attempt(job.attempt)  # at once: should this attempt end before it trains, the next goes on here
        missing = unsent_events(folder.path, records, job.id)
        mended = mend_checkpoints(folder.path, job.id, records, store)
    else:
        folder.note_path.unlink(missing_ok=True)  # what is half restored is nothing to go on in
        version = records.characters.version(job.character, job.version)
        make_run_folder(folder.path, version, Recipe.from_json(job.recipe), store)
        mended = restore_progress(folder.path, job.id, records, store)
        missing = []
    set_savings(folder.path, job.savings)
    clear_exit(folder.path)
    folder.note_attempt(job.attempt)
    return missing, mended


def note_mended(job: Job, records: Records, mended: Mended) -> None:
    """Tell whoever follows the job what became of damaged checkpoints."""
    again, over = list(mended.fetched_again), list(mended.stepped_over)
    if again or over:
        words = [f"fetched again: {', '.join(again)}"] * bool(again) + [f"stepped over: {', '.join(over)}"] * bool(over)
        said = Payload(attempt=job.attempt, fetched_again=again, stepped_over=over)
        records.events.note(job.id, job.attempt, Event("prepare", note=f"damaged, {'; '.join(words)}", payload=said))


def make_run_folder(path: Path, published: CharacterVersion, recipe: Recipe, store: Store) -> None:
    """Make the run folder of a published character; it replaces what was there, completely or not at all.

    Pictures come without metadata, whatever version of this program stored them; a clean one keeps its bytes.
    """
    from pipelines.train import write_run

    character, split = read_version(published)
    scratch = path.with_name(f".{path.name}.making")
    shutil.rmtree(scratch, ignore_errors=True)
    images, test_images, run_dir = scratch / "images", scratch / "test_images", scratch / "run"
    fetch_images(store, published.images, images)
    fetch_images(store, published.test_images, test_images)
    write_run(run_dir, character, split, recipe, images, test_images)
    shutil.rmtree(path, ignore_errors=True)
    replace_durably(run_dir, path)
    shutil.rmtree(scratch, ignore_errors=True)


def read_version(published: CharacterVersion) -> tuple[Character, TestSplit | None]:
    """The character and the held-out split of a published version; CharacterProblems when they cannot be read."""
    problems: list[Problem] = []
    character = character_from_entries(published.entries, problems)
    entries = published.test_entries
    split = None if entries is None else split_from_entries(entries, problems)
    if errors(problems):
        raise CharacterProblems(problems)
    return character, split


def restore_progress(path: Path, job: str, records: Records, store: Store) -> Mended:
    """Write the events and fetch all kept checkpoints of a job, so that its trainer resumes after the last one."""
    with (path / "events.jsonl").open("w", encoding="utf-8") as file:
        last = -1
        while events := records.events.after(job, last, EVENTS_AT_ONCE):
            last = events[-1].sequence
            file.writelines(event.to_line() for event in events)
    return fetch_checkpoints(path, job, records, store)


def unsent_events(path: Path, records: Records, job: str) -> list[Event]:
    """Events that an earlier attempt wrote to its file but that did not reach the records before it was killed."""
    known: set[Any] = set()
    last = -1
    while events := records.events.after(job, last, EVENTS_AT_ONCE):
        last = events[-1].sequence
        known |= {event.time for event in events}  # in microseconds: no two events of a run are equal
    return [event for event in read_events(path) if event.time not in known]


def remove_old_folders(runs: Path, records: Records) -> list[str]:
    """Delete the run folders of jobs that are gone, or ended long ago; returns their ids. Others are left alone."""
    gone = []
    for job in sorted({path.name[1:].partition(".")[0] for path in runs.glob(".*.*")}):
        folder = RunFolder(runs, job)
        with contextlib.suppress(FolderBusy, OSError):
            newest = max((path.stat().st_mtime for path in runs.glob(f".{job}.*")), default=time.time())
            unused_s = time.time() - newest
            if unused_s > DAY_S and unused_s > _kept_s(records, job):
                with folder.locked(0.0):
                    folder.remove()
                    folder.lock_path.unlink(missing_ok=True)
                gone.append(job)
    return gone


def _kept_s(records: Records, id: str) -> float:
    try:
        return KEPT_S if records.jobs.get(id).status in ENDED else float("inf")
    except RecordMissing:
        return DAY_S
