"""Replies through the reply process: pieces in order, two sides in one batch, pictures kept, captions."""

from __future__ import annotations

import io
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pipelines.core.jobs.draw_protocol import PromptRequest, drawings_in
from pipelines.core.jobs.job import ChatMessage, Conversation, Job, new_id
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.jobs.reply_protocol import HistoryTurn, ReplyRequest, SideText, captions_in, replies_in
from pipelines.core.queue.submit import submit, submit_captions, submit_reply, submit_training
from pipelines.core.storage.store import put_content, read
from tests.toys import TOY_BASE, TOY_STEPS
from tests.worker.conftest import Deployment
from worker.chat_service import ModelHolder, run_reply
from worker.job_loop import drain_queue
from worker.uploads import put_checkpoint
from worker.worker_context import WorkerContext


@pytest.fixture
def trained(embedded: Deployment, toy_run: Path) -> Job:
    """A finished training whose checkpoints are in records and store."""
    recipe = Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS)
    job = submit_training(embedded.records, embedded.app, "local", embedded.version(), recipe)
    embedded.records.jobs.request_stop(job.id, "keep")
    for name in ("base", "sft-000004", "grpo-000002"):
        put_checkpoint(embedded.records, embedded.store, job.id, toy_run, name)
    return job


def ask(job: Job, *names: str, **more: object) -> ReplyRequest:
    """A request to these checkpoints."""
    history = (HistoryTurn("user", "Aye? Show me."),)
    return replace(ReplyRequest(tuple(f"{job.id}:{name}" for name in names), history), **more)


def answer(deployment: Deployment, context: WorkerContext, holder: ModelHolder, request: ReplyRequest) -> Job:
    """Send it, work it off, and return the job as it ended."""
    job = submit_reply(deployment.records, deployment.app, "local", request)
    assert drain_queue(context, ("reply",), {"reply": lambda *arguments: run_reply(*arguments, holder=holder)}) == 1
    return deployment.records.jobs.get(job.id)


def test_two_checkpoints_answer_side_by_side(embedded: Deployment, context: WorkerContext, trained: Job) -> None:
    records, holder = embedded.records, ModelHolder()
    talk = records.chats.add_conversation(Conversation(new_id(), "local", trained.character))
    records.chats.add_message(ChatMessage(new_id(), talk.id, text="Aye? Show me."))
    request = ask(trained, "sft-000004", "grpo-000002", conversation=talk.id, number=1, picture="always", seed=5)
    job = answer(embedded, context, holder, request)
    assert (job.status, job.error) == ("succeeded", "")
    events = records.events.after(job.id)
    sides = replies_in(events)
    assert len(sides) == 2 and all(side.done and side.picture_key for side in sides)
    for number, side in enumerate(sides):
        with Image.open(io.BytesIO(read(embedded.store, side.picture_key))) as picture:
            picture.load()
        own = [event for event in events if event.step == number]
        order = [next(iter(event.metrics)) for event in own]
        kinds = ["text_s", "scene_s", "picture_s", "done_s"]
        assert list(dict.fromkeys(order)) == [kind for kind in kinds if kind in order]
        said = "".join(event.note for event in own if "text_s" in event.metrics)
        assert said == side.text  # the pieces are the words
    kept = records.chats.messages(talk.id)
    assert [(item.number, item.side) for item in kept] == [(0, ""), (1, "left"), (1, "right")]
    assert [item.text for item in kept[1:]] == [side.text for side in sides]
    assert [item.picture_key for item in kept[1:]] == [side.picture_key for side in sides]
    # Alone it says the same as beside another, and the model is not loaded again.
    engine = holder.engine
    alone = answer(embedded, context, holder, ask(trained, "grpo-000002", picture="always", seed=5))
    assert replies_in(records.events.after(alone.id))[0].text == sides[1].text
    assert holder.engine is engine and len(engine.loaded()) == 2


def test_a_first_state_and_a_base_without_a_row_draw_what_was_asked_for(
    embedded: Deployment, context: WorkerContext, toy_run: Path
) -> None:
    """A training that was stopped before anything was measured, and "when it fits"."""
    recipe = Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS)
    job = submit_training(embedded.records, embedded.app, "local", embedded.version(), recipe)
    embedded.records.jobs.request_stop(job.id, "keep")
    put_checkpoint(embedded.records, embedded.store, job.id, toy_run, "sft-000002")
    told = (HistoryTurn("user", "It is cold. Show me yourself laughing in the snow!"),)
    asked = ask(job, "sft-000002", "base", history=told)
    assert asked.picture == "auto"
    done = answer(embedded, context, ModelHolder(), asked)
    assert (done.status, done.error) == ("succeeded", "")
    sides = replies_in(embedded.records.events.after(done.id))
    assert len(sides) == 2 and all(side.picture_key and side.text for side in sides)
    for side in sides:
        assert {"laughing", "in the snow"} <= set(side.scene.split(", "))


def test_one_checkpoint_goes_on_with_its_reply_and_keeps_the_picture(
    embedded: Deployment, context: WorkerContext, trained: Job
) -> None:
    records = embedded.records
    talk = records.chats.add_conversation(Conversation(new_id(), "local", trained.character, right=""))
    records.chats.add_message(ChatMessage(new_id(), talk.id, text="Aye? Show me."))
    begun = HistoryTurn("character", "Aye, the bell.", "Ada, happy", "pictures/there.png")
    request = ask(trained, "sft-000004", conversation=talk.id, number=1, begun=begun)
    job = answer(embedded, context, ModelHolder(), request)
    assert (job.status, job.error) == ("succeeded", "")
    [side] = replies_in(records.events.after(job.id))
    assert side.done and side.text.startswith("Aye, the bell.") and len(side.text) > len("Aye, the bell.")
    kept = records.chats.messages(talk.id)[1]
    assert (kept.side, kept.text, kept.scene, kept.picture_key) == ("left", side.text, begun.scene, begun.picture)


def test_own_prompts_are_drawn_by_a_state_and_too_long_ones_say_so(
    embedded: Deployment, context: WorkerContext, trained: Job
) -> None:
    holder = ModelHolder()

    def ended(look: str, name: str = "sft-000004") -> Job:
        request = PromptRequest(f"{trained.id}:{name}", (look,), 7).to_json()
        job = submit(embedded.records, embedded.app, Job(new_id(), "reply", "local", request=request))
        drain_queue(context, ("reply",), {"reply": lambda *arguments: run_reply(*arguments, holder=holder)})
        return embedded.records.jobs.get(job.id)

    for name in ("sft-000004", "base"):
        job = ended("happy, on a beach", name)
        assert (job.status, job.error) == ("succeeded", "")
        look, key = drawings_in(embedded.records.events.after(job.id)).drawn[0]
        assert look == "happy, on a beach"
        with Image.open(io.BytesIO(read(embedded.store, key))) as picture:
            picture.load()
    refused = ended("happy " * 60)
    assert refused.status == "failed" and "too long" in refused.error


def test_the_base_answers_too_and_each_side_hears_its_own_words(
    embedded: Deployment, context: WorkerContext, trained: Job
) -> None:
    request = ask(trained, "base", "sft-000004", picture="never")
    said = HistoryTurn("character", left=SideText("Left."), right=SideText("Right.", "Ada, happy"))
    request = replace(request, history=(*request.history, said, HistoryTurn("user", "And then?")))
    job = answer(embedded, context, ModelHolder(), request)
    assert job.status == "succeeded", job.error
    assert all(side.done and not side.picture_key for side in replies_in(embedded.records.events.after(job.id)))


def drawn_with(engine: Any, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor | None]:
    """The references (P, R, C) of every batch of images that this engine draws from now on."""
    given: list[torch.Tensor | None] = []
    draw = engine.model.sample_images

    def sample_images(*arguments: Any, **settings: Any) -> Any:
        given.append(settings["reference_codes"])
        return draw(*arguments, **settings)

    monkeypatch.setattr(engine.model, "sample_images", sample_images)
    return given


def test_adapter_and_base_draw_from_the_characters_references(
    embedded: Deployment, context: WorkerContext, trained: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = ModelHolder()
    engine = holder.open(context, TOY_BASE)
    given = drawn_with(engine, monkeypatch)
    job = answer(embedded, context, holder, ask(trained, "base", "sft-000004", picture="always"))
    assert job.status == "succeeded", job.error
    [codes] = given
    assert codes is not None and codes.shape == (2, engine.model.spec.max_references, engine.model.spec.image_tokens)
    best = [embedded.character / "images" / name for name in ("01.png", "04.png")]
    expected = torch.tensor(engine.encode_references(best))
    assert torch.equal(codes[0], expected) and torch.equal(codes[1], expected)
    cached = list((context.settings.cache_folder / "pictures").glob("*/*"))
    assert len(cached) == len(best), "no more pictures are fetched than the model looks at"
    encoded = engine._encode.cache_info().misses
    answer(embedded, context, holder, ask(trained, "base", picture="always"))
    assert torch.equal(given[-1][0], expected) and engine._encode.cache_info().misses == encoded


def test_an_adapter_of_an_older_starter_is_refused(
    embedded: Deployment, context: WorkerContext, trained: Job, toy_run: Path, tmp_path: Path
) -> None:
    older = shutil.copytree(toy_run, tmp_path / "older")
    config = older / "checkpoints" / "sft-000004" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"revision": "0000"}), encoding="utf-8")
    put_checkpoint(embedded.records, embedded.store, trained.id, older, "sft-000004")
    job = answer(embedded, context, ModelHolder(), ask(trained, "sft-000004"))
    assert job.status == "failed"
    assert job.error.startswith("This state of Ada was trained on starter-toy of 0000: train again")
    # What was trained meanwhile, and the base, answer as before.
    job = answer(embedded, context, ModelHolder(), ask(trained, "base", "grpo-000002", picture="never"))
    assert job.status == "succeeded", job.error


def test_a_reply_that_cannot_be_given_says_why(embedded: Deployment, context: WorkerContext, trained: Job) -> None:
    job = answer(embedded, context, ModelHolder(), ask(trained, "sft-000099"))
    assert job.status == "failed" and "no checkpoint 'sft-000099'" in job.error
    other = submit(embedded.records, embedded.app, Job(new_id(), "reply", "local", request={"task": "dance"}))
    assert drain_queue(context, ("reply",)) == 1
    assert "does not know the task 'dance'" in embedded.records.jobs.get(other.id).error
    big = Job(new_id(), "train", "local", trained.character, 1, recipe=Recipe(base="janus-pro-7b").to_json())
    embedded.records.jobs.add(replace(big, status="stopped"))
    refused = answer(embedded, context, ModelHolder(), ask(big, "base"))
    assert refused.status == "failed" and ("GB of memory" in refused.error or "janus" in refused.error)


def test_a_stop_ends_a_reply(embedded: Deployment, context: WorkerContext, trained: Job) -> None:
    job = submit_reply(embedded.records, embedded.app, "local", ask(trained, "sft-000004", picture="always"))
    claimed = embedded.records.jobs.claim_next("reply", context.id, 60)
    assert claimed is not None
    embedded.records.jobs.request_stop(job.id, "keep")
    with context.working_on(claimed) as lease:
        lease.cancel = "keep"
        outcome = run_reply(context, claimed, lease, ModelHolder())
    assert outcome is not None and outcome.status == "stopped"


def test_warming_reads_the_adapter_before_the_first_words(
    embedded: Deployment, context: WorkerContext, trained: Job
) -> None:
    holder = ModelHolder()
    request = {"task": "warm", "checkpoints": [f"{trained.id}:sft-000004"]}
    submit(embedded.records, embedded.app, Job(new_id(), "reply", "local", request=request))
    assert drain_queue(context, ("reply",), {"reply": lambda *arguments: run_reply(*arguments, holder=holder)}) == 1
    assert len(holder.engine.loaded()) == 1
    began = time.monotonic()
    job = answer(embedded, context, holder, ask(trained, "sft-000004", picture="never"))
    assert job.status == "succeeded" and time.monotonic() - began < 30


def test_captions_are_suggested_for_every_picture(embedded: Deployment, context: WorkerContext) -> None:
    folder = embedded.character / "images"
    keys = [put_content(embedded.store, path, "pictures", ".png") for path in sorted(folder.iterdir())[:3]]
    job = submit_captions(embedded.records, embedded.app, "local", keys)
    context.records.jobs.get(job.id)
    assert drain_queue(context, ("reply",)) == 1
    ended = embedded.records.jobs.get(job.id)
    assert ended.status == "succeeded", ended.error
    found = captions_in(embedded.records.events.after(job.id))
    assert [item.picture for item in found] == keys
    assert all(set(item.fields) <= {"expression", "clothes", "place"} for item in found)


def test_expansion_without_an_endpoint_says_what_to_set(embedded: Deployment, context: WorkerContext) -> None:
    request = {"task": "expand", "entries": {"name": "Ada"}, "test": None, "wanted": 5}
    job = submit(embedded.records, embedded.app, Job(new_id(), "reply", "local", request=request))
    assert drain_queue(context, ("reply",)) == 1
    ended = embedded.records.jobs.get(job.id)
    assert ended.status == "failed" and "UNDERSTUDY_LLM_URL" in ended.error
