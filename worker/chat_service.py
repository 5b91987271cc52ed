"""The reply process: one base model in memory, adapters by recent use, replies streamed as events.

A reply job's request is a `ReplyRequest` (`pipelines/core/jobs/reply_protocol.py`), `{"task": "warm", "checkpoints":
[...], "base": ...}` to load adapter and persona, or the starter, before somebody writes, or one of those in
`drawings.py` and `suggestions.py`. The base model is loaded by the first job that needs it and stays until a job needs
another one. Adapters are fetched from the object store into a cache on disk, which keeps the most recently used.
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

from pipelines.core.character.character import Character
from pipelines.core.character.references import ranked_references
from pipelines.core.durable import replace_durably
from pipelines.core.events import Event
from pipelines.core.jobs.draw_protocol import DRAW_TASK, PROMPT_TASK
from pipelines.core.jobs.job import ChatMessage, Job, RecordMissing
from pipelines.core.jobs.model_specs import STARTER_PRESETS
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.jobs.reply_protocol import (
    SIDES,
    ReplyRequest,
    done_event,
    picture_event,
    scene_event,
    text_event,
)
from pipelines.core.model_identity import why_refused
from pipelines.core.run_folder import ADAPTER_FILES, BASE, RunError, loadable_files, read_json
from pipelines.core.storage.store import fetch_files, put_content
from worker.capacity import refusal_reason
from worker.drawings import run_drawings, run_prompts
from worker.event_forwarder import EventForwarder
from worker.lease import Lease
from worker.outcome import JobOutcome
from worker.run_folders import read_version
from worker.suggestions import cached_picture, run_captions, run_expansion
from worker.worker_context import WorkerContext

PIECES_S = 0.1
"""Least seconds between two events with text; the first one is sent at once."""
CACHED_ADAPTERS = 64
"""Adapter folders kept in the cache on disk."""

logger = logging.getLogger("understudy.worker")


@dataclass(frozen=True)
class LoadedCheckpoint:
    """One checkpoint that replies."""

    base: str
    character: Character
    recipe: Recipe
    name: str
    """Name of its adapter in the inference engine."""
    folder: Path | None
    """Where the adapter lies; None for the base."""
    references: tuple[Path, ...] = ()
    """Pictures of the character for the base to look at; an adapter brings its own."""


@dataclass
class ModelHolder:
    """What the reply process keeps in memory between jobs."""

    base: str = ""
    engine: Any = None
    beside: Any = None
    """The starter, where `engine` is a larger base."""
    characters: dict[tuple[str, int], Character] = field(default_factory=dict)

    def open(self, context: WorkerContext, base: str) -> Any:
        """The `InferenceEngine` of this base, loaded when it is not the present one; RunError when it cannot fit."""
        if self.base != base:
            from pipelines.inference.engine import InferenceEngine

            self.base, self.engine, self.beside = "", None, None  # free the present model before the next one is loaded
            refusal = refusal_reason(base, True, context.settings)
            if refusal:
                raise RunError(refusal)
            self.engine = InferenceEngine(base)
            self.base = base
        return self.engine

    def has_starter(self, preset: str) -> bool:
        """Whether `open_starter` would answer at once."""
        return self.beside is not None or self.base in STARTER_PRESETS & {preset}

    def open_starter(self, context: WorkerContext, preset: str) -> Any:
        """The engine of the starter (or its toy); a larger base that is loaded stays, since it takes long to load."""
        if not self.base or self.base in STARTER_PRESETS:
            return self.open(context, preset)
        if self.beside is None:
            from pipelines.inference.engine import InferenceEngine

            self.beside = InferenceEngine(preset)
        return self.beside

    def character(self, context: WorkerContext, id: str, version: int) -> Character:
        """A published version of a character."""
        if (id, version) not in self.characters:
            self.characters[id, version], _ = read_version(context.records.characters.version(id, version))
        return self.characters[id, version]


_MODEL_HOLDER = ModelHolder()
"""One in each process, since a model takes gigabytes; the process runs one job at a time."""


def run_reply(context: WorkerContext, job: Job, lease: Lease, holder: ModelHolder = _MODEL_HOLDER) -> JobOutcome | None:
    """Do a job of the queue `reply`. None: another worker's by now, or back to the queue since this one shuts down."""
    task = job.request.get("task", "reply")
    forwarder = EventForwarder(context.records, job.id, job.attempt)
    if job.attempt > 1:  # readers drop the text of an earlier attempt when they meet this event
        context.records.events.note(job.id, job.attempt, Event("prepare", note=f"attempt {job.attempt}"))
    if task == "captions":
        return run_captions(context, job, lease, forwarder, holder.open_starter, holder.has_starter)
    if task == "expand":
        return run_expansion(context, job, lease, forwarder)
    if task == DRAW_TASK:
        return run_drawings(context, job, lease, forwarder, holder.open_starter, holder.has_starter)
    if task == PROMPT_TASK:

        def open_checkpoint(name: str) -> tuple[Any, LoadedCheckpoint]:
            [checkpoint] = _load_checkpoints(context, [name], holder)
            return holder.open(context, checkpoint.base), checkpoint

        return run_prompts(context, job, lease, forwarder, open_checkpoint)
    if task == "warm":
        if job.request.get("base") in STARTER_PRESETS:
            holder.open_starter(context, job.request["base"])
        for checkpoint in _load_checkpoints(context, job.request.get("checkpoints", []), holder):
            holder.open(context, checkpoint.base).warm(checkpoint.name, checkpoint.character)
        return JobOutcome("succeeded")
    if task != "reply":
        raise RunError(f"this worker does not know the task {task!r}: studio and worker differ in version")
    return _Reply(context, job, lease, forwarder).run(holder)


def _load_checkpoints(context: WorkerContext, names: Sequence[str], holder: ModelHolder) -> list[LoadedCheckpoint]:
    """The checkpoints, their adapters on this machine's disk and being read into memory in the background."""
    loaded = []
    for reference in names:
        id, _, name = reference.partition(":")
        job = context.records.jobs.get(id)
        if job.recipe is None:
            raise RunError(f"job {id} is no training, so it has no checkpoint {name}")
        recipe = Recipe.from_json(job.recipe)
        character = holder.character(context, job.character, job.version)
        folder, key = None, BASE
        if name != BASE:
            folder = _fetch_adapter(context, id, name)
            key = folder.name
        loaded.append(LoadedCheckpoint(recipe.base, character, recipe, key, folder))
    bases = {checkpoint.base for checkpoint in loaded}
    if len(bases) > 1:
        raise RunError(
            f"these checkpoints are of different base models ({', '.join(sorted(bases))}): they cannot answer together"
        )
    ready = []
    for checkpoint, reference in zip(loaded, names, strict=True):
        engine = holder.open(context, checkpoint.base)
        if checkpoint.folder is None:
            job = context.records.jobs.get(reference.partition(":")[0])
            found = _references(context, job, checkpoint.character, engine.model.spec.max_references)
            checkpoint = replace(checkpoint, references=found)
        elif checkpoint.name not in engine.names():
            why = why_refused(read_json(checkpoint.folder / "adapter_config.json"), engine.model.identity)
            if why:
                raise RunError(f"This state of {checkpoint.character.name} {why}.")
            engine.prepare(checkpoint.name, checkpoint.folder)
        ready.append(checkpoint)
    return ready


def _references(context: WorkerContext, job: Job, character: Character, count: int) -> tuple[Path, ...]:
    """The best `count` pictures of the character that this job learnt, in the cache; fewer where some are gone."""
    images = context.records.characters.version(job.character, job.version).images
    there = [name for name in ranked_references(character) if name in images]
    return tuple(cached_picture(context, images[name]) for name in there[:count])


def _fetch_adapter(context: WorkerContext, job: str, name: str) -> Path:
    """The adapter's folder in the cache, named after its content; fetched when it is not there."""
    files = context.records.checkpoints.get(job, name).files
    wanted = loadable_files(files)
    if not set(ADAPTER_FILES) <= set(wanted):
        raise RunError(f"checkpoint {name} of job {job} has no adapter")
    digest = hashlib.sha256("".join(sorted(wanted.values())).encode()).hexdigest()[:24]
    cache = context.settings.cache_folder / "adapters"
    folder = cache / digest
    if not folder.is_dir():
        making = cache / f".{digest}-{os.getpid()}"
        fetch_files(context.store, wanted, making)
        if not folder.is_dir():
            replace_durably(making, folder)
        shutil.rmtree(making, ignore_errors=True)
    os.utime(folder)
    by_use = sorted((path for path in cache.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for old in by_use[:-CACHED_ADAPTERS]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


class _Reply:
    """One reply job: from the request to the last event."""

    def __init__(self, context: WorkerContext, job: Job, lease: Lease, forwarder: EventForwarder) -> None:
        self._context, self._job, self._lease, self._forwarder = context, job, lease, forwarder
        self._request = ReplyRequest.from_json(job.request)
        self._sides = len(self._request.checkpoints)
        self._pieces: dict[int, str] = {}
        self._sent = self._sequence = 0
        self._began = self._flushed = time.monotonic()
        self._messages: list[ChatMessage] = []

    def run(self, holder: ModelHolder) -> JobOutcome | None:
        """Reply; None when another worker has the job or this one shuts down before the end."""
        from pipelines.inference.generate import REPETITION_PENALTY, sampling_of

        loaded = _load_checkpoints(self._context, self._request.checkpoints, holder)
        engine = holder.open(self._context, loaded[0].base)
        sampling = sampling_of(loaded[0].recipe, REPETITION_PENALTY)
        parts = engine.replies(self._generation_requests(loaded), sampling=sampling, best_of=self._request.best_of)
        try:
            for part in parts:
                self._handle(part)
                if self._lease.cancel or self._lease.lost or self._forwarder.lost or self._context.stopping.is_set():
                    break
        finally:
            parts.close()  # a generator: closing it ends the sampling
        if self._lease.lost or self._forwarder.lost:
            return None
        if len(self._messages) < self._sides:
            return JobOutcome("stopped") if self._lease.cancel else None
        self._forwarder.finish(lambda: not self._lease.lost)
        self._keep_messages()
        return JobOutcome("succeeded")

    def _generation_requests(self, loaded: Sequence[LoadedCheckpoint]) -> list[Any]:
        from pipelines.inference.generate import GenerationRequest

        request, images = self._request, self._user_images()
        begun = request.begun.text if request.begun else ""
        histories = [tuple(turn.message_for(side) for turn in request.history) for side in SIDES]
        return [
            GenerationRequest(
                checkpoint.character,
                history,
                checkpoint.name,
                request.seed,
                "never" if begun else request.picture,
                images,
                checkpoint.references,
                begun,
                request.strength,
            )
            for checkpoint, history in zip(loaded, histories, strict=False)
        ]

    def _user_images(self) -> dict[str, Path]:
        """The user's pictures in the cache, by object key."""
        keys = {turn.picture for turn in self._request.history if turn.picture and turn.role == "user"}
        return {key: cached_picture(self._context, key) for key in keys}

    def _handle(self, part: Any) -> None:
        from pipelines.inference.streaming import ReplyDone, SceneReady, TextPiece

        if isinstance(part, TextPiece):
            self._pieces[part.side] = self._pieces.get(part.side, "") + part.text
            if not self._sent or time.monotonic() - self._flushed > PIECES_S:
                self._flush()
        elif isinstance(part, SceneReady):
            self._flush()
            self._send(scene_event(part.side, self._sides, part.text, self._scene(part.scene), self._seconds))
        elif isinstance(part, ReplyDone):
            key = self._request.begun.picture if self._request.begun else ""
            if part.reply.picture is not None:
                png = io.BytesIO()
                part.reply.picture.save(png, "PNG")
                key = put_content(self._context.store, png.getvalue(), "pictures", ".png")
            if key:
                self._send(picture_event(part.side, self._sides, key, self._seconds))
            self._messages.append(
                ChatMessage(
                    f"{self._job.id}-{part.side}",
                    self._request.conversation,
                    self._request.number,
                    "character",
                    SIDES[part.side],
                    part.reply.text,
                    self._scene(part.reply.scene),
                    key,
                    self._request.seed,
                    self._job.id,
                )
            )
            self._send(done_event(part.side, self._sides, self._seconds))

    def _scene(self, sampled: str) -> str:
        """A reply that is continued keeps its scene, as it keeps its picture."""
        return self._request.begun.scene if self._request.begun else sampled

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
        self._forwarder.send(numbered)

    def _keep_messages(self) -> None:
        """Into the conversation, both sides under one number."""
        if not self._request.conversation:
            return
        number = self._request.number
        for item in sorted(self._messages, key=lambda item: item.id):
            try:
                number = self._context.records.chats.add_message(replace(item, number=number)).number
            except RecordMissing as error:  # the conversation was deleted while it was answered
                logger.warning("%s", error)
                return
