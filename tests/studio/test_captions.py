"""What a worker sees in pictures: captions taken and declined, contradictions, and doubts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.core.jobs.job import Job
from pipelines.core.jobs.reply_protocol import (
    HARD_TO_DRAW,
    SEVERAL_FIGURES,
    CaptionSuggestion,
    caption_event,
    captions_in,
    trusted_fields,
)
from studio.actions import captions, create, drafts, images
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


def test_a_foreign_art_is_trusted_only_where_it_is_sure() -> None:
    told = {"expression": "sad", "place": "in space"}
    foreign = CaptionSuggestion("a", told, sure=("place",), is_familiar=False)
    known = CaptionSuggestion("b", told)
    assert trusted_fields([foreign, foreign, known]) == [{"place": "in space"}, {"place": "in space"}, {}]
    assert trusted_fields([foreign, known, known]) == [told] * 3  # all pictures of a character are of one art
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


def seen(context: AppContext, job: Job, *fields: dict[str, str], doubts: tuple[str, ...] = ()) -> None:
    """A worker has looked at the pictures of the job."""
    claimed = context.records.jobs.claim(job.id, "worker", 60)
    assert claimed is not None
    found = [
        replace(caption_event(at, len(fields), CaptionSuggestion(key, told, "", doubts=doubts), 0.5), sequence=at)
        for at, (key, told) in enumerate(zip(job.request["pictures"], fields, strict=True))
    ]
    context.records.events.append(job.id, claimed.attempt, found)
    context.records.jobs.finish(job.id, "worker", claimed.attempt, "succeeded")
