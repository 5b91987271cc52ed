"""Drawings of a draft: how the base model sees a character before any training, and its pictures rebuilt.

`{"task": "draw", ...}` (`pipelines/core/jobs/draw_protocol.py`) is a job of the queue `reply`, since somebody waits at
the wizard. The drawings come first, all in one batch; then each uploaded picture as the image tokenizer gives it back.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.core.character.character import Character
from pipelines.core.character.references import ranked_references
from pipelines.core.character.serialize import character_from_entries
from pipelines.core.events import Event
from pipelines.core.jobs.draw_protocol import (
    DrawRequest,
    PromptRequest,
    drawing_event,
    progress_event,
    rebuilt_event,
    style_event,
)
from pipelines.core.jobs.job import Job
from pipelines.core.jobs.model_specs import STARTER_PRESETS
from pipelines.core.jobs.reply_protocol import loading_event
from pipelines.core.problems import Problem
from pipelines.core.run_folder import BASE, RunError
from pipelines.core.storage.store import put_content
from worker.event_forwarder import EventForwarder
from worker.lease import Lease
from worker.outcome import JobOutcome
from worker.suggestions import HasStarter, OpenStarter, cached_picture
from worker.worker_context import WorkerContext

PROGRESS_S = 0.5
"""Least seconds between two events that only say how far the drawings are."""


OpenCheckpoint = Callable[[str], tuple[Any, Any]]
"""`JOB:NAME` -> the `InferenceEngine` that has the checkpoint in memory, and its `LoadedCheckpoint`."""


class _Ended(Exception):
    """Raised while the model draws: nobody wants it any more, or this worker must not go on."""


def run_drawings(
    context: WorkerContext,
    job: Job,
    lease: Lease,
    forwarder: EventForwarder,
    open_starter: OpenStarter,
    has_starter: HasStarter,
) -> JobOutcome | None:
    """Draw, then rebuild. None: another worker's by now, or back to the queue since this one shuts down."""
    request = DrawRequest.from_json(job.request)
    drawing = _Drawing(context, lease, forwarder)
    return drawing.ended(lambda: drawing.draft(request, open_starter, has_starter))


def run_prompts(
    context: WorkerContext, job: Job, lease: Lease, forwarder: EventForwarder, open_checkpoint: OpenCheckpoint
) -> JobOutcome | None:
    """Draw somebody's own prompts with a checkpoint; returns like `run_drawings`."""
    request = PromptRequest.from_json(job.request)
    drawing = _Drawing(context, lease, forwarder)
    return drawing.ended(lambda: drawing.prompts(request, open_checkpoint))


class _Drawing:
    """One job's drawings."""

    def __init__(self, context: WorkerContext, lease: Lease, forwarder: EventForwarder) -> None:
        self._context, self._lease, self._forwarder = context, lease, forwarder
        self._began = time.monotonic()
        self._sequence = self._steps = 0
        self._told = 0.0

    def ended(self, work: Callable[[], None]) -> JobOutcome | None:
        """Do the work, and say how the job ended."""
        try:
            work()
        except _Ended:
            return JobOutcome("stopped") if self._lease.cancel else None
        return JobOutcome("succeeded") if self._forwarder.finish(lambda: not self._lease.lost) else None

    def prompts(self, request: PromptRequest, open_checkpoint: OpenCheckpoint) -> None:
        """A picture for each prompt; RunError for a prompt that is too long, _Ended as soon as it must not go on."""
        from pipelines.inference.generate import sampling_of

        engine, checkpoint = open_checkpoint(request.checkpoint)
        self._check()
        try:
            pictures = engine.draw(
                checkpoint.name,
                checkpoint.character,
                request.looks,
                references=checkpoint.references,
                seed=request.seed,
                sampling=sampling_of(checkpoint.recipe),
                best_of=request.best_of,
                on_step=lambda: self._step(engine.model.spec.drawing_steps),
            )
        except ValueError as error:
            raise RunError(str(error)) from error
        for number, (look, picture) in enumerate(zip(request.looks, pictures, strict=True)):
            self._send(drawing_event(number, len(pictures), look, self._kept(picture), self._seconds))

    def draft(self, request: DrawRequest, open_starter: OpenStarter, has_starter: HasStarter) -> None:
        """All of a draft's drawings; raises _Ended as soon as it must not go on."""
        problems: list[Problem] = []  # a draft may have gaps; what cannot be read is left out
        character = character_from_entries(request.entries, problems)
        if not request.pictures and not character.appearance.strip():
            raise RunError("There is nothing to draw from: put a picture in, or say what the character looks like.")
        files = {file: cached_picture(self._context, key) for file, key in request.pictures.items()}
        # Only the starter reads reference pictures; another base would draw somebody else.
        preset = request.base if request.base in STARTER_PRESETS else "starter"
        if not has_starter(preset):
            self._send(loading_event())
        engine = open_starter(self._context, preset)
        self._check()
        if not request.base.endswith("-toy"):  # random weights know no art
            self._tell_style(engine, character, files)
        pictures = engine.draw(
            BASE,
            character,
            request.looks,
            references=[files[file] for file in ranked_references(character) if file in files],
            seed=request.seed,
            on_step=lambda: self._step(engine.model.spec.drawing_steps),
        )
        for number, (look, picture) in enumerate(zip(request.looks, pictures, strict=True)):
            self._send(drawing_event(number, len(pictures), look, self._kept(picture), self._seconds))
        for number, (file, key) in enumerate(request.pictures.items()):
            self._check()
            rebuilt = self._kept(engine.rebuild(files[file]))
            self._send(rebuilt_event(number, len(files), key, rebuilt, self._seconds))

    def _tell_style(self, engine: Any, character: Character, files: Mapping[str, Path]) -> None:
        """Said before the drawings come, since they show somebody else where the art is foreign."""
        from pipelines.inference.style_loss import style_loss

        loss = style_loss(engine, character, files)
        self._check()
        if loss is not None:
            self._send(style_event(loss))

    @property
    def _seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)

    def _check(self) -> None:
        if self._lease.lost or self._forwarder.lost or self._lease.cancel or self._context.stopping.is_set():
            raise _Ended

    def _step(self, total: int) -> None:
        self._check()
        self._steps += 1
        if time.monotonic() - self._told > PROGRESS_S:
            self._told = time.monotonic()
            self._send(progress_event(round(self._steps / total, 3)))

    def _send(self, event: Event) -> None:
        self._forwarder.send([replace(event, sequence=self._sequence)])
        self._sequence += 1

    def _kept(self, picture: Any) -> str:
        png = io.BytesIO()
        picture.save(png, "PNG")
        return put_content(self._context.store, png.getvalue(), "pictures", ".png")
