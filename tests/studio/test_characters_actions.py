"""The gallery's actions: beginnings from examples and strangers' files, versions, and an end that leaves nothing."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.formats.cards import export_card
from pipelines.core.jobs.job import Checkpoint, Conversation, Job, RecordMissing, new_id
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.problems import CharacterProblems
from pipelines.core.queue import submit
from pipelines.core.storage.garbage import collect_garbage
from pipelines.core.storage.store import exists, put_tree
from studio.actions import characters, create, drafts, images
from studio.context import AppContext
from tests.core.drawings import drawing, encoded
from tests.core.formats.card_samples import as_charx, as_json, as_png, foreign

BUNDLED = Path(__file__).resolve().parents[2] / "pipelines" / "core" / "bundled"


def took(desk: AppContext, name: str, data: bytes) -> characters.Imported:
    return characters.import_upload(desk, name, io.BytesIO(data))


def test_a_bundled_character_is_ready_to_train_and_copied_once(desk: AppContext) -> None:
    assert [one.slug for one in characters.bundled()] == ["ambrose-fell", "nella-tarn", "quibb"]
    id = characters.try_bundled(desk, "quibb")
    assert characters.try_bundled(desk, "quibb") == id
    draft = drafts.own_character(desk, id).draft
    assert create.summary(draft).can_train and create.consent_covers(draft)
    assert len(draft["pictures"]) == 10 and draft["test"]["images"] and len(draft["test_pictures"]) == 5
    with pytest.raises(RecordMissing):
        characters.try_bundled(desk, "../../etc")


@pytest.mark.parametrize("kind", ["png", "json", "charx", "zip"])
def test_every_kind_of_file_begins_a_character(desk: AppContext, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"quibb.{kind}"
    export_card(BUNDLED / "quibb", path)
    found = took(desk, path.name, path.read_bytes())
    draft = drafts.own_character(desk, found.id).draft
    assert found.name == "Quibb" and len(draft["interactions"]) > 20 and draft["pictures"]
    assert ("test" in draft) == (kind == "zip")


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("character.yaml", b"name: Bomb\n" + b"#" * 80_000_000)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("bomb.zip", bomb(), "unpacks"),
        ("setup.png", b"MZ" + b"\0" * 4000, "setup.png"),
        ("setup.zip", b"MZ" + b"\0" * 4000, "setup.zip"),
        ("long.json", as_json(foreign(description="la " * 3_500_000)), "long.json"),
        ("wordy.json", as_json(foreign(description="la " * 9_000)), "characters long"),
        ("empty.charx", b"", "empty.charx"),
        ("photo.png", encoded(drawing()), "photo.png"),
    ],
    ids=["bomb", "program", "program as zip", "ten megabytes", "wordy", "empty", "no card"],
)
def test_what_cannot_be_used_ends_in_a_clear_message(desk: AppContext, name: str, data: bytes, words: str) -> None:
    with pytest.raises(CharacterProblems) as refused:
        took(desk, name, data)
    assert words in str(refused.value) and "upload." not in str(refused.value)
    assert not desk.records.characters.list(desk.owner) and not list(desk.store.keys("pictures/"))


def test_too_many_bytes_are_refused_without_being_read_whole(desk: AppContext) -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            self.given += size
            return b"\0" * size

    source: Any = Endless()
    with pytest.raises(CharacterProblems, match=r"film\.zip is larger than 96 MB"):
        characters.import_upload(desk, "film.zip", source)
    assert source.given < characters.MAX_IMPORT_BYTES + (2 << 20)


def test_scripts_in_every_field_stay_words(desk: AppContext) -> None:
    script = "<script>alert(1)</script>"
    card = foreign(
        name=script,
        description=script,
        personality=script,
        scenario=script,
        first_mes=script,
        mes_example=f"<START>\n{{{{user}}}}: {script}\n{{{{char}}}}: {script}",
    )
    found = took(desk, f"../../{script}.png", as_png({"ccv3": card}))
    draft = drafts.own_character(desk, found.id).draft
    assert draft["name"] == script and draft["interactions"][0][1]["character"] == script
    assert "/" not in draft["origin"] and "<" not in draft["origin"]


def test_unsafe_paths_in_an_archive_are_refused(desk: AppContext) -> None:
    with pytest.raises(CharacterProblems, match="unsafe path"):
        took(desk, "evil.charx", as_charx({"card.json": as_json(foreign()), "../../evil.sh": b"x"}))


def test_versions_can_be_seen_and_brought_back(desk: AppContext) -> None:
    id = characters.try_bundled(desk, "quibb")
    create.start(desk, id, "quick", "starter")
    drafts.set_text(desk, id, "persona", "Somebody else now.")
    images.drop(desk, id, "10.png")
    [version] = characters.versions(desk, id)
    assert version.number == 1 and "10 pictures" in version.contents and len(version.jobs) == 1
    characters.bring_back(desk, id, 1)
    draft = drafts.own_character(desk, id).draft
    assert draft["persona"].startswith("Quibb is") and len(draft["pictures"]) == 10
    assert create.summary(draft).can_train and draft["test"]["dialogues"]
    # Nothing has changed, so training again makes no second version.
    assert create.start(desk, id, "quick", "starter").version == 1


def test_deleting_leaves_nothing_of_it_and_all_of_the_others(desk: AppContext) -> None:
    other = characters.try_bundled(desk, "nella-tarn")
    kept = {item.key for item in desk.store.keys("")}
    id = characters.try_bundled(desk, "quibb")
    job = create.start(desk, id, "quick", "starter")
    desk.records.chats.add_conversation(Conversation(new_id(), desk.owner, id, f"{job.id}:base"))
    goes = characters.what_goes(desk, id)
    assert goes.is_training and "10 pictures" in goes.lines and "1 training" in goes.lines
    tree = f"adapters/{job.id}/sft-000001"
    desk.records.checkpoints.put(
        Checkpoint(
            job.id,
            "sft-000001",
            "sft",
            1,
            "starter",
            adapter_key=tree,
            files=put_tree(desk.store, BUNDLED / "quibb", tree),
        )
    )
    characters.delete(desk, id)
    assert not exists(desk.store, f"{tree}/COMPLETE")
    later = datetime.now(UTC) + timedelta(days=3)
    gone = collect_garbage(desk.store, desk.records.keys(), 2 * 86400, dry_run=False, now=later)
    assert len(gone) > 20 and {item.key for item in desk.store.keys("")} == kept
    assert [row.id for row in desk.records.characters.list(desk.owner)] == [other]
    with pytest.raises(RecordMissing):
        desk.records.jobs.get(job.id)


def test_pictures_that_two_characters_share_outlive_one_of_them(desk: AppContext) -> None:
    data = encoded(drawing(1))
    first, second = drafts.create(desk), drafts.create(desk)
    for id in (first, second):
        images.add(desk, id, [("face.png", data)])
    characters.delete(desk, first)
    assert images.pictures(desk, drafts.own_character(desk, second).draft)[0].thumb


def test_somebody_elses_character_does_not_exist(desk: AppContext) -> None:
    theirs = desk.records.characters.create("mallory", {"name": "Eve"}).id
    for action in (drafts.own_character, characters.versions, characters.what_goes, characters.delete):
        with pytest.raises(RecordMissing):
            action(desk, theirs)
    assert not characters.gallery(desk)[0]


def test_the_gallery_searches_pages_and_shows_the_state(desk: AppContext) -> None:
    for number in range(30):
        desk.records.characters.create(desk.owner, {"name": f"Nobody {number}"})
    id = characters.try_bundled(desk, "quibb")
    job = create.start(desk, id, "quick", "starter")
    tiles, count = characters.gallery(desk, count=24)
    assert count == 31 and len(tiles) == 24 and len(characters.gallery(desk, start=24)[0]) == 7
    [quibb], _ = characters.gallery(desk, "quib")
    assert quibb.job is not None and quibb.job.id == job.id and quibb.portrait and quibb.score is None


def test_a_character_published_by_the_command_line_opens_in_the_wizard(desk: AppContext) -> None:
    version = submit.publish_folder(desk.records, desk.store, desk.owner, BUNDLED / "quibb")
    draft = characters.open_draft(desk, version.character)
    assert len(draft["pictures"]) == 10 and "image_keys" not in draft
    assert drafts.own_character(desk, version.character).draft == json.loads(json.dumps(draft))


def test_a_draft_outlives_the_studio(desk: AppContext) -> None:
    from pipelines.core.settings import Settings
    from studio.context import open_context

    id = drafts.create(desk)
    drafts.set_text(desk, id, "name", "Ada")
    again = open_context(Settings.from_environment())
    assert drafts.own_character(again, id).name == "Ada"
    again.records.close()


def test_estimates_come_from_runs_on_this_system_or_not_at_all(desk: AppContext) -> None:
    id = characters.try_bundled(desk, "quibb")
    assert "nobody knows yet" in create.estimate(desk, "starter", "quick").words
    recipe = Recipe.for_effort("starter", "quick").to_json()
    version = create.start(desk, id, "quick", "starter").version
    for minutes in (6, 9, 7):
        job = Job(
            new_id(),
            "train",
            desk.owner,
            id,
            version,
            recipe=recipe,
            status="succeeded",
            attempt=1,
            started="2026-11-20T10:00:00+00:00",
            ended=f"2026-11-20T10:0{minutes}:00+00:00",
        )
        desk.records.jobs.add(job)
    found = create.estimate(desk, "starter", "quick")
    assert found.words == "6 to 9 minutes, as 3 such trainings took here"
    longer = create.estimate(desk, "starter", "standard")
    assert longer.low_s > found.high_s and "roughly" in longer.words
    assert create.estimate(desk, "janus-pro-1b", "quick").runs == 0
