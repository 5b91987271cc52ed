"""The wizard's actions: pictures taken in and mended, texts, conversations, rights, and the start."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from pipelines.core.character.character import Character
from pipelines.core.character.checks import check_content
from pipelines.core.character.system_prompt import estimate_system_prompt
from pipelines.core.jobs.job import Worker
from pipelines.core.problems import CharacterProblems, Problem
from studio.actions import characters, create, drafts, images, interactions, talk_uploads
from studio.context import AppContext
from tests.core.drawings import drawing, encoded
from tests.core.formats.card_samples import as_charx


@pytest.fixture
def id(context: AppContext) -> str:
    """An empty character."""
    return drafts.create(context)


def draft_of(context: AppContext, id: str) -> drafts.Draft:
    return drafts.own_character(context, id).draft


def some(*seeds: int) -> list[tuple[str, bytes]]:
    return [(f"photo {seed}.png", encoded(drawing(seed))) for seed in seeds]


def turns_of(context: AppContext, id: str, number: int) -> tuple[str, ...]:
    """Ids of a conversation's turns."""
    return interactions.interaction_views(draft_of(context, id))[number].ids


# ---------------------------------------------------------------- pictures


def test_pictures_come_in_cleaned_named_and_judged(context: AppContext, id: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera of somebody"
    files = [*some(1, 2), ("turned.jpg", encoded(drawing(3), "JPEG", exif=exif)), ("photo 1.txt", b"laughing, at sea")]
    assert images.add(context, id, files) == []
    draft = draft_of(context, id)
    shown = images.image_views(context, draft)
    assert [view.file for view in shown] == ["01.png", "02.png", "03.jpg"] and shown[0].is_portrait
    assert shown[0].caption.caption == "laughing, at sea" and {view.rating for view in shown} == {"green"}
    assert b"Camera" not in context.image(draft["pictures"][2]["key"])
    assert Image.open(io.BytesIO(shown[0].thumb)).size == (256, 192)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("setup.png", b"MZ" + b"\0" * 900, "no picture"),
        ("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        ("film.jpg", b"\0\0\0\x18ftypmp42" + b"\0" * 99, "a film"),
        ("cut.png", encoded(drawing())[:900], "damaged"),
        ("../../etc/passwd.png", b"<svg onload=alert(1)>", "passwd.png is an SVG"),
        ("none.png", b"", "empty"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(
    context: AppContext, id: str, name: str, data: bytes, words: str
) -> None:
    [problem] = images.add(context, id, [(name, data), *some(1)])
    assert words in problem.message and "/etc" not in problem.message
    assert len(draft_of(context, id)["pictures"]) == 1


def test_a_zip_of_pictures_is_unpacked_with_its_captions(context: AppContext, id: str) -> None:
    [(_, one), (_, two)] = some(1, 2)
    packed = as_charx({"10_ada/a.png": one, "10_ada/a.txt": b"laughing", "reg/1_woman/x.png": encoded(drawing(5))})
    table = b"file_name,text,expression\nb.png,,sad\n"
    notes = images.add(context, id, [("set.zip", packed), ("b.png", two), ("metadata.csv", table)])
    shown = images.image_views(context, draft_of(context, id))
    assert [(view.file, view.caption.description) for view in shown] == [("01.png", "laughing"), ("02.png", "sad")]
    assert "regularisation" in " ".join(note.message for note in notes)
    empty, damaged = as_charx({"readme.txt": b"x"}), b"PK\3\4 and nothing"
    for name, data, words in (("no.zip", empty, "no picture"), ("cut.zip", damaged, "damaged archive")):
        assert words in " ".join(problem.message for problem in images.add(context, id, [(name, data)]))


def test_each_light_has_its_reason_and_its_mend(context: AppContext, id: str) -> None:
    copy = encoded(drawing(1).resize((380, 285)))
    files = [
        *some(1, 2),
        ("again.png", copy),
        ("wide.png", encoded(drawing(4, 900, 300))),
        ("tiny.png", encoded(drawing(5).resize((80, 60)))),
        *some(1),
    ]
    assert images.add(context, id, files) == []
    lights = {view.file: (view.rating, view.fixes) for view in images.image_views(context, draft_of(context, id))}
    assert lights == {
        "01.png": ("green", ()),
        "02.png": ("green", ()),
        "03.png": ("amber", ("drop",)),
        "04.png": ("amber", ("crop",)),
        "05.png": ("red", ("drop",)),
        "06.png": ("red", ("drop",)),
    }
    for file in ("03.png", "05.png", "06.png"):
        images.remove(context, id, file)
    preview = Image.open(io.BytesIO(images.crop_preview(context, draft_of(context, id), "04.png", 0.0, 0.5, 0.5)))
    assert preview.width == preview.height
    images.crop(context, id, "04.png", 0.0, 0.5, 0.5)
    entry = drafts.image_entry(draft_of(context, id), "04.png")
    assert (entry["width"], entry["height"]) == (300, 300) and entry["problems"] == []
    images.rotate(context, id, "01.png")
    turned = drafts.image_entry(draft_of(context, id), "01.png")
    assert (turned["width"], turned["height"]) == (300, 400)


def test_the_set_says_what_is_missing(context: AppContext, id: str) -> None:
    assert "There are no pictures yet" in images.image_set_problems(draft_of(context, id))[0].message
    images.add(context, id, some(1, 2, 3, 4, 5))
    for view in images.image_views(context, draft_of(context, id)):
        images.describe(context, id, view.file, "expression", "happy")
        images.describe(context, id, view.file, "place", "on a beach")
    said = " ".join(problem.message for problem in images.image_set_problems(draft_of(context, id)))
    assert "no sad face" in said and "the same place (on a beach)" in said


def test_a_dropped_picture_leaves_conversations_their_words(context: AppContext, id: str) -> None:
    images.add(context, id, some(1, 2))
    number = interactions.add_interaction(context, id, [{"user": "Show!"}, {"character": "Look!"}])
    interactions.set_image(context, id, turns_of(context, id, number)[1], "01.png", "Ada, happy")
    images.make_portrait(context, id, "02.png")
    images.remove(context, id, "01.png")
    draft = draft_of(context, id)
    assert drafts.entries_of(draft)["interactions"][0][1] == {"character": "Look!", "scene": "Ada, happy"}
    assert [entry["file"] for entry in draft["images"]] == ["02.png"]
    with pytest.raises(CharacterProblems, match="no longer there"):
        images.rotate(context, id, "01.png")


# ---------------------------------------------------------------- texts and suggestions


def test_facts_are_kept_when_anything_is_written(context: AppContext, id: str) -> None:
    drafts.set_facts(context, id, [("Where?", "Here"), (" ", ""), ("Who?", "")])
    assert draft_of(context, id)["facts"] == [
        {"question": "Where?", "answer": "Here"},
        {"question": "Who?", "answer": ""},
    ]


def test_captions_stay_with_their_pictures_whatever_they_are_called(context: AppContext, id: str) -> None:
    faces = [("\U0001f621", "angry face", 1), ("\U0001f642", "happy face", 2), ("sad/01", "sad face", 3)]
    data = [encoded(drawing(number)) for _, _, number in faces]
    pictures = [(f"{name}.png", content) for (name, _, _), content in zip(faces, data, strict=True)]
    texts = [(f"{name}.txt", words.encode("utf-16")) for name, words, _ in faces]
    assert images.add(context, id, pictures) == []
    # Captions come later and in another order; the note is about the one without a picture.
    [note] = images.add(context, id, [*reversed(texts), ("happy/01.txt", b"x")])
    assert note.message == "01.txt belongs to no picture."
    entries = characters.own_character(context, id).draft["images"]
    assert [entry["caption"] for entry in entries] == ["angry face", "happy face", "sad face"]


# ---------------------------------------------------------------- conversations


def test_a_conversation_is_edited_turn_by_turn(context: AppContext, id: str) -> None:
    number = interactions.add_interaction(context, id, [{"user": "Hi"}, {"character": "Aye."}])
    first = turns_of(context, id, number)
    interactions.add_turn(context, id, first, "user", "And?")
    added = turns_of(context, id, number)[2]
    interactions.switch_speaker(context, id, added)
    interactions.move_turn(context, id, added, -1)
    interactions.set_words(context, id, first[0], "Hello")
    talks = drafts.entries_of(draft_of(context, id))["interactions"]
    assert talks == [[{"user": "Hello"}, {"character": "And?"}, {"character": "Aye."}]]
    interactions.remove_turn(context, id, added)
    interactions.add_interaction(context, id, [{"user": "Second"}, {"character": "Two."}])
    second = turns_of(context, id, 1)
    assert interactions.move_interaction(context, id, second, -1) == 0
    assert [talk.opening for talk in interactions.interaction_views(draft_of(context, id))] == ["Second", "Hello"]
    interactions.remove_interaction(context, id, first)  # it is another place now
    assert [talk.opening for talk in interactions.interaction_views(draft_of(context, id))] == ["Second"]
    for action in (interactions.remove_interaction, interactions.remove_turn):
        with pytest.raises(CharacterProblems, match="no longer there"):
            action(context, id, first[0])


def test_the_linter_points_at_the_turn(context: AppContext, id: str) -> None:
    interactions.add_interaction(context, id, [{"user": "Hi"}, {"character": "As an AI I cannot."}, {"user": ""}])
    interactions.add_interaction(context, id, [{"user": "Hi"}, {"character": "word " * 300}])
    first, second = interactions.interaction_views(draft_of(context, id))
    assert "assistant" in first.turns[1].problems[0].message and first.worst == "error"
    assert any("is empty" in problem.message for problem in first.turns[2].problems)
    assert "long" in second.turns[1].problems[0].message and second.worst == "warning"


def pasted(context: AppContext, id: str, text: str) -> tuple[int, list[Problem]]:
    return talk_uploads.add_read(context, id, talk_uploads.read_pasted(context, id, text), talk_uploads.PASTED)


def uploaded(context: AppContext, id: str, name: str, data: bytes) -> tuple[int, list[Problem]]:
    return talk_uploads.add_read(context, id, talk_uploads.read_file(context, id, name, data), name)


def test_pasted_blocks_and_data_files_are_added_once(context: AppContext, id: str) -> None:
    drafts.set_text(context, id, "name", "Ada")
    assert pasted(context, id, "<START>\n{{user}}: Hi\nAda: Aye.")[0] == 1
    lines = "\n".join(
        json.dumps({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "Aye."}]})
        for text in ("Hi", "Ho")
    )
    assert uploaded(context, id, "talks.jsonl", lines.encode())[0] == 1
    sharegpt = [{"conversations": [{"from": "human", "value": "Ha"}, {"from": "gpt", "value": "Aye."}]}]
    assert uploaded(context, id, "talks.json", json.dumps(sharegpt).encode())[0] == 1
    for data in (b"MZ\x90\xff", b"{}", b"x" * (9 << 20)):
        with pytest.raises(CharacterProblems, match=r"talks\.json"):
            uploaded(context, id, "talks.json", data)
    assert len(draft_of(context, id)["interactions"]) == 3


def test_an_upload_keeps_answers_that_were_not_chosen_once(context: AppContext, id: str) -> None:
    drafts.set_text(context, id, "name", "Ada")
    pair = [{"prompt": "Hi", "chosen": "Aye.", "rejected": "As you wish."}]
    for _ in range(2):
        _, notes = uploaded(context, id, "pairs.json", json.dumps(pair).encode())
    kept = draft_of(context, id)["extensions"]["understudy_rejected"]
    assert kept == pair and any("kept as rejected" in note.message for note in notes)


def test_an_upload_of_too_much_is_taken_as_far_as_there_is_room(
    context: AppContext, id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk_uploads, "MAX_INTERACTIONS", 2)
    text = "\n".join(f"<START>\n{{{{user}}}}: {word}\n{{{{char}}}}: {'Aye. ' * 1700}" for word in ("a", "b", "c"))
    added, notes = uploaded(context, id, "talks.txt", text.encode())
    assert added == 2 and any("1 conversations were left out" in note.message for note in notes)
    assert any(
        "1,000 tokens" in problem.message or "long" in problem.message for problem in _lint(draft_of(context, id))
    )


def _lint(draft: drafts.Draft) -> list[Problem]:
    return [
        problem for view in interactions.interaction_views(draft) for turn in view.turns for problem in turn.problems
    ]


def test_what_is_learned_and_what_is_told(context: AppContext) -> None:
    draft = draft_of(context, characters.try_bundled(context, "quibb"))
    told = interactions.learned(draft)
    assert len(told.test.conversations) == len(draft["test"]["dialogues"]) and 250 < told.prompt_tokens < 340
    without = interactions.learned({**draft, "test": None})
    assert len(without.test.conversations) == max(2, len(draft["interactions"]) // 8) and without.replies < told.replies
    # As the page of who they are counts them.
    assert told.prompt_tokens == estimate_system_prompt(drafts.character_of(draft)[0])


def test_a_new_conversation_has_no_fault_before_anything_is_typed(context: AppContext) -> None:
    id = drafts.create(context)
    interactions.add_interaction(context, id, [{"user": ""}, {"character": ""}])
    [view] = interactions.interaction_views(draft_of(context, id))
    assert view.worst == ""
    interactions.set_words(context, id, view.turns[0].id, "Hello?")
    [view] = interactions.interaction_views(draft_of(context, id))
    assert view.worst == "error" and not view.turns[0].problems


# ---------------------------------------------------------------- rights and the start


def test_the_statement_covers_these_pictures_and_no_others(context: AppContext, id: str) -> None:
    images.add(context, id, some(1))
    with pytest.raises(CharacterProblems, match="Nobody is named"):
        create.give_consent(context, id, "drawn", " ")
    create.give_consent(context, id, "drawn", "Ada's maker")
    draft = draft_of(context, id)
    assert create.consent_covers(draft) and draft["consent"]["image_sha256"] == [draft["pictures"][0]["sha256"]]
    assert draft["consent"]["statement"] == create.STATEMENTS["drawn"] and draft["consent"]["given_at"]
    images.rotate(context, id, "01.png")
    assert not create.consent_covers(draft_of(context, id))
    assert "changed after" in create.all_problems(draft_of(context, id))[-1].message


def test_an_unfinished_draft_says_all_that_is_missing_and_does_not_start(context: AppContext, id: str) -> None:
    found = create.summary(draft_of(context, id))
    assert not found.can_train and all(found.problems[step] for step in (1, 2, 3, 4))
    with pytest.raises(CharacterProblems) as refused:
        create.start(context, id, "quick", "starter")
    assert {problem.field for problem in refused.value.problems} >= {"images", "name", "persona", "consent"}
    assert not context.records.jobs.list(owner=context.owner)


def test_mends_are_for_the_form_and_not_for_a_file(context: AppContext, id: str) -> None:
    mends = {problem.field: problem.mend for problem in create.all_problems(draft_of(context, id))}
    assert mends["style"] == "Fill it in, for example: short sentences, dry jokes, never swears."
    assert mends["appearance"].startswith("Fill it in with hair") and mends["licence"].startswith("Fill it in to say")
    assert not any("`" in mends[field] for field in ("style", "appearance", "licence"))
    by_hand = {item.field: item.mend for item in check_content(Character("Tola", "Mends clocks."), None)}
    assert by_hand["style"].startswith("Add `style:`, for example: short")


def test_training_publishes_a_version_and_queues_the_job(context: AppContext) -> None:
    id = characters.try_bundled(context, "nella-tarn")
    job = create.start(context, id, "standard", "starter")
    version = context.records.characters.version(id)
    assert (job.status, job.version, version.version) == ("queued", 1, 1)
    assert job.recipe is not None and job.recipe["effort"] == "standard"
    assert len(version.images) == 10 and len(version.test_images) == 5 and "pictures" not in version.entries
    assert set(version.images.values()) <= set(context.records.keys())


def test_base_models_follow_what_the_workers_can_run(context: AppContext) -> None:
    reasons = {choice.base.preset: choice.reason for choice in create.preset_choices(context)}
    assert not reasons["starter"] and "no worker is running" in reasons["janus-pro-1b"]
    context.records.workers.register(Worker("w1", "host", ("train", "reply"), "A card", 12.6))
    reasons = {choice.base.preset: choice.reason for choice in create.preset_choices(context)}
    assert not reasons["janus-pro-1b"] and "the largest here has 13 GB" in reasons["janus-pro-7b"]
    assert reasons["bagel-7b"] == "It needs a graphics card of 24 GB; the largest here has 13 GB."
    context.records.workers.register(Worker("w2", "host", ("train", "reply"), "A card", 25.8))
    reasons = {choice.base.preset: choice.reason for choice in create.preset_choices(context)}
    assert not any(reasons.values())
