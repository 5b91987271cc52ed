"""How the model sees a character: references chosen in the wizard, and drawings by a real worker on the toy starter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.character.held_out_split import hold_out, with_held_out
from pipelines.core.jobs.draw_protocol import SHOWN_LOOKS
from pipelines.core.jobs.job import Job, RecordMissing, Worker
from pipelines.core.problems import CharacterProblems
from studio.actions import create, drafts, drawings, images, training_jobs
from studio.actions.drafts import character_of
from studio.context import AppContext
from tests.core.drawings import drawing, encoded
from tests.studio import staged
from tests.toys import TOY_BASE
from worker.chat_service import ModelHolder, run_reply
from worker.job_loop import drain_queue, run_job
from worker.worker_context import WorkerContext


@pytest.fixture(scope="module")
def holder() -> ModelHolder:
    """The toy is loaded once."""
    return ModelHolder()


@pytest.fixture
def worker(context: AppContext) -> Iterator[WorkerContext]:
    """A worker in this process that takes what the studio sends."""
    opened = WorkerContext(context.settings, ("reply",))
    yield opened
    opened.close()


@pytest.fixture
def id(context: AppContext) -> str:
    """A character with four pictures, on the toy."""
    made = drafts.create(context)
    drafts.change(context, made, lambda draft: draft.update(base=TOY_BASE))
    images.add(context, made, some(1, 2, 3, 4))
    return made


def some(*seeds: int) -> list[tuple[str, bytes]]:
    return [(f"photo {seed}.png", encoded(drawing(seed))) for seed in seeds]


def draft_of(context: AppContext, id: str) -> drafts.Draft:
    return drafts.own_character(context, id).draft


def work(worker: WorkerContext, holder: ModelHolder) -> int:
    return drain_queue(worker, ("reply",), {"reply": lambda *arguments: run_reply(*arguments, holder=holder)})


def reply_jobs(context: AppContext, id: str) -> list[Job]:
    return context.records.jobs.list(owner=context.owner, kind="reply", character=id)


# ---------------------------------------------------------------- references


def test_references_are_chosen_one_by_one(context: AppContext, id: str) -> None:
    used = lambda: drawings.used_references(draft_of(context, id))  # noqa: E731
    assert used() == ("01.png", "02.png") and "references" not in draft_of(context, id)
    images.describe(context, id, "02.png", "pose", "from behind")
    images.describe(context, id, "04.png", "pose", "close-up")
    assert used() == ("01.png", "04.png")  # by the captions
    drawings.use_reference(context, id, "03.png", True)
    assert used() == ("03.png", "01.png")
    drawings.use_reference(context, id, "02.png", True)
    assert used() == ("02.png", "03.png") == tuple(draft_of(context, id)["references"])
    drawings.use_reference(context, id, "02.png", False)
    assert used() == ("03.png", "01.png")
    images.remove(context, id, "03.png")
    assert used() == ("01.png", "04.png") and draft_of(context, id)["references"] == ["01.png"]
    drawings.forget_references(context, id)
    assert used() == ("01.png", "04.png")
    with pytest.raises(CharacterProblems, match="no longer there"):
        drawings.use_reference(context, id, "03.png", True)


def test_what_a_training_holds_out_is_no_reference_and_a_choice_is_published(context: AppContext) -> None:
    id = drafts.create(context)
    images.add(context, id, some(1, 2, 3, 4, 5, 6))
    for number in range(1, 6):
        images.describe(context, id, f"0{number}.png", "expression", "angry")

    def kept_for_the_test() -> set[str]:
        character, _ = character_of(draft_of(context, id))
        return {image.file for image in hold_out(with_held_out(character))[1].images}

    (kept,) = kept_for_the_test()
    assert drawings.used_references(draft_of(context, id)) == ("06.png", "01.png") and kept not in ("06.png", "01.png")
    drawings.use_reference(context, id, kept, True)
    assert drawings.used_references(draft_of(context, id))[0] == kept
    assert kept_for_the_test() and not kept_for_the_test() & set(drawings.used_references(draft_of(context, id)))
    drafts.set_text(context, id, "name", "Ada")
    assert not any(problem.field.startswith("references") for problem in create.all_problems(draft_of(context, id)))
    entries = drafts.entries_of(draft_of(context, id))
    version = context.records.characters.publish(id, entries)
    assert version.entries["references"][0] == kept


# ---------------------------------------------------------------- drawings


def test_drawings_are_kept_with_the_draft(
    context: AppContext, id: str, worker: WorkerContext, holder: ModelHolder
) -> None:
    assert drawings.drawings_view(context, id).state == "none"
    drawings.request_drawings(context, id)
    waiting = drawings.drawings_view(context, id)
    assert waiting.state == "waiting" and not waiting.drawn and not waiting.rebuilt
    assert work(worker, holder) == 1
    view = drawings.drawings_view(context, id)
    assert view.state == "done" and not view.is_stale and not view.error
    assert [look for look, _ in view.drawn] == list(SHOWN_LOOKS[0])
    assert set(view.rebuilt) == {"01.png", "02.png", "03.png", "04.png"}
    assert all(png.startswith(b"\x89PNG") for _, png in view.drawn)
    # Kept with the draft: nothing depends on the job any more.
    assert "drawings_job" not in draft_of(context, id)
    assert drawings.drawings_view(context, id) == view
    drawings.use_reference(context, id, "04.png", True)
    assert drawings.drawings_view(context, id).is_stale
    drawings.request_drawings(context, id)
    assert drawings.drawings_view(context, id).drawn == view.drawn  # while new ones are made
    assert work(worker, holder) == 1
    again = drawings.drawings_view(context, id)
    assert [look for look, _ in again.drawn] == list(SHOWN_LOOKS[1]) and not again.is_stale


def test_uploads_are_drawn_by_themselves_where_a_worker_is(
    context: AppContext, id: str, worker: WorkerContext, holder: ModelHolder
) -> None:
    drawings.draw_after_upload(context, id)
    [first] = reply_jobs(context, id)
    drawings.draw_after_upload(context, id)  # nothing has changed
    images.add(context, id, some(5))
    drawings.draw_after_upload(context, id)  # a picture more, and the same two references
    assert reply_jobs(context, id) == [first]
    images.describe(context, id, "05.png", "pose", "close-up")
    drawings.draw_after_upload(context, id)
    second, stopped = reply_jobs(context, id)
    assert stopped.id == first.id and stopped.status == "stopped" and second.status == "queued"
    assert work(worker, holder) == 1
    assert drawings.drawings_view(context, id).state == "done"
    drawings.draw_after_upload(context, id)
    assert len(reply_jobs(context, id)) == 2


def test_without_a_worker_nothing_is_asked_for_by_itself(context: AppContext, id: str) -> None:
    assert not drawings.can_draw(context)
    drawings.draw_after_upload(context, id)
    assert not reply_jobs(context, id)
    context.records.workers.register(Worker("w", "shed", ("train",), "", 16.0))
    assert not drawings.can_draw(context)  # it trains only


def test_a_failed_job_says_why_and_can_be_asked_again(
    context: AppContext, id: str, worker: WorkerContext, holder: ModelHolder
) -> None:
    drawings.request_drawings(context, id)
    key = drafts.image_entry(draft_of(context, id), "02.png")["key"]
    context.store.delete(key)
    work(worker, holder)
    view = drawings.drawings_view(context, id)
    assert view.state == "failed" and view.error and not view.drawn
    images.remove(context, id, "02.png")
    drawings.request_drawings(context, id)
    assert drawings.drawings_view(context, id).state == "waiting"


def test_it_is_gone_with_its_character_and_is_nobody_elses(context: AppContext, id: str) -> None:
    job = drawings.request_drawings(context, id)
    context.records.characters.delete(id)
    with pytest.raises(RecordMissing):
        context.records.jobs.get(job.id)
    other: Any = context.records.characters.create("somebody else", {"name": "Ida", "persona": ""})
    with pytest.raises(RecordMissing):
        drawings.drawings_view(context, other.id)


def test_a_training_has_the_machine_for_itself(
    context: AppContext, id: str, worker: WorkerContext, holder: ModelHolder, tmp_path: Path
) -> None:
    trained = staged.published(context, tmp_path / "ada")
    drawings.request_drawings(context, trained)
    assert drawings.drawings_view(context, trained).state == "waiting"
    create.start(context, trained, "quick", TOY_BASE)
    view = drawings.drawings_view(context, trained)
    assert view.is_put_off and view.state == "failed" and not view.error
    assert work(worker, holder) == 0, "nothing is drawn beside it"
    # Another character's pictures come in while it trains: nothing is drawn that nobody asked for.
    context.records.workers.register(Worker("r", "host", ("reply",)))
    busy = Worker("t", "host", ("train",), job="a training")
    context.records.workers.register(busy)
    drawings.draw_after_upload(context, id)
    assert not reply_jobs(context, id)
    context.records.workers.register(replace(busy, gpu="a card"))
    drawings.draw_after_upload(context, id)
    assert reply_jobs(context, id)
    context.records.workers.forget("t")
    (training,) = context.records.jobs.list(owner=context.owner, kind="train", character=trained)
    training_jobs.stop(context, training.id, "keep")
    drawings.request_drawings(context, trained)
    training_jobs.resume(context, training.id)
    assert drawings.drawings_view(context, trained).is_put_off, "a training that goes on needs it as well"
    drawings.request_drawings(context, trained)
    assert not drawings.drawings_view(context, trained).is_put_off and work(worker, holder) == 2
    assert drawings.drawings_view(context, trained).state == "done"


def test_drawings_under_way_end_when_the_training_begins(
    context: AppContext, worker: WorkerContext, holder: ModelHolder, tmp_path: Path
) -> None:
    trained = staged.published(context, tmp_path / "ada")
    asked = drawings.request_drawings(context, trained)
    claimed = context.records.jobs.claim(asked.id, worker.id, 600)
    assert claimed is not None
    create.start(context, trained, "quick", TOY_BASE)
    assert context.records.jobs.get(asked.id).status == "stopping"
    assert drawings.drawings_view(context, trained).is_put_off, "said at once, not after the step at hand"
    # What the first heartbeat answers: four toy drawings may be over before it on a fast machine.
    heard = context.records.jobs.get(asked.id)
    assert heard.cancel
    run_job(worker, heard, lambda *arguments: run_reply(*arguments, holder=holder))
    assert context.records.jobs.get(asked.id).status == "stopped"
    assert drawings.drawings_view(context, trained).is_put_off
