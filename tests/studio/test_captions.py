"""What a worker sees in pictures: captions taken and declined, contradictions, and doubts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.core.jobs.job import Job, Worker, new_id
from pipelines.core.jobs.reply_protocol import (
    HARD_TO_DRAW,
    SEVERAL_FIGURES,
    CaptionSuggestion,
    caption_event,
    captions_in,
    guessed_fields,
    loading_event,
    trusted_fields,
)
from studio.actions import captions, create, drafts, images
from studio.actions.workers import waiting_words
from studio.context import AppContext
from tests.core.drawings import drawing, encoded


@pytest.fixture
def id(context: AppContext) -> str:
    """An empty character."""
    return drafts.create(context)


def draft_of(context: AppContext, id: str) -> drafts.Draft:
    return drafts.own_character(context, id).draft


def some(*seeds: int) -> list[tuple[str, bytes]]:
    return [(f"photo {seed}.png", encoded(drawing(seed))) for seed in seeds]


def test_nothing_is_trusted_in_a_foreign_art_and_what_is_sure_is_asked() -> None:
    told = {"expression": "sad", "place": "in space"}
    foreign = CaptionSuggestion("a", told, sure=("place",), is_familiar=False)
    known = CaptionSuggestion("b", told)
    assert trusted_fields([foreign, foreign, known]) == [{}, {}, {}]
    assert guessed_fields([foreign, foreign, known]) == [{"place": "in space"}, {"place": "in space"}, {}]
    assert trusted_fields([foreign, known, known]) == [told] * 3  # all pictures of a character are of one art
    assert guessed_fields([foreign, known, known]) == [{}] * 3
    photograph = CaptionSuggestion("c", doubts=(HARD_TO_DRAW,), is_familiar=False)
    assert trusted_fields([photograph, photograph, known]) == [{}, {}, told]
    event = caption_event(0, 1, replace(foreign, doubts=(SEVERAL_FIGURES,)), 0.5)
    assert captions_in([event]) == [replace(foreign, doubts=(SEVERAL_FIGURES,))]
    before = replace(event, note='{"fields": {"place": "at sea"}, "description": "at sea"}')  # a worker of before
    assert captions_in([before]) == [CaptionSuggestion("a", {"place": "at sea"}, "at sea")]


def test_captions_come_from_a_job_and_leave_written_ones_alone(context: AppContext, id: str) -> None:
    images.add(context, id, some(1, 2))
    images.describe(context, id, "01.png", "expression", "grim")
    job = captions.request_captions(context, id)
    keys = [entry["key"] for entry in draft_of(context, id)["pictures"]]
    assert job is not None and job.request["pictures"] == keys
    view = captions.captions_view(context, id)
    assert view.is_working and view.waits and view.asked == 2 and view.unseen == 0
    seen(context, job, {"expression": "happy", "place": "at sea"}, {"expression": "sad", "place": "in a park"})
    view = captions.captions_view(context, id)
    assert not view.is_working and "captions_job" not in draft_of(context, id)
    assert view.suggested == {"01.png": {"place": "at sea"}, "02.png": {"expression": "sad", "place": "in a park"}}
    assert captions.take_captions(context, id, "01.png") == 1
    captions.decline_captions(context, id, "02.png")
    assert captions.captions_view(context, id).suggested == {}
    first, second = draft_of(context, id)["images"]
    assert (first["expression"], first["place"]) == ("grim", "at sea") and not second.get("place")
    assert captions.request_captions(context, id) is None  # all were looked at
    images.add(context, id, some(3))
    again = captions.request_captions(context, id)
    assert again is not None and len(again.request["pictures"]) == 1


def test_what_speaks_against_a_caption_is_told_until_somebody_insists(context: AppContext, id: str) -> None:
    images.add(context, id, some(1, 2))
    images.describe(context, id, "01.png", "expression", "laughing")
    images.describe(context, id, "02.png", "caption", "weeping in the woods")
    job = captions.request_captions(context, id)
    assert job is not None
    told = {"expression": "sad", "clothes": "a red scarf", "place": "in a forest"}
    seen(context, job, told, told, doubts=(SEVERAL_FIGURES,))
    view = captions.captions_view(context, id)
    assert view.contradicted == {"01.png": {"expression": "sad"}}
    assert view.suggested == {"01.png": {"clothes": "a red scarf", "place": "in a forest"}}  # words of one's own stand
    captions.uphold_caption(context, id, "01.png")
    assert captions.captions_view(context, id).contradicted == {}
    images.add(context, id, some(3))
    job = captions.request_captions(context, id)
    assert job is not None
    seen(context, job, {}, doubts=(HARD_TO_DRAW,))
    view = captions.captions_view(context, id)
    assert [problem.message for problem in view.doubts["02.png"]] == ["There may be more than one figure here."]
    assert "may be a photograph" in view.doubts["03.png"][0].message
    found = [item for item in create.all_problems(draft_of(context, id)) if ": Th" in item.message]
    assert [(item.severity, create.step_of(item)) for item in found] == [("warning", 1)] * 3
    assert found[2].message.startswith("Picture 03: This may be")


def test_a_guess_in_a_foreign_art_is_asked_one_picture_at_a_time(context: AppContext, id: str) -> None:
    images.add(context, id, some(1, 2, 3))
    images.describe(context, id, "03.png", "place", "in a park")
    job = captions.request_captions(context, id)
    assert job is not None
    seen(context, job, *[{"expression": "happy", "place": "in space"}] * 3, sure=("place",))
    view = captions.captions_view(context, id)
    assert not view.suggested and not view.contradicted, "nothing is held against anybody's words either"
    assert view.guessed == {"01.png": {"place": "in space"}, "02.png": {"place": "in space"}}
    assert captions.take_captions(context, id) == 0, "all at once takes no guesses"
    assert captions.take_captions(context, id, "01.png") == 1
    captions.decline_captions(context, id, "02.png")
    assert not captions.captions_view(context, id).guessed
    places = {entry["file"]: entry.get("place") for entry in draft_of(context, id)["images"]}
    assert places == {"01.png": "in space", "02.png": None, "03.png": "in a park"}


def test_what_a_queued_look_waits_for_is_told_from_what_the_worker_does(context: AppContext, id: str) -> None:
    images.add(context, id, some(1))
    assert waiting_words(context) == "Waiting for a worker"
    jobs, worker = context.records.jobs, Worker("w", "shed", ("reply",), "", 16.0)
    context.records.workers.register(worker)
    assert waiting_words(context) == "The worker takes it up now"
    warm = jobs.add(Job(new_id(), "reply", context.owner, request={"task": "warm", "base": "starter"}))
    context.records.workers.seen("w", warm.id)
    assert "is loading its model" in waiting_words(context)
    job = captions.request_captions(context, id)
    assert job is not None
    claimed = jobs.claim(job.id, "w", 60)
    assert claimed is not None
    context.records.events.append(job.id, claimed.attempt, [loading_event()])
    view = captions.captions_view(context, id)
    assert view.is_loading and not view.waits
    told = caption_event(0, 1, CaptionSuggestion(job.request["pictures"][0]), 0.5)
    context.records.events.append(job.id, claimed.attempt, [replace(told, sequence=1)])
    assert not captions.captions_view(context, id).is_loading


def seen(
    context: AppContext,
    job: Job,
    *fields: dict[str, str],
    doubts: tuple[str, ...] = (),
    sure: tuple[str, ...] = (),
) -> None:
    """A worker has looked at the pictures of the job; an art where something is merely `sure` is foreign."""
    claimed = context.records.jobs.claim(job.id, "worker", 60)
    assert claimed is not None
    found = [
        replace(
            caption_event(at, len(fields), CaptionSuggestion(key, told, "", sure, not sure, doubts), 0.5), sequence=at
        )
        for at, (key, told) in enumerate(zip(job.request["pictures"], fields, strict=True))
    ]
    context.records.events.append(job.id, claimed.attempt, found)
    context.records.jobs.finish(job.id, "worker", claimed.attempt, "succeeded")
