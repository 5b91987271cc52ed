"""Made-up trainings, checkpoints and replies in real records and a real store, for the tests of actions and pages."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.core.character.serialize import character_to_entries, split_to_entries
from pipelines.core.events import Event
from pipelines.core.jobs.job import CharacterVersion, Checkpoint, Job, Worker, new_id
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.jobs.reply_protocol import done_event, picture_event, scene_event, text_event
from pipelines.core.problems import Problem
from pipelines.core.queue.submit import submit_training
from pipelines.core.storage.store import put_content
from studio.actions import import_review
from studio.actions.characters import draft_of_folder
from studio.context import AppContext
from tests.toys import TOY_BASE, TOY_STEPS, toy, write_toy
from worker.job_loop import drain_queue
from worker.worker_context import WorkerContext

START = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
WORKER = "worker-1"
SCORES: dict[str, dict[str, float]] = {
    "base": {
        "general_perplexity": 15.6,
        "reply_perplexity": 100.0,
        "facts_accuracy": 0.25,
        "likeness": 0.1,
        "caption_match": 0.5,
        "reply_image_match": 0.1,
        "variety": 0.5,
        "training_image_similarity": 0.0,
    },
    "sft-000004": {
        "general_perplexity": 12.6,
        "reply_perplexity": 31.0,
        "facts_accuracy": 0.5,
        "likeness": 0.4,
        "caption_match": 0.5,
        "reply_image_match": 0.3,
        "variety": 0.4,
        "training_image_similarity": 0.1,
    },
    "grpo-000002": {
        "general_perplexity": 12.7,
        "reply_perplexity": 30.0,
        "facts_accuracy": 0.5,
        "likeness": 0.5,
        "caption_match": 0.6,
        "reply_image_match": 0.4,
        "variety": 0.3,
        "training_image_similarity": 0.1,
        "reward": 0.6,
    },
}


def jpeg(colour: str) -> bytes:
    """A small thumbnail."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(out, "JPEG")
    return out.getvalue()


CONSENT = {"statement": "I drew them.", "given_by": "Ann", "given_at": "2026-11-20T00:00:00.000000+00:00"}


def png(colour: str = "teal", px: int = 48) -> bytes:
    """A small picture of one colour."""
    out = io.BytesIO()
    Image.new("RGB", (px, px), colour).save(out, "PNG")
    return out.getvalue()


def published(context: AppContext, folder: Path, name: str = "Ada") -> str:
    """The toy character as a published version; returns the character's id."""
    write_toy(folder)
    character, split = toy()
    entries = character_to_entries(replace(character, name=name))
    images = {
        image.file: put_content(context.store, folder / "images" / image.file, "pictures", ".png")
        for image in character.images
    }
    tests = {
        image.file: put_content(context.store, folder / "test_images" / image.file, "pictures", ".png")
        for image in split.images
    }
    draft = {**draft_of_folder(context, folder), "name": name, "consent": {**CONSENT, "image_sha256": []}}
    draft["consent"]["image_sha256"] = sorted(entry["sha256"] for entry in draft["pictures"])
    row = context.records.characters.create(context.owner, draft)
    context.records.characters.publish(row.id, entries, split_to_entries(split), images, tests)
    return row.id


def queued(context: AppContext, character: str, **changes: Any) -> Job:
    """A training in the queue."""
    recipe = Recipe.for_effort(TOY_BASE, "quick", **{**TOY_STEPS, **changes})
    return context.records.jobs.add(Job(new_id(), "train", context.owner, character, 1, recipe=recipe.to_json()))


def claimed(context: AppContext, job: Job) -> Job:
    """The same job in a worker's hands."""
    found = context.records.jobs.claim(job.id, WORKER, 600)
    assert found is not None
    return found


def told(context: AppContext, job: Job, events: list[Event], seconds: float = 10.0) -> None:
    """The worker tells these events, one every so many seconds."""
    start = context.records.events.count(job.id)
    numbered = [
        replace(
            event,
            sequence=start + at,
            time=event.time or (START + (start + at) * timedelta(seconds=seconds)).isoformat(timespec="microseconds"),
        )
        for at, event in enumerate(events)
    ]
    context.records.events.append(job.id, job.attempt, numbered)


def run_events(sft: int = 4, grpo: int = 2, evaluated: tuple[str, ...] = ()) -> list[Event]:
    """A run as far as these steps of the toy recipe."""
    events = [Event("prepare", note="reading the character and the model")]
    events += [Event("sft", at, 4, {"loss": 7.0 - at, "seconds": 10.0, "tokens": 100}) for at in range(1, sft + 1)]
    events += [
        Event("grpo", at, 2, {"reward": 0.4 + at / 10, "likeness": 0.3, "reply": 0.5, "variety": 0.2, "seconds": 10.0})
        for at in range(1, grpo + 1)
    ]
    events += [
        Event("evaluate", at, 3, SCORES[name], name, payload={"checkpoint": name})
        for at, name in enumerate(evaluated, start=1)
    ]
    return events


def checkpoint(context: AppContext, job: Job, name: str) -> Checkpoint:
    """A measured checkpoint with its bytes; the base has no adapter."""
    return context.records.checkpoints.put(unkept_checkpoint(context, job, name))


def unkept_checkpoint(context: AppContext, job: Job, name: str) -> Checkpoint:
    """The same without its row."""
    stage, _, step = name.partition("-")
    texts = {"README.md": "# Ada\n", "adapter_config.json": '{"lora_alpha": 16}'} if step else {}
    blobs: dict[str, bytes] = {path: text.encode() for path, text in texts.items()}
    if step:
        blobs["adapter_model.safetensors"] = f"weights of {name}".encode()
        blobs |= {
            "references.safetensors": b"codes",
            "references/01.jpg": jpeg("red"),
            "references/02.jpg": jpeg("tan"),
        }
    colours = {"base": "gray", "sft": "olive", "grpo": "teal"}
    blobs |= {f"samples/{at:02d}.png": png(colours[stage], 40 + at) for at in range(1, 4)}
    blobs["samples/sheet.png"] = png(colours[stage], 90)
    replies = [{"prompt": "Will it rain on day 1?", "text": f"Aye, says {name}.", "scene": "Ada, sad"}]
    blobs["scores.json"] = json.dumps({"scores": SCORES[name], "replies": replies}).encode()
    files = {path: put_content(context.store, data, _kind(path), Path(path).suffix) for path, data in blobs.items()}
    samples = tuple(key for path, key in files.items() if path.startswith("samples/"))
    key = f"adapters/{job.id}/{name}" if step else ""
    return Checkpoint(job.id, name, stage, int(step or 0), TOY_BASE, "", key, SCORES[name], samples, files)


def _kind(path: str) -> str:
    return "samples" if path.startswith("samples/") else "adapters"


def trained(context: AppContext, character: str) -> Job:
    """A whole training that has succeeded, with three measured checkpoints."""
    job = claimed(context, queued(context, character))
    told(
        context,
        job,
        [*run_events(evaluated=tuple(SCORES)), Event("save", 1, 1, payload={"best": "grpo-000002"})],
    )
    for name in SCORES:
        checkpoint(context, job, name)
    assert context.records.jobs.finish(job.id, WORKER, job.attempt, "succeeded")
    return context.records.jobs.get(job.id)


def alive(context: AppContext, queues: tuple[str, ...] = ("train", "reply"), job: str = "") -> Worker:
    """A worker that has just been seen."""
    worker = context.records.workers.register(Worker(WORKER, "shed", queues, "", 16.0, {"torch": "2.13.0"}))
    context.records.workers.seen(WORKER, job)
    return worker


def answered(context: AppContext, job_id: str, texts: tuple[str, str], finish: bool = True) -> None:
    """A worker answers a reply job: both sides' words, a picture on the left, and the end."""
    job = context.records.jobs.claim(job_id, WORKER, 600)
    assert job is not None
    key = put_content(context.store, png("purple"), "samples", ".png")
    events = [Event("prepare")]
    for side, text in enumerate(texts):
        half = len(text) // 2
        events += [text_event(side, 2, text[:half], 0.5), text_event(side, 2, text[half:], 0.8)]
    if finish:
        events += [scene_event(0, 2, texts[0], "Ada, by the sea", 1.0), scene_event(1, 2, texts[1], "", 1.0)]
        events += [picture_event(0, 2, key, 2.0), done_event(0, 2, 2.0), done_event(1, 2, 1.0)]
    told(context, job, events, 0.1)
    if finish:
        assert context.records.jobs.finish(job.id, WORKER, job.attempt, "succeeded")


def showed(context: AppContext, job: Job, text: str) -> None:
    """A worker answers a reply job of one side that it has claimed, with a picture."""
    key = put_content(context.store, png("maroon"), "samples", ".png")
    events = [Event("prepare"), scene_event(0, 1, text, "Ada", 1.0), picture_event(0, 1, key, 2.0)]
    told(context, job, [*events, done_event(0, 1, 2.0)], 0.1)
    assert context.records.jobs.finish(job.id, WORKER, job.attempt, "succeeded")


@dataclass(frozen=True)
class Took:
    """A character that was made from an upload, with everything that was said about it before."""

    id: str
    name: str
    notes: tuple[Problem, ...]


def took(context: AppContext, name: str, data: bytes) -> Took:
    """An uploaded file, looked over and taken in."""
    staged = import_review.stage_character(context, name, io.BytesIO(data))
    id = import_review.take(context, staged.id)
    notes = tuple(item for group in staged.notes.values() for item in group)
    return Took(id, context.records.characters.get(id).name, notes)


def trained_by_worker(context: AppContext, version: CharacterVersion, recipe: Recipe) -> Job:
    """A training by the real worker, to its end."""
    job = submit_training(context.records, context.queue, context.owner, version, recipe)
    worker = WorkerContext(context.settings, ("train",))
    try:
        assert drain_queue(worker, ("train",)) == 1
    finally:
        worker.close()
    ended = context.records.jobs.get(job.id)
    assert ended.status == "succeeded", ended.error
    return ended
