"""Drawings of a draft by the reply process, on the toy starter: four pictures, uploads rebuilt, and an early end."""

from __future__ import annotations

import io
from pathlib import PurePosixPath

import pytest
from PIL import Image

from pipelines.core.character.character_folder import read_character
from pipelines.core.character.serialize import character_to_entries
from pipelines.core.jobs.draw_protocol import SHOWN_LOOKS, DrawRequest, drawings_in, shown_entries
from pipelines.core.jobs.job import Job, new_id
from pipelines.core.jobs.reply_protocol import LOADING, captions_in
from pipelines.core.queue.submit import submit, submit_captions
from pipelines.core.storage.store import put_content, read
from tests.toys import TOY_BASE
from tests.worker.conftest import Deployment
from worker.chat_service import ModelHolder, run_reply
from worker.job_loop import drain_queue
from worker.worker_context import WorkerContext


@pytest.fixture(scope="module")
def holder() -> ModelHolder:
    """The toy is loaded once."""
    return ModelHolder()


def request_of(deployment: Deployment, **changes: object) -> DrawRequest:
    """Ada as the wizard sends her."""
    folder = deployment.character / "images"
    pictures = {
        path.name: put_content(deployment.store, path, "pictures", path.suffix) for path in sorted(folder.iterdir())
    }
    entries = shown_entries(character_to_entries(read_character(deployment.character)), list(pictures))
    return DrawRequest(**{"entries": entries, "pictures": pictures, "base": TOY_BASE, **changes})  # type: ignore[arg-type]


def work_off(deployment: Deployment, context: WorkerContext, holder: ModelHolder, request: DrawRequest) -> Job:
    """Send it, work it off, and return the job as it ended."""
    job = submit(deployment.records, deployment.app, Job(new_id(), "reply", "local", request=request.to_json()))
    assert drain_queue(context, ("reply",), {"reply": lambda *arguments: run_reply(*arguments, holder=holder)}) == 1
    return deployment.records.jobs.get(job.id)


def test_four_drawings_come_and_every_picture_rebuilt(
    embedded: Deployment, context: WorkerContext, holder: ModelHolder
) -> None:
    request = request_of(embedded, seed=3, of={"rest": "x"})
    job = work_off(embedded, context, holder, request)
    assert (job.status, job.error) == ("succeeded", "")
    assert DrawRequest.from_json(job.request) == request
    found = drawings_in(embedded.records.events.after(job.id))
    assert [found.drawn[place][0] for place in range(4)] == list(SHOWN_LOOKS[0])
    assert set(found.rebuilt) == set(request.pictures.values()) and found.seconds > 0
    side = holder.engine.model.spec.image_px
    for key in [*(key for _, key in found.drawn.values()), *found.rebuilt.values()]:
        assert PurePosixPath(key).suffix == ".png" and key.startswith("pictures/")
        with Image.open(io.BytesIO(read(embedded.store, key))) as picture:
            assert picture.size == (side, side)
    assert not found.is_loading and found.style_loss is None, "random weights know no art"
    # The same again is the same content, so nothing is stored twice.
    again = work_off(embedded, context, holder, request)
    assert drawings_in(embedded.records.events.after(again.id)).drawn == found.drawn


def test_loading_is_told_only_where_the_model_is_not_there(
    embedded: Deployment, context: WorkerContext, holder: ModelHolder
) -> None:
    def told(holder: ModelHolder, job: Job) -> bool:
        assert drain_queue(context, ("reply",), {"reply": lambda *arguments: run_reply(*arguments, holder=holder)}) == 1
        assert embedded.records.jobs.get(job.id).status == "succeeded"
        return any(LOADING in event.metrics for event in embedded.records.events.after(job.id))

    def asked(request: DrawRequest) -> Job:
        return submit(embedded.records, embedded.app, Job(new_id(), "reply", "local", request=request.to_json()))

    words = DrawRequest({"name": "Ada", "appearance": "A round face."}, {}, ("sad",), base=TOY_BASE)
    holder.open_starter(context, TOY_BASE)
    assert not told(holder, asked(words)) and told(ModelHolder(), asked(words))
    keys = list(request_of(embedded).pictures.values())[:2]
    for held, expected in ((holder, False), (ModelHolder(), True)):
        job = submit_captions(embedded.records, embedded.app, "local", keys, base=TOY_BASE)
        assert told(held, job) is expected
        assert len(captions_in(embedded.records.events.after(job.id))) == 2


def test_without_pictures_it_draws_from_words_and_without_either_it_says_so(
    embedded: Deployment, context: WorkerContext, holder: ModelHolder
) -> None:
    words = {"name": "Ada", "appearance": "A round face."}
    job = work_off(embedded, context, holder, DrawRequest(words, {}, ("sad",), base=TOY_BASE))
    assert job.status == "succeeded" and len(drawings_in(embedded.records.events.after(job.id)).drawn) == 1
    job = work_off(embedded, context, holder, DrawRequest({"name": "Ada"}, {}, base=TOY_BASE))
    assert job.status == "failed" and "There is nothing to draw from" in job.error


def test_a_request_of_another_version_is_refused(
    embedded: Deployment, context: WorkerContext, holder: ModelHolder
) -> None:
    request = {"task": "draw", "entries": {}, "pictures": {}, "brush": "fine"}
    submit(embedded.records, embedded.app, Job(new_id(), "reply", "local", request=request))
    drain_queue(context, ("reply",), {"reply": lambda *arguments: run_reply(*arguments, holder=holder)})
    [job] = embedded.records.jobs.list(owner="local", kind="reply")
    assert job.status == "failed" and "differ in version" in job.error


def test_asking_again_ends_it_and_a_shutdown_gives_it_back(
    embedded: Deployment, context: WorkerContext, holder: ModelHolder
) -> None:
    request = request_of(embedded)
    job = submit(embedded.records, embedded.app, Job(new_id(), "reply", "local", request=request.to_json()))
    claimed = embedded.records.jobs.claim_next("reply", context.id, 60)
    assert claimed is not None
    with context.working_on(claimed) as lease:
        context.stopping.set()
        assert run_reply(context, claimed, lease, holder) is None
        context.stopping.clear()
        lease.cancel = "keep"
        outcome = run_reply(context, claimed, lease, holder)
    assert outcome is not None and outcome.status == "stopped"
    assert not drawings_in(embedded.records.events.after(job.id)).drawn


def test_a_larger_base_stays_loaded_beside_the_starter(embedded: Deployment, context: WorkerContext) -> None:
    holder = ModelHolder()
    large = holder.open(context, "janus-toy")
    warm = Job(new_id(), "reply", "local", request={"task": "warm", "base": TOY_BASE})
    submit(embedded.records, embedded.app, warm)
    assert drain_queue(context, ("reply",), {"reply": lambda *arguments: run_reply(*arguments, holder=holder)}) == 1
    starter = holder.beside
    assert starter is not None and embedded.records.jobs.get(warm.id).status == "succeeded"
    job = work_off(embedded, context, holder, request_of(embedded, looks=("sad",)))
    assert job.status == "succeeded" and holder.engine is large and holder.beside is starter
