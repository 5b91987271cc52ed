"""The wizard's actions: pictures taken in and mended, texts, conversations, suggestions, rights, and the start."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from PIL import Image

from pipelines.core.jobs.job import Worker
from pipelines.core.jobs.reply_protocol import CaptionSuggestion, caption_event
from pipelines.core.problems import CharacterProblems
from studio.actions import characters, conversations, create, drafts, images, suggestions
from studio.context import AppContext
from tests.core.drawings import drawing, encoded


@pytest.fixture
def id(desk: AppContext) -> str:
    """An empty character."""
    return drafts.create(desk)


def draft_of(desk: AppContext, id: str) -> drafts.Draft:
    return drafts.own_character(desk, id).draft


def some(*seeds: int) -> list[tuple[str, bytes]]:
    return [(f"photo {seed}.png", encoded(drawing(seed))) for seed in seeds]


# ---------------------------------------------------------------- pictures


def test_pictures_come_in_cleaned_named_and_judged(desk: AppContext, id: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera of somebody"
    files = [*some(1, 2), ("turned.jpg", encoded(drawing(3), "JPEG", exif=exif)), ("photo 1.txt", b"laughing, at sea")]
    assert images.add(desk, id, files) == []
    draft = draft_of(desk, id)
    shown = images.pictures(desk, draft)
    assert [view.file for view in shown] == ["01.png", "02.png", "03.jpg"] and shown[0].is_portrait
    assert shown[0].caption.caption == "laughing, at sea" and {view.light for view in shown} == {"green"}
    assert b"Camera" not in desk.picture(draft["pictures"][2]["key"])
    assert Image.open(io.BytesIO(shown[0].thumb)).size == (256, 192)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("setup.png", b"MZ" + b"\0" * 900, "no picture"),
        ("film.jpg", b"\0\0\0\x18ftypmp42" + b"\0" * 99, "a film"),
        ("cut.png", encoded(drawing())[:900], "damaged"),
        ("../../etc/passwd.png", b"<svg onload=alert(1)>", "passwd.png is an SVG"),
        ("none.png", b"", "empty"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(desk: AppContext, id: str, name: str, data: bytes, words: str) -> None:
    [problem] = images.add(desk, id, [(name, data), *some(1)])
    assert words in problem.message and "/etc" not in problem.message
    assert len(draft_of(desk, id)["pictures"]) == 1


def test_each_light_has_its_reason_and_its_mend(desk: AppContext, id: str) -> None:
    copy = encoded(drawing(1).resize((380, 285)))
    files = [
        *some(1, 2),
        ("again.png", copy),
        ("wide.png", encoded(drawing(4, 900, 300))),
        ("tiny.png", encoded(drawing(5).resize((80, 60)))),
        *some(1),
    ]
    assert images.add(desk, id, files) == []
    lights = {view.file: (view.light, view.fixes) for view in images.pictures(desk, draft_of(desk, id))}
    assert lights == {
        "01.png": ("green", ()),
        "02.png": ("green", ()),
        "03.png": ("amber", ("drop",)),
        "04.png": ("amber", ("crop",)),
        "05.png": ("red", ("drop",)),
        "06.png": ("red", ("drop",)),
    }
    for file in ("03.png", "05.png", "06.png"):
        images.drop(desk, id, file)
    preview = Image.open(io.BytesIO(images.crop_preview(desk, draft_of(desk, id), "04.png", 0.0, 0.5, 0.5)))
    assert preview.width == preview.height
    images.crop(desk, id, "04.png", 0.0, 0.5, 0.5)
    entry = drafts.picture_entry(draft_of(desk, id), "04.png")
    assert (entry["width"], entry["height"]) == (300, 300) and entry["problems"] == []
    images.rotate(desk, id, "01.png")
    turned = drafts.picture_entry(draft_of(desk, id), "01.png")
    assert (turned["width"], turned["height"]) == (300, 400)


def test_the_set_says_what_is_missing(desk: AppContext, id: str) -> None:
    assert "There are no pictures yet" in images.what_the_set_needs(draft_of(desk, id))[0].message
    images.add(desk, id, some(1, 2, 3, 4, 5))
    for view in images.pictures(desk, draft_of(desk, id)):
        images.describe(desk, id, view.file, "expression", "happy")
        images.describe(desk, id, view.file, "place", "on a beach")
    said = " ".join(problem.message for problem in images.what_the_set_needs(draft_of(desk, id)))
    assert "no sad face" in said and "the same place (on a beach)" in said


def test_a_dropped_picture_leaves_conversations_their_words(desk: AppContext, id: str) -> None:
    images.add(desk, id, some(1, 2))
    number = conversations.add_conversation(desk, id, [{"user": "Show!"}, {"character": "Look!"}])
    conversations.set_picture(desk, id, number, 1, "01.png", "Ada, happy")
    images.make_portrait(desk, id, "02.png")
    images.drop(desk, id, "01.png")
    draft = draft_of(desk, id)
    assert draft["interactions"][0][1] == {"character": "Look!", "scene": "Ada, happy"}
    assert [entry["file"] for entry in draft["images"]] == ["02.png"]
    with pytest.raises(CharacterProblems, match="no longer there"):
        images.rotate(desk, id, "01.png")


# ---------------------------------------------------------------- texts and suggestions


def test_long_texts_are_refused_and_facts_kept(desk: AppContext, id: str) -> None:
    with pytest.raises(CharacterProblems, match="8,000 are the most"):
        drafts.set_text(desk, id, "persona", "x" * 10_000_000)
    drafts.set_facts(desk, id, [("Where?", "Here"), (" ", ""), ("Who?", "")])
    assert draft_of(desk, id)["facts"] == [{"question": "Where?", "answer": "Here"}, {"question": "Who?", "answer": ""}]


def test_the_persona_suggests_facts_and_better_places(desk: AppContext, id: str) -> None:
    drafts.set_text(desk, id, "name", "Ada Moor")
    drafts.set_text(
        desk,
        id,
        "persona",
        "Ada lives in a lighthouse. She has red hair. She speaks in riddles. She is afraid of geese and of silence.",
    )
    facts = suggestions.facts_in_persona(draft_of(desk, id))
    assert ("Where does Ada live?", "In a lighthouse") in [(fact.question, fact.answer) for fact in facts]
    suggestions.take_fact(desk, id, facts[0])
    assert facts[0] not in suggestions.facts_in_persona(draft_of(desk, id))
    suggestions.move_sentences(desk, id, "appearance")
    draft = draft_of(desk, id)
    assert draft["appearance"] == "She has red hair." and "red hair" not in draft["persona"]
    assert [one.field for one in suggestions.better_elsewhere(draft)] == ["style"]


def test_captions_come_from_a_job_and_leave_written_ones_alone(desk: AppContext, id: str) -> None:
    images.add(desk, id, some(1, 2))
    images.describe(desk, id, "01.png", "expression", "grim")
    job = suggestions.ask_for_captions(desk, id)
    key = drafts.picture_entry(draft_of(desk, id), "02.png")["key"]
    assert job.request["pictures"] == [key]
    assert suggestions.caption_news(desk, draft_of(desk, id)).is_working
    claimed = desk.records.jobs.claim(job.id, "worker", 60)
    assert claimed is not None
    told = caption_event(0, 1, CaptionSuggestion(key, {"expression": "happy", "place": "at sea"}), 0.5)
    desk.records.events.append(job.id, claimed.attempt, [replace(told, sequence=0)])
    desk.records.jobs.finish(job.id, "worker", claimed.attempt, "succeeded")
    news = suggestions.caption_news(desk, draft_of(desk, id))
    assert news.ready == {"02.png": {"expression": "happy", "place": "at sea"}} and not news.is_working
    assert suggestions.take_captions(desk, id) == 1
    first, second = draft_of(desk, id)["images"]
    assert first["expression"] == "grim" and second["place"] == "at sea"


# ---------------------------------------------------------------- conversations


def test_a_conversation_is_edited_turn_by_turn(desk: AppContext, id: str) -> None:
    number = conversations.add_conversation(desk, id, [{"user": "Hi"}, {"character": "Aye."}])
    conversations.add_turn(desk, id, number, "user", "And?")
    conversations.switch_speaker(desk, id, number, 2)
    conversations.move_turn(desk, id, number, 2, -1)
    conversations.set_words(desk, id, number, 0, "Hello")
    assert draft_of(desk, id)["interactions"] == [[{"user": "Hello"}, {"character": "And?"}, {"character": "Aye."}]]
    conversations.remove_turn(desk, id, number, 1)
    conversations.add_conversation(desk, id, [{"user": "Second"}, {"character": "Two."}])
    assert conversations.move_conversation(desk, id, 1, -1) == 0
    assert [talk.opening for talk in conversations.talks(draft_of(desk, id))] == ["Second", "Hello"]
    conversations.remove_conversation(desk, id, 0)
    with pytest.raises(CharacterProblems, match="no longer there"):
        conversations.set_words(desk, id, 1, 0, "late")


def test_the_linter_points_at_the_turn(desk: AppContext, id: str) -> None:
    conversations.add_conversation(desk, id, [{"user": "Hi"}, {"character": "As an AI I cannot."}, {"user": ""}])
    conversations.add_conversation(desk, id, [{"user": "Hi"}, {"character": "word " * 300}])
    first, second = conversations.talks(draft_of(desk, id))
    assert "assistant" in first.turns[1].problems[0].message and first.worst == "error"
    assert any("is empty" in problem.message for problem in first.turns[2].problems)
    assert "long" in second.turns[1].problems[0].message and second.worst == "warning"


def test_pasted_blocks_and_data_files_are_added_once(desk: AppContext, id: str) -> None:
    drafts.set_text(desk, id, "name", "Ada")
    assert conversations.paste(desk, id, "<START>\n{{user}}: Hi\nAda: Aye.")[0] == 1
    lines = "\n".join(
        json.dumps({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "Aye."}]})
        for text in ("Hi", "Ho")
    )
    assert conversations.upload(desk, id, "talks.jsonl", lines.encode())[0] == 1
    sharegpt = [{"conversations": [{"from": "human", "value": "Ha"}, {"from": "gpt", "value": "Aye."}]}]
    assert conversations.upload(desk, id, "talks.json", json.dumps(sharegpt).encode())[0] == 1
    for data in (b"MZ\x90\xff", b"{}", b"x" * (9 << 20)):
        with pytest.raises(CharacterProblems, match=r"talks\.json"):
            conversations.upload(desk, id, "talks.json", data)
    assert len(draft_of(desk, id)["interactions"]) == 3


def test_what_is_learned_and_what_is_told(desk: AppContext) -> None:
    draft = draft_of(desk, characters.try_bundled(desk, "quibb"))
    told = conversations.learned(draft)
    assert told.kept_for_test == len(draft["test"]["dialogues"]) and 250 < told.told_tokens < 340
    without = conversations.learned({**draft, "test": None})
    assert without.kept_for_test == len(draft["interactions"]) // 8 and without.replies < told.replies


# ---------------------------------------------------------------- rights and the start


def test_the_statement_covers_these_pictures_and_no_others(desk: AppContext, id: str) -> None:
    images.add(desk, id, some(1))
    with pytest.raises(CharacterProblems, match="Nobody is named"):
        create.give_consent(desk, id, "drawn", " ")
    create.give_consent(desk, id, "drawn", "Ada's maker")
    draft = draft_of(desk, id)
    assert create.consent_covers(draft) and draft["consent"]["image_sha256"] == [draft["pictures"][0]["sha256"]]
    assert draft["consent"]["statement"] == create.STATEMENTS["drawn"] and draft["consent"]["given_at"]
    images.rotate(desk, id, "01.png")
    assert not create.consent_covers(draft_of(desk, id))
    assert "changed after" in create.all_problems(draft_of(desk, id))[-1].message


def test_an_unfinished_draft_says_all_that_is_missing_and_does_not_start(desk: AppContext, id: str) -> None:
    found = create.summary(draft_of(desk, id))
    assert not found.can_train and all(found.problems[step] for step in (1, 2, 3, 4))
    with pytest.raises(CharacterProblems) as refused:
        create.start(desk, id, "quick", "starter")
    assert {problem.field for problem in refused.value.problems} >= {"images", "name", "persona", "consent"}
    assert not desk.records.jobs.list(owner=desk.owner)


def test_training_publishes_a_version_and_queues_the_job(desk: AppContext) -> None:
    id = characters.try_bundled(desk, "nella-tarn")
    job = create.start(desk, id, "standard", "starter")
    version = desk.records.characters.version(id)
    assert (job.status, job.version, version.version) == ("queued", 1, 1)
    assert job.recipe is not None and job.recipe["effort"] == "standard"
    assert len(version.images) == 10 and len(version.test_images) == 5 and "pictures" not in version.entries
    assert set(version.images.values()) <= set(desk.records.keys())


def test_base_models_follow_what_the_workers_can_run(desk: AppContext) -> None:
    reasons = {choice.base.preset: choice.reason for choice in create.base_choices(desk)}
    assert not reasons["starter"] and "no worker is running" in reasons["janus-pro-1b"]
    desk.records.workers.register(Worker("w1", "host", ("train", "reply"), "A card", 12.6))
    reasons = {choice.base.preset: choice.reason for choice in create.base_choices(desk)}
    assert not reasons["janus-pro-1b"] and "the largest here has 13 GB" in reasons["janus-pro-7b"]
