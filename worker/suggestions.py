"""Suggestions for a character that is being made: captions for its pictures, and more conversations.

`{"task": "captions", "pictures": [KEY, ...], "base": ...}` has the starter look at pictures: captions, and what may be
wrong with them; `{"task": "expand", "entries": ..., "test": ..., "wanted": N}` asks the endpoint in UNDERSTUDY_LLM_URL.
Both are jobs of the queue `reply`, since somebody is waiting for them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.core.character.serialize import character_from_entries, split_from_entries
from pipelines.core.jobs.job import Job
from pipelines.core.jobs.model_specs import STARTER_PRESETS
from pipelines.core.jobs.reply_protocol import caption_event, conversations_event, loading_event
from pipelines.core.problems import Problem
from pipelines.core.storage.store import fetch_files
from worker.event_forwarder import EventForwarder
from worker.lease import Lease
from worker.outcome import JobOutcome
from worker.worker_context import WorkerContext

OpenStarter = Callable[[WorkerContext, str], Any]
"""(context, preset) -> the `InferenceEngine` of the starter or its toy, kept in memory between jobs."""
HasStarter = Callable[[str], bool]
"""Whether that one is in memory already."""
NOTED_S = 24 * 3600.0
"""A use is noted as the file's time, but at most so often: by it the inference engine knows a file again."""
CACHED_S = 7 * NOTED_S
"""How long a cached copy stays after its last use; a picture that was deleted is gone here by then too."""


def cached_picture(context: WorkerContext, key: str) -> Path:
    """A stored picture as a file in the cache; cached pictures that were not used for a week are deleted."""
    path = context.settings.cache_folder / key
    if not path.is_file():
        fetch_files(context.store, {path.name: key}, path.parent)
        limit = time.time() - CACHED_S
        for old in (context.settings.cache_folder / "pictures").glob("*/*"):
            with contextlib.suppress(FileNotFoundError):  # another process of this machine tidies too
                if old.stat().st_mtime < limit:
                    old.unlink()
    if time.time() - path.stat().st_mtime > NOTED_S:
        os.utime(path)
    return path


def run_captions(
    context: WorkerContext,
    job: Job,
    lease: Lease,
    forwarder: EventForwarder,
    open_starter: OpenStarter,
    has_starter: HasStarter,
) -> JobOutcome | None:
    """Look at pictures, one event each. None: another worker's by now, or back to the queue."""
    keys = [str(key) for key in job.request.get("pictures", [])]
    began = time.monotonic()
    base = str(job.request.get("base", "starter"))
    # The questions are those of the starter's vision tower; another base is not asked.
    preset = base if base in STARTER_PRESETS else "starter"
    first = 0 if has_starter(preset) else 1  # what an event's sequence begins at
    if first:
        forwarder.send([loading_event()])
    engine = open_starter(context, preset)
    for number, key in enumerate(keys):
        suggestion = engine.read_image(cached_picture(context, key)).suggestion(key)
        forwarder.send(
            [replace(caption_event(number, len(keys), suggestion, time.monotonic() - began), sequence=first + number)]
        )
        if lease.lost or forwarder.lost:
            return None
        if lease.cancel:
            return JobOutcome("stopped")
        if context.stopping.is_set():
            return None
    return JobOutcome("succeeded") if forwarder.finish(lambda: not lease.lost) else None


def run_expansion(context: WorkerContext, job: Job, lease: Lease, forwarder: EventForwarder) -> JobOutcome | None:
    """Ask the endpoint for more conversations like those of the draft; fails with its reason when it refuses."""
    from pipelines.data.synthesize import SynthesizeError, synthesize

    problems: list[Problem] = []  # a draft may have gaps; what cannot be read is left out
    character = character_from_entries(job.request.get("entries", {}), problems)
    test = job.request.get("test")
    split = split_from_entries(test, problems) if test else None
    began = time.monotonic()
    try:
        found = synthesize(character, split, int(job.request.get("wanted", 10)), context.settings)
    except SynthesizeError as error:
        return JobOutcome("failed", str(error))
    forwarder.send([conversations_event(found.interactions, time.monotonic() - began)])
    return JobOutcome("succeeded") if forwarder.finish(lambda: not lease.lost) else None
