"""A studio with a life behind it, made without loading a model: for screenshots and for the studio's benchmark.

Characters are the bundled ones. A run folder of `understudy train` becomes a finished training with its real
checkpoints, pictures and replies; without one the made-up training of `tests/studio/staged.py` stands there.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PIL import Image
from sqlalchemy import update

from pipelines.core.events import Event
from pipelines.core.jobs.job import Checkpoint, Conversation, Job, Vote, VoteChoice, Worker, new_id
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.jobs.reply_protocol import CaptionSuggestion, caption_event, done_event, picture_event, scene_event
from pipelines.core.records.tables import JOBS
from pipelines.core.run_folder import read_events, read_json
from pipelines.core.storage.store import put_content, put_tree
from studio.actions import captions, characters, chat, compare, create, drafts, drawings, feedback, images
from studio.actions.checkpoint_options import checkpoint_of, checkpoint_options
from studio.context import AppContext
from tests.e2e import own_character
from tests.studio.staged import SCORES, checkpoint, run_events
from worker.job_loop import drain_queue
from worker.worker_context import WorkerContext

WORKER = "worker-1"
QUICK_S = 560.0
"""What `quick` takes on two quiet cores."""
BUNDLED = ("quibb", "nella-tarn", "ambrose-fell")
SAYINGS: tuple[VoteChoice, ...] = ("left", "left", "right", "left", "tie", "left", "left")


def workers(context: AppContext, job: str = "") -> None:
    """Two workers that have just been seen; call it again before three heartbeats are over."""
    versions = {"torch": "2.13.0", "transformers": "5.0.0", "trl": "1.16.0", "peft": "0.19.0"}
    for id, queue, at in ((WORKER, "train", job), ("worker-2", "reply", "")):
        context.records.workers.register(Worker(id, "workshop", (queue,), "", 16.0, versions))
        context.records.workers.seen(id, at)


def trained(context: AppContext, character: str, run: Path | None) -> Job:
    """A finished training of the character: a run folder's, or a made-up one."""
    job = _begun(context, character, run)
    assert context.records.jobs.finish(job.id, WORKER, job.attempt, "succeeded")
    _began_before(context, job, QUICK_S)
    return context.records.jobs.get(job.id)


def _began_before(context: AppContext, job: Job, seconds: float) -> None:
    """As if the job had begun that long ago, not just when it was staged: pages tell how long it took."""
    began = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="microseconds")
    with context.records._database.write() as connection:
        connection.execute(update(JOBS).where(JOBS.c.id == job.id).values(created=began, queued=began, started=began))


def _begun(context: AppContext, character: str, run: Path | None) -> Job:
    queued = create.start(context, character, "quick", "starter")
    job = context.records.jobs.claim(queued.id, WORKER, 6000)
    assert job is not None
    events = [*run_events(evaluated=tuple(SCORES)), Event("save", 1, 1, payload={"best": "grpo-000002"})]
    _tell(context, job, read_events(run) if run else events)
    for name in [path.name for path in sorted((run / "checkpoints").iterdir())] if run else SCORES:
        if run:
            _stored(context, job, run, name)
        else:
            checkpoint(context, job, name)
    return job


def half_way(context: AppContext, character: str, run: Path | None, share: float = 0.7) -> Job:
    """A training that is at work just now; events up to this share of the steps, ending a few seconds ago."""
    queued = create.start(context, character, "quick", "starter")
    job = context.records.jobs.claim(queued.id, WORKER, 6000)
    assert job is not None
    events = [one for one in (read_events(run) if run else run_events()) if one.stage in ("prepare", "sft", "grpo")]
    _tell(context, job, events[: max(2, round(len(events) * share))])
    if run:
        name = sorted(path.name for path in (run / "checkpoints").iterdir() if path.name.startswith("sft-"))[-1]
        _stored(context, job, run, name, measured=False)
    _began_before(context, job, share * QUICK_S)
    return job


def _tell(context: AppContext, job: Job, events: Sequence[Event]) -> None:
    """The events as if the last one came just now."""
    clock = datetime.now(UTC) - timedelta(seconds=4)
    last = datetime.fromisoformat(events[-1].time) if events[-1].time else None
    told = []
    for number, event in enumerate(events):
        behind = last - datetime.fromisoformat(event.time) if last else timedelta(seconds=10 * (len(events) - number))
        time = (clock - behind).isoformat(timespec="microseconds")
        told.append(replace(event, job=job.id, sequence=number, time=time))
    context.records.events.append(job.id, job.attempt, told)


def _stored(context: AppContext, job: Job, run: Path, name: str, measured: bool = True) -> None:
    folder = run / "checkpoints" / name
    files = put_tree(context.store, folder, f"adapters/{job.id}/{name}")
    stage, _, step = name.partition("-")
    if not measured:
        files = {path: key for path, key in files.items() if path != "scores.json" and not path.startswith("samples/")}
    scores = read_json(folder / "scores.json")["scores"] if measured else {}
    samples = tuple(key for path, key in sorted(files.items()) if path.startswith("samples/"))
    base = Recipe.from_json(job.recipe or {}).base
    key = f"adapters/{job.id}/{name}" if step else ""
    context.records.checkpoints.put(
        Checkpoint(job.id, name, stage, int(step or 0), base, "", key, scores, samples, files)
    )


def own_pictures(context: AppContext) -> str:
    """A draft just begun: ten pictures, one of them twice, one too wide, a few captions suggested."""
    id = drafts.create(context)
    drafts.set_text(context, id, "name", "Marit")
    source = drafts.own_character(context, characters.try_bundled(context, "nella-tarn")).draft["pictures"]
    files = [(f"photo-{number:02d}.png", context.image(entry["key"])) for number, entry in enumerate(source[:8], 1)]
    files += [("photo-09.png", files[2][1]), ("photo-10.png", _wide(files[5][1]))]
    images.add(context, id, files)
    for file, field, words in (
        ("01.png", "expression", "happy"),
        ("01.png", "clothes", "a blue blazer"),
        ("02.png", "expression", "laughing"),
    ):
        images.describe(context, id, file, field, words)
    draft = drafts.own_character(context, id).draft
    entries = [entry for entry in draft["pictures"] if entry["file"] in ("03.png", "04.png", "05.png")]
    request = {"task": "captions", "pictures": [entry["key"] for entry in entries]}
    asked = context.records.jobs.add(Job(new_id(), "reply", context.owner, id, request=request))
    job = context.records.jobs.claim(asked.id, WORKER, 600)
    assert job is not None
    # What the starter does see there.
    found = (
        ("sad", "a grey hoodie", "in the snow"),
        ("angry", "a red hoodie", "in a city at night"),
        ("surprised", "a green t-shirt", "in a field of flowers"),
    )
    context.records.events.append(
        job.id,
        job.attempt,
        [
            replace(
                caption_event(number, 3, CaptionSuggestion(entry["key"], fields), 1.0),
                sequence=number,
                time=datetime.now(UTC).isoformat(timespec="microseconds"),
            )
            for number, (entry, words) in enumerate(zip(entries, found, strict=True))
            if (fields := dict(zip(("expression", "clothes", "place"), words, strict=True)))
        ],
    )
    context.records.jobs.finish(job.id, WORKER, job.attempt, "succeeded")
    drafts.change(context, id, lambda draft: draft.update(captions_job=job.id))
    return id


def too_many_pictures(context: AppContext) -> str:
    """A draft with more pictures than can be used, and two files that are no pictures; Pim, in an art of its own."""
    id = drafts.create(context)
    drafts.set_text(context, id, "name", own_character.NAME)
    files = [("IMG_4711.HEIC", b"\0\0\0\x18ftypheic"), ("model sheet.pdf", b"%PDF-1.7")]
    for number in range(18):
        out = io.BytesIO()
        own_character.drawing(number % 10).rotate(9 * (number // 10), fillcolor="#f6d9b8").save(out, "PNG")
        files.append((f"pim-{number:02d}.png", out.getvalue()))
    images.add(context, id, files)
    return id


def drawn(context: AppContext, id: str) -> None:
    """The starter looks at a draft and draws it, in this process as a worker would; takes a minute."""
    captions.request_captions(context, id)
    drawings.request_drawings(context, id)
    worker = WorkerContext(context.settings, ("reply",))
    drain_queue(worker, ("reply",))
    worker.close()
    assert drawings.drawings_view(context, id).state == "done"


def _wide(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        square = image.convert("RGB")
    canvas = Image.new("RGB", (3 * square.width, square.height), square.getpixel((2, 2)))  # type: ignore[arg-type]
    canvas.paste(square, (square.width, 0))
    out = io.BytesIO()
    canvas.save(out, "PNG")
    return out.getvalue()


def talked(context: AppContext, job: Job, blind: bool = False) -> Conversation:
    """A conversation of the best checkpoint with the base, answered with what both said when they were measured."""
    best = next(one for one in checkpoint_options(context, job.character) if one.is_best)
    base = checkpoint_options(context, job.character)[-1]
    talk = compare.start_conversation(context, job.character, best.ref, base.ref, blind)
    sides = [_measured(context, ref) for ref in (best.ref, base.ref)]
    for number in range(min(2, len(sides[0]))):
        asked = compare.send_message(context, talk.id, str(sides[0][number][0]), seed=4711 + number)
        reply = context.records.jobs.claim(asked.job, WORKER, 600)
        assert reply is not None
        events: list[Event] = [Event("prepare")]
        for side, lines in enumerate(sides):
            _, text, scene, key = lines[number]
            events.append(scene_event(side, 2, text, scene, 1.2))
            events += [picture_event(side, 2, key, 6.0)] if key else []
            events.append(done_event(side, 2, 6.4))
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        told = [replace(event, sequence=at, time=time) for at, event in enumerate(events)]
        context.records.events.append(reply.id, reply.attempt, told)
        context.records.jobs.finish(reply.id, WORKER, reply.attempt, "succeeded")
    return talk


def chatted(context: AppContext, job: Job) -> Conversation:
    """A chat with the best checkpoint, answered with what it said when it was measured."""
    best = next(one for one in checkpoint_options(context, job.character) if one.is_best)
    talk = chat.start_chat(context, job.character, best.ref)
    for asked, text, scene, key in _measured(context, best.ref)[:2]:
        message = compare.send_message(context, talk.id, f"*leans on the counter* {asked}", seed=4711)
        reply = context.records.jobs.claim(message.job, WORKER, 600)
        assert reply is not None
        events = [Event("prepare"), scene_event(0, 1, text, scene, 1.2)]
        events += [picture_event(0, 1, key, 6.0)] if key else []
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        told = [replace(event, sequence=at, time=time) for at, event in enumerate([*events, done_event(0, 1, 6.4)])]
        context.records.events.append(reply.id, reply.attempt, told)
        context.records.jobs.finish(reply.id, WORKER, reply.attempt, "succeeded")
    return talk


def _measured(context: AppContext, ref: str) -> list[tuple[str, str, str, str]]:
    """Prompt, words, scene and picture of what a checkpoint said when it was measured."""
    _, one = checkpoint_of(context, ref)
    with context.store.open(one.files["scores.json"]) as stream:
        said = json.loads(stream.read())["replies"]
    keys = [key for path, key in sorted(one.files.items()) if path.startswith("samples/") and "sheet" not in path]
    found = []
    for at, reply in enumerate(said):
        key = keys[len(keys) - len(said) + at] if len(keys) >= len(said) else ""
        found.append((str(reply["prompt"]), str(reply["text"]), str(reply.get("scene", "")), key))
    return found


def voted(context: AppContext, talk: Conversation) -> None:
    """A vote on the first turn, and some that were given blind before."""
    feedback.vote(context, talk.id, 1, "left")
    for number, choice in enumerate(SAYINGS):
        context.records.chats.add_vote(
            Vote(new_id(), talk.id, 10 + number, talk.left, talk.right, choice, True, "Who are you?")
        )


def crowd(context: AppContext, count: int) -> None:
    """So many characters, each with a portrait of a plain colour, for the benchmark."""
    for number in range(count):
        out = io.BytesIO()
        Image.new("RGB", (256, 256), (number % 256, 90, (7 * number) % 256)).save(out, "JPEG")
        key = put_content(context.store, out.getvalue(), "pictures", ".jpg")
        entry = {
            "file": "01.jpg",
            "original": "01.jpg",
            "key": key,
            "thumb_key": key,
            "sha256": key[12:76],
            "width": 256,
            "height": 256,
            "problems": [],
            "fixes": [],
            "copy_of": "",
        }
        persona = f"Number {number} keeps a lamp lit by the old harbour. " * 8
        context.records.characters.create(
            context.owner, {"name": f"Character {number}", "persona": persona, "pictures": [entry]}
        )
