"""The reply process: one base model in memory, adapters by recent use, answers told piece by piece as events.

A reply job's request is a `ReplyRequest` (`pipelines/core/jobs/reply_protocol.py`), `{"task": "warm", "checkpoints": [...]}`
to have adapter and persona read before somebody writes, or one of those in `suggestions.py`. The base model is
loaded by the first job that needs it and stays; another one takes its place. Adapters are fetched from the object
store into the cache, which keeps those used last.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.core.character.character import Character, Interaction, message
from pipelines.core.character.serialize import character_from_entries
from pipelines.core.events import Event
from pipelines.core.jobs.job import ChatMessage, Job, RecordMissing
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.jobs.reply_protocol import (
    ReplyRequest,
    done_event,
    picture_event,
    scene_event,
    text_event,
)
from pipelines.core.problems import CharacterProblems, Problem, errors
from pipelines.core.run_folder import ADAPTER_FILES, BASE, RunError
from pipelines.core.storage.store import fetch_files, put_content
from worker.capacity import refusal_reason
from worker.event_forwarder import EventForwarder
from worker.lease import Lease
from worker.outcome import JobOutcome
from worker.suggestions import cached_picture, run_captions, run_expansion
from worker.worker_context import WorkerContext

PIECES_S = 0.1
"""Words are handed on at most so often, the first ones at once."""
CACHED_ADAPTERS = 64
"""Adapter folders kept in the cache."""

logger = logging.getLogger("understudy.worker")


@dataclass(frozen=True)
class LoadedCheckpoint:
    """One checkpoint that answers."""

    base: str
    character: Character
    recipe: Recipe
    name: str
    """As the speakers know its adapter."""
    folder: Path | None
    """Where the adapter lies; None for the base."""


@dataclass
class ModelHolder:
    """What the reply process keeps in memory between jobs."""

    base: str = ""
    speakers: Any = None
    characters: dict[tuple[str, int], Character] = field(default_factory=dict)

    def open(self, station: WorkerContext, base: str) -> Any:
        """The `pipelines.inference.engine.InferenceEngine` of this base; loaded when not there. RunError when it cannot fit."""
        if self.base != base:
            from pipelines.inference.engine import InferenceEngine

            self.base, self.speakers = "", None  # the old one's memory first
            refusal = refusal_reason(base, True, station.settings.home)
            if refusal:
                raise RunError(refusal)
            self.speakers = InferenceEngine(base)
            self.base = base
        return self.speakers

    def character(self, station: WorkerContext, id: str, version: int) -> Character:
        """A published version as the model is told it."""
        if (id, version) not in self.characters:
            problems: list[Problem] = []
            found = character_from_entries(station.records.characters.version(id, version).entries, problems)
            if errors(problems):
                raise CharacterProblems(problems)
            self.characters[id, version] = found
        return self.characters[id, version]


_MODEL_HOLDER = ModelHolder()
"""One in each process, since a model takes gigabytes; the process runs one job at a time."""


def run_reply(station: WorkerContext, job: Job, lease: Lease, booth: ModelHolder = _MODEL_HOLDER) -> JobOutcome | None:
    """Do a job of the queue `reply`. None: not ours any more, or back to the queue since this worker shuts down."""
    task = job.request.get("task", "reply")
    relay = EventForwarder(station.records, job.id, job.attempt)
    if job.attempt > 1:  # what an earlier attempt said is not to be put before this one's words
        station.records.events.note(job.id, job.attempt, Event("prepare", note=f"attempt {job.attempt}"))
    if task == "captions":
        return run_captions(station, job, lease, relay)
    if task == "expand":
        return run_expansion(station, job, lease, relay)
    if task == "warm":
        for seat in _seats(station, job.request.get("checkpoints", []), booth):
            booth.open(station, seat.base).warm(seat.name, seat.character)
        return JobOutcome("succeeded")
    if task != "reply":
        raise RunError(f"this worker does not know the task {task!r}: studio and worker differ in version")
    return _Reply(station, job, lease, relay).run(booth)


def _seats(station: WorkerContext, names: Sequence[str], booth: ModelHolder) -> list[LoadedCheckpoint]:
    """The checkpoints, their adapters on this machine's disk and on their way into memory."""
    seats = []
    for reference in names:
        id, _, name = reference.partition(":")
        job = station.records.jobs.get(id)
        if job.recipe is None:
            raise RunError(f"job {id} is no training, so it has no checkpoint {name}")
        recipe = Recipe.from_json(job.recipe)
        character = booth.character(station, job.character, job.version)
        folder, key = None, BASE
        if name != BASE:
            folder = _fetched(station, id, name)
            key = folder.name
        seats.append(LoadedCheckpoint(recipe.base, character, recipe, key, folder))
    bases = {seat.base for seat in seats}
    if len(bases) > 1:
        raise RunError(
            f"these checkpoints are of different base models ({', '.join(sorted(bases))}): they cannot answer together"
        )
    for seat in seats:
        speakers = booth.open(station, seat.base)
        if seat.folder is not None and seat.name not in speakers.names():
            speakers.prepare(seat.name, seat.folder)
    return seats


def _fetched(station: WorkerContext, job: str, name: str) -> Path:
    """The adapter's folder in the cache, named after its content; fetched when it is not there."""
    files = station.records.checkpoints.get(job, name).files
    wanted = {file: files[file] for file in ADAPTER_FILES if file in files}
    if len(wanted) < len(ADAPTER_FILES):
        raise RunError(f"checkpoint {name} of job {job} has no adapter")
    digest = hashlib.sha256("".join(sorted(wanted.values())).encode()).hexdigest()[:24]
    cache = station.settings.cache_folder / "adapters"
    folder = cache / digest
    if not folder.is_dir():
        making = cache / f".{digest}-{os.getpid()}"
        fetch_files(station.store, wanted, making)
        if not folder.is_dir():
            os.replace(making, folder)
        shutil.rmtree(making, ignore_errors=True)
    os.utime(folder)
    by_use = sorted((path for path in cache.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for old in by_use[:-CACHED_ADAPTERS]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


class _Reply:
    """One reply job: from the request to the last event."""

    def __init__(self, station: WorkerContext, job: Job, lease: Lease, relay: EventForwarder) -> None:
        self._station, self._job, self._lease, self._relay = station, job, lease, relay
        self._request = ReplyRequest.from_json(job.request)
        self._sides = len(self._request.checkpoints)
        self._pieces: dict[int, str] = {}
        self._sent = self._sequence = 0
        self._began = self._flushed = time.monotonic()
        self._messages: list[ChatMessage] = []

    def run(self, booth: ModelHolder) -> JobOutcome | None:
        """Answer; None when somebody else has the job or this worker shuts down before the end."""
        from pipelines.inference.generate import REPETITION_PENALTY, Sampling

        seats = _seats(self._station, self._request.checkpoints, booth)
        speakers = booth.open(self._station, seats[0].base)
        sampling = Sampling.of(seats[0].recipe, REPETITION_PENALTY)
        parts = speakers.replies(self._asks(seats), sampling=sampling)
        try:
            for part in parts:
                self._tell(part)
                if self._lease.cancel or self._lease.lost or self._relay.lost or self._station.stopping.is_set():
                    break
        finally:
            parts.close()  # a generator: closing it ends the sampling
        if self._lease.lost or self._relay.lost:
            return None
        if len(self._messages) < self._sides:
            return JobOutcome("stopped") if self._lease.cancel else None
        self._relay.finish(lambda: not self._lease.lost)
        self._keep_messages()
        return JobOutcome("succeeded")

    def _asks(self, seats: Sequence[LoadedCheckpoint]) -> list[Any]:
        from pipelines.inference.generate import GenerationRequest

        request, shown = self._request, self._shown()
        histories = [self._history(side) for side in ("left", "right")]
        return [
            GenerationRequest(seat.character, history, seat.name, request.seed, request.picture, shown)
            for seat, history in zip(seats, histories, strict=False)
        ]

    def _history(self, side: str) -> Interaction:
        """The talk as one side remembers it: each hears only its own answers."""
        turns = []
        for line in self._request.history:
            said = {**line, **line.get(side, {})}
            pictures = [said["picture"]] if said.get("picture") and said["role"] == "user" else []
            turns.append(message(said["role"], said.get("text", ""), pictures, said.get("scene", "")))
        return tuple(turns)

    def _shown(self) -> dict[str, Path]:
        """The user's pictures in the cache, by object key."""
        keys = {line["picture"] for line in self._request.history if line.get("picture") and line["role"] == "user"}
        return {key: cached_picture(self._station, key) for key in keys}

    def _tell(self, part: Any) -> None:
        from pipelines.inference.streaming import ReplyDone, SceneReady, TextPiece

        if isinstance(part, TextPiece):
            self._pieces[part.side] = self._pieces.get(part.side, "") + part.text
            if not self._sent or time.monotonic() - self._flushed > PIECES_S:
                self._flush()
        elif isinstance(part, SceneReady):
            self._flush()
            self._send(scene_event(part.side, self._sides, part.text, part.scene, self._seconds))
        elif isinstance(part, ReplyDone):
            key = ""
            if part.reply.picture is not None:
                png = io.BytesIO()
                part.reply.picture.save(png, "PNG")
                key = put_content(self._station.store, png.getvalue(), "pictures", ".png")
                self._send(picture_event(part.side, self._sides, key, self._seconds))
            self._messages.append(
                ChatMessage(
                    f"{self._job.id}-{part.side}",
                    self._request.conversation,
                    self._request.number,
                    "character",
                    "" if self._sides == 1 else "left" if part.side == 0 else "right",
                    part.reply.text,
                    part.reply.scene,
                    key,
                    self._request.seed,
                    self._job.id,
                )
            )
            self._send(done_event(part.side, self._sides, self._seconds))

    @property
    def _seconds(self) -> float:
        return round(time.monotonic() - self._began, 4)

    def _flush(self) -> None:
        events = [text_event(side, self._sides, text, self._seconds) for side, text in sorted(self._pieces.items())]
        self._pieces = {}
        self._send(*events)
        self._sent += len(events)
        self._flushed = time.monotonic()

    def _send(self, *events: Event) -> None:
        numbered = [replace(event, sequence=self._sequence + i) for i, event in enumerate(events)]
        self._sequence += len(numbered)
        self._relay.send(numbered)

    def _keep_messages(self) -> None:
        """Into the conversation, both sides under one number."""
        if not self._request.conversation:
            return
        number = self._request.number
        for item in sorted(self._messages, key=lambda item: item.id):
            try:
                number = self._station.records.chats.add_message(replace(item, number=number)).number
            except RecordMissing as error:  # the conversation was deleted while it was answered
                logger.warning("%s", error)
                return
