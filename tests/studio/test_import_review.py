"""Every import is looked over before anything is saved: what is told, what is saved, and what cancelling leaves."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from pathlib import Path

import pytest

from pipelines.core.formats.picture_sets import EVERYONE
from pipelines.core.jobs.job import RecordMissing
from pipelines.core.problems import CharacterProblems
from studio import context as contexts
from studio.actions import drafts, images, import_review, picture_uploads, talk_uploads
from studio.actions.import_review import StagedUpload
from studio.context import AppContext
from tests.core.drawings import drawing, encoded
from tests.core.formats.card_samples import as_png, foreign
from tests.core.formats.mmrole_samples import write_data_set

TALK = "<START>\n{{user}}: Hi\n{{char}}: Aye.\nBen: Me too.\nBen: Really."


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stays behind is looked for: tests of other files that run at the same time may not be seen."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))


def card() -> bytes:
    return as_png({"ccv3": foreign(name="Vilde", mes_example=TALK + "\n<START>\nnobody says this")})


def stage(context: AppContext, name: str, data: bytes) -> StagedUpload:
    return import_review.stage_character(context, name, io.BytesIO(data))


def stored(context: AppContext) -> list[str]:
    """Every object of the store."""
    root = context.settings.home / "objects"
    return [str(path) for path in root.rglob("*") if path.is_file()] if root.is_dir() else []


def folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("understudy-import-*"))


def test_a_card_is_told_in_full_before_anything_is_saved(context: AppContext) -> None:
    staged = stage(context, "vilde.png", card())
    assert not context.records.characters.list(context.owner) and not stored(context)
    contents = staged.contents
    assert contents.counts == ("1 picture", "1 conversation", "no facts")
    assert dict(contents.texts)["Name"] == "Vilde" and contents.pictures[0].thumb.startswith(b"\xff\xd8")
    left_out = {item.message.removesuffix("."): item.examples for item in staged.notes["left out"]}
    assert left_out["left out: no line begins with a speaker and a colon, like {{user}}: or {{char}}:"] == (
        "nobody says this",
    )
    assert left_out["lines of somebody else were left out"] == ("Ben: Me too.", "Ben: Really.")
    assert any("lorebook" in item.message for item in staged.notes["kept"])
    assert any("training needs 5" in item.message for item in staged.notes["missing"])
    id = import_review.take(context, staged.id)
    draft = drafts.own_character(context, id).draft
    assert draft["name"] == "Vilde" and len(draft["interactions"]) == 1 and stored(context)


def test_cancelling_leaves_nothing_behind(context: AppContext) -> None:
    before = folders()
    staged = stage(context, "vilde.png", card())
    assert len(folders() - before) == 1
    import_review.discard(context, staged.id)
    assert folders() == before and not stored(context) and not context.records.characters.list(context.owner)
    assert import_review.get(context, staged.id) is None
    with pytest.raises(RecordMissing, match="cancelled"):
        import_review.take(context, staged.id)


def test_what_is_refused_leaves_nothing_behind(context: AppContext) -> None:
    before = folders()
    with pytest.raises(CharacterProblems):
        stage(context, "setup.png", b"MZ" + b"\0" * 300)
    assert folders() == before


def test_nobody_takes_it_in_twice_and_the_oldest_goes(context: AppContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contexts, "MAX_STAGED", 2)
    before = folders()
    first, second, third = (stage(context, "vilde.png", card()) for _ in range(3))
    assert import_review.get(context, first.id) is None and len(folders() - before) == 2
    import_review.take(context, second.id)
    with pytest.raises(RecordMissing):
        import_review.take(context, second.id)
    import_review.discard(context, third.id)
    assert folders() == before and len(context.records.characters.list(context.owner)) == 1


def test_what_waits_holds_no_more_memory_than_it_may(context: AppContext, monkeypatch: pytest.MonkeyPatch) -> None:
    id = drafts.create(context)
    picture = encoded(drawing(2))
    first, second = (
        import_review.stage_pictures(context, id, [(f"{name}.png", picture), (f"{name}.txt", b"laughing")])
        for name in ("first", "second")
    )
    assert first.held_bytes > 1000 and import_review.get(context, first.id) is first
    monkeypatch.setattr(contexts, "MAX_STAGED_BYTES", 2 * first.held_bytes)
    talk = import_review.stage_talks(context, id, talk_uploads.read_file(context, id, "a.txt", TALK.encode()), "a.txt")
    assert talk.held_bytes > 500
    assert import_review.get(context, first.id) is None and import_review.get(context, second.id) is second
    monkeypatch.setattr(contexts, "MAX_STAGED_BYTES", 10)
    third = import_review.stage_pictures(context, id, [("third.png", picture), ("third.txt", b"laughing")])
    assert import_review.get(context, third.id) is third and import_review.get(context, talk.id) is None


def test_a_file_of_many_roles_asks_for_one(context: AppContext, tmp_path: Path) -> None:
    root = write_data_set(tmp_path / "data_set")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(root))
    staged = stage(context, "mmrole.zip", packed.getvalue())
    assert staged.save is None and staged.roles == {"Tola": 8, "Ben": 1, "船夫": 1}
    with pytest.raises(RecordMissing):
        import_review.take(context, staged.id)
    import_review.choose_role(context, staged.id, "Ben")
    import_review.choose_role(context, staged.id, "Tola")  # they change their mind
    chosen = import_review.get(context, staged.id)
    assert chosen is not None and "2 pictures that others show" in chosen.contents.counts
    draft = drafts.own_character(context, import_review.take(context, staged.id)).draft
    assert draft["name"] == "Tola" and len(draft["interactions"]) == 3 and len(draft["test"]["dialogues"]) == 2
    assert len(draft["input_pictures"]) == 2 and draft["test_pictures"]


def test_captions_are_shown_with_their_pictures(context: AppContext) -> None:
    id = drafts.create(context)
    images.add(context, id, [("there.png", encoded(drawing(1)))])
    files = [
        ("new.png", encoded(drawing(2))),
        ("new.txt", b"laughing on a boat"),
        ("there.txt", ("long " * 80).encode()),
        ("nobody.txt", b"x"),
        ("broken.png", b"MZ" + b"\0" * 100),
    ]
    assert picture_uploads.needs_review(name for name, _ in files) and not picture_uploads.needs_review(
        ["a.png", "b.HEIC"]
    )
    staged = import_review.stage_pictures(context, id, files)
    assert len(drafts.own_character(context, id).draft["pictures"]) == 1
    assert [(one.name, one.caption) for one in staged.contents.pictures] == [("new.png", "laughing on a boat")]
    assert staged.contents.counts == ("1 picture", "1 caption", "1 caption for pictures that are there")
    told = " ".join(item.message for item in staged.notes["left out"])
    assert "nobody.txt belongs to no picture" in told and "broken" in told
    assert any("it was cut" in item.message for item in staged.notes["changed"])
    import_review.take(context, staged.id)
    draft = drafts.own_character(context, id).draft
    assert len(draft["pictures"]) == 2 and draft["images"][1]["caption"] == "laughing on a boat"
    assert draft["images"][0]["caption"].startswith("long long")


def test_pictures_with_names_of_any_script_are_told_apart(context: AppContext) -> None:
    id = drafts.create(context)
    names = ["\U0001f642.png", "\U0001f621.png", "\u0e01\u0e34.png", "\u0e01\u0e35.png", "Na\u0308h.png"]
    staged = import_review.stage_pictures(
        context, id, [(name, encoded(drawing(place))) for place, name in enumerate(names)]
    )
    assert [one.name for one in staged.contents.pictures] == [*names[:4], "N\u00e4h.png"]
    assert picture_uploads.plain_name("../a<b>\u202e*\x07[c].png") == "a_b_____c_.png"


def test_conversations_are_shown_and_those_that_are_there_told(context: AppContext) -> None:
    id = drafts.create(context)
    drafts.set_text(context, id, "name", "Vilde")
    talk = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Aye."}]}
    more = {"messages": [{"role": "user", "content": "Ho"}, {"role": "assistant", "content": "Aye aye."}]}
    found = talk_uploads.read_file(context, id, "a.json", json.dumps([talk]).encode())
    import_review.take(context, import_review.stage_talks(context, id, found, "a.json").id)
    lines = "\n".join([json.dumps(talk), "no record", json.dumps(more)])
    found = talk_uploads.read_file(context, id, "b.jsonl", lines.encode())
    staged = import_review.stage_talks(context, id, found, "b.jsonl")
    assert staged.contents.counts == ("1 conversation",) and staged.contents.talks[0][0].text == "Ho"
    assert [item.examples for item in staged.notes["left out"]] == [("line 2: no record",), ("Hi",)]
    assert len(drafts.own_character(context, id).draft["interactions"]) == 1
    import_review.take(context, staged.id)
    assert len(drafts.own_character(context, id).draft["interactions"]) == 2
    with pytest.raises(CharacterProblems, match="there already"):
        import_review.stage_talks(context, id, found, "b.jsonl")


def test_a_draft_that_is_gone_meanwhile_is_said(context: AppContext) -> None:
    id = drafts.create(context)
    found = talk_uploads.read_pasted(context, id, "<START>\n{{user}}: Hi\n{{char}}: Aye.")
    staged = import_review.stage_talks(context, id, found, talk_uploads.PASTED, "the text")
    context.records.characters.delete(id)
    with pytest.raises(RecordMissing):
        import_review.take(context, staged.id)
    assert import_review.get(context, staged.id) is staged  # it can still be looked at


def test_a_set_of_two_people_asks_whom_to_take(context: AppContext) -> None:
    id = drafts.create(context)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, label in enumerate(("10_tola woman", "10_tola woman", "5_orla man"), start=1):
            archive.writestr(f"{label}/{number}.png", encoded(drawing(number)))
            archive.writestr(f"{label}/{number}.txt", f"{label.partition('_')[2]}, laughing")
    staged = import_review.stage_pictures(context, id, [("set.zip", packed.getvalue())])
    assert list(staged.roles) == ["tola woman", "orla man", EVERYONE] and staged.save is None
    import_review.choose_role(context, staged.id, "orla man")
    import_review.choose_role(context, staged.id, "tola woman")
    chosen = import_review.get(context, staged.id)
    assert chosen is not None and chosen.contents.counts == ("2 pictures", "2 captions")
    assert any("other people were left out: orla man" in item.message for item in chosen.notes["left out"])
    assert import_review.take(context, staged.id) == id
    assert [entry["caption"] for entry in drafts.own_character(context, id).draft["images"]] == ["laughing"] * 2


def test_a_zip_of_cards_asks_which_one(context: AppContext) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("Vilde", "Orla"):
            archive.writestr(f"{name}.png", as_png({"ccv3": foreign(name=name)}))
    staged = stage(context, "cards.zip", packed.getvalue())
    assert set(staged.roles) == {"Orla", "Vilde"} and staged.save is None
    import_review.choose_role(context, staged.id, "Vilde")
    id = import_review.take(context, staged.id)
    assert drafts.own_character(context, id).draft["name"] == "Vilde"


def test_what_is_told_names_the_file_as_it_was_uploaded(context: AppContext) -> None:
    book = {"entries": [{"keys": [str(n)], "content": "x" * 4000, "extensions": {}} for n in range(900)]}
    for name, data in (
        ("Vilde.json", json.dumps(foreign(name="Vilde", character_book=book)).encode()),
        ("v.png", card()),
    ):
        staged = stage(context, name, data)
        told = [item for notes in staged.notes.values() for item in notes]
        assert told and not any("upload." in f"{item.field} {item.message} {item.mend}" for item in told)
    for name, data in (
        ("Setup.PNG", b"\x89PNG\r\n\x1a\n"),
        ("a.zip", b"PK\x03\x04x"),
        ("b.json", b"[1"),
        ("c.txt", b"x: y"),
    ):
        with pytest.raises(CharacterProblems) as raised:
            stage(context, name, data)
        assert all(name in item.message and "upload." not in str(item) for item in raised.value.problems)
