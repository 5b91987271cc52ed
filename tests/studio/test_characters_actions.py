"""The gallery's actions: beginnings from examples and strangers' files, versions, and an end that leaves nothing."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.character.character_folder import read_character
from pipelines.core.formats.card_export import export_card
from pipelines.core.formats.cards import write_card
from pipelines.core.jobs.durations import planned_seconds, shipped_pace
from pipelines.core.jobs.job import Checkpoint, Conversation, Job, RecordMissing, new_id
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.problems import CharacterProblems
from pipelines.core.queue import submit
from pipelines.core.storage.garbage import collect_garbage
from pipelines.core.storage.store import exists, put_tree
from studio.actions import characters, create, drafts, estimates, images, import_review
from studio.context import AppContext
from tests.core.drawings import drawing, encoded
from tests.core.formats.card_samples import as_charx, as_json, as_png, foreign
from tests.studio.staged import took

BUNDLED = Path(__file__).resolve().parents[2] / "pipelines" / "core" / "bundled"


def test_a_bundled_character_is_ready_to_train_and_copied_once(context: AppContext) -> None:
    assert [one.slug for one in characters.bundled()] == ["ambrose-fell", "nella-tarn", "quibb"]
    id = characters.try_bundled(context, "quibb")
    assert characters.try_bundled(context, "quibb") == id
    draft = drafts.own_character(context, id).draft
    assert create.summary(draft).can_train and create.consent_covers(draft)
    assert len(draft["pictures"]) == 10 and draft["test"]["images"] and len(draft["test_pictures"]) == 5
    with pytest.raises(RecordMissing):
        characters.try_bundled(context, "../../etc")


@pytest.mark.parametrize("kind", ["png", "json", "charx", "zip"])
def test_every_kind_of_file_begins_a_character(context: AppContext, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"quibb.{kind}"
    export_card(BUNDLED / "quibb", path)
    found = took(context, path.name, path.read_bytes())
    draft = drafts.own_character(context, found.id).draft
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
        ("empty.charx", b"", "empty.charx"),
        ("photo.png", encoded(drawing()), "photo.png"),
    ],
    ids=["bomb", "program", "program as zip", "ten megabytes", "empty", "no card"],
)
def test_what_cannot_be_used_ends_in_a_clear_message(context: AppContext, name: str, data: bytes, words: str) -> None:
    with pytest.raises(CharacterProblems) as refused:
        took(context, name, data)
    assert words in str(refused.value) and "upload." not in str(refused.value)
    assert not context.records.characters.list(context.owner) and not list(context.store.keys("pictures/"))


def test_too_many_bytes_are_refused_without_being_read_whole(context: AppContext) -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            self.given += size
            return b"\0" * size

    source: Any = Endless()
    with pytest.raises(CharacterProblems, match=r"film\.zip is larger than 96 MB"):
        import_review.stage_character(context, "film.zip", source)
    assert source.given < import_review.MAX_IMPORT_BYTES + (2 << 20)


def test_scripts_in_every_field_stay_words(context: AppContext) -> None:
    script = "<script>alert(1)</script>"
    card = foreign(
        name=script,
        description=script,
        personality=script,
        scenario=script,
        first_mes=script,
        mes_example=f"<START>\n{{{{user}}}}: {script}\n{{{{char}}}}: {script}",
    )
    found = took(context, f"../../{script}.png", as_png({"ccv3": card}))
    draft = drafts.own_character(context, found.id).draft
    assert draft["name"] == script and draft["interactions"][0][1]["character"] == script
    assert "/" not in draft["origin"] and "<" not in draft["origin"]


def test_unsafe_paths_in_an_archive_are_refused(context: AppContext) -> None:
    with pytest.raises(CharacterProblems, match="unsafe path"):
        took(context, "evil.charx", as_charx({"card.json": as_json(foreign()), "../../evil.sh": b"x"}))


def test_versions_can_be_seen_and_brought_back(context: AppContext) -> None:
    id = characters.try_bundled(context, "quibb")
    create.start(context, id, "quick", "starter")
    drafts.set_text(context, id, "persona", "Somebody else now.")
    images.remove(context, id, "10.png")
    [version] = characters.versions(context, id)
    assert version.number == 1 and "10 pictures" in version.contents and len(version.jobs) == 1
    characters.restore_version(context, id, 1)
    draft = drafts.own_character(context, id).draft
    assert draft["persona"].startswith("Quibb is") and len(draft["pictures"]) == 10
    assert create.summary(draft).can_train and draft["test"]["dialogues"]
    # Nothing has changed, so training again makes no second version.
    assert create.start(context, id, "quick", "starter").version == 1


def test_deleting_leaves_nothing_of_it_and_all_of_the_others(context: AppContext) -> None:
    other = characters.try_bundled(context, "nella-tarn")
    kept = {item.key for item in context.store.keys("")}
    id = characters.try_bundled(context, "quibb")
    job = create.start(context, id, "quick", "starter")
    context.records.chats.add_conversation(Conversation(new_id(), context.owner, id, f"{job.id}:base"))
    summary = characters.deletion_summary(context, id)
    assert summary.is_training and "10 pictures" in summary.lines and "1 training" in summary.lines
    tree = f"adapters/{job.id}/sft-000001"
    context.records.checkpoints.put(
        Checkpoint(
            job.id,
            "sft-000001",
            "sft",
            1,
            "starter",
            adapter_key=tree,
            files=put_tree(context.store, BUNDLED / "quibb", tree),
        )
    )
    characters.delete(context, id)
    assert not exists(context.store, f"{tree}/COMPLETE")
    later = datetime.now(UTC) + timedelta(days=3)
    gone = collect_garbage(context.store, context.records.keys(), 2 * 86400, dry_run=False, now=later).gone
    assert len(gone) > 20 and {item.key for item in context.store.keys("")} == kept
    assert [row.id for row in context.records.characters.list(context.owner)] == [other]
    with pytest.raises(RecordMissing):
        context.records.jobs.get(job.id)


def test_pictures_that_two_characters_share_outlive_one_of_them(context: AppContext) -> None:
    data = encoded(drawing(1))
    first, second = drafts.create(context), drafts.create(context)
    for id in (first, second):
        images.add(context, id, [("face.png", data)])
    characters.delete(context, first)
    assert images.image_views(context, drafts.own_character(context, second).draft)[0].thumb


def test_somebody_elses_character_does_not_exist(context: AppContext) -> None:
    theirs = context.records.characters.create("mallory", {"name": "Eve"}).id
    for action in (drafts.own_character, characters.versions, characters.deletion_summary, characters.delete):
        with pytest.raises(RecordMissing):
            action(context, theirs)
    assert not characters.gallery(context)[0]


def test_the_gallery_searches_pages_and_shows_the_state(context: AppContext) -> None:
    for number in range(30):
        context.records.characters.create(context.owner, {"name": f"Nobody {number}"})
    id = characters.try_bundled(context, "quibb")
    job = create.start(context, id, "quick", "starter")
    tiles, count = characters.gallery(context, count=24)
    assert count == 31 and len(tiles) == 24 and len(characters.gallery(context, start=24)[0]) == 7
    [quibb], _ = characters.gallery(context, "quib")
    assert quibb.job is not None and quibb.job.id == job.id and quibb.portrait and quibb.score is None


def test_a_character_published_by_the_command_line_opens_in_the_wizard(context: AppContext) -> None:
    version = submit.publish_folder(context.records, context.store, context.owner, BUNDLED / "quibb")
    draft = characters.open_draft(context, version.character)
    assert len(draft["pictures"]) == 10 and "image_keys" not in draft
    assert context.records.characters.get(version.character).draft == json.loads(json.dumps(draft))


def test_a_draft_outlives_the_studio(context: AppContext) -> None:
    from pipelines.core.settings import Settings
    from studio.context import open_context

    id = drafts.create(context)
    drafts.set_text(context, id, "name", "Ada")
    again = open_context(Settings.from_environment())
    assert drafts.own_character(again, id).name == "Ada"
    again.records.close()


def test_estimates_come_from_runs_on_this_system_or_not_at_all(context: AppContext) -> None:
    id = characters.try_bundled(context, "quibb")
    quick, standard = (Recipe.for_effort("starter", effort) for effort in ("quick", "standard"))
    shipped = estimates.estimate(context, quick)
    # Two cores: 28 rows of conversations, 56 of drawings, three steps of practice, three states to measure.
    assert planned_seconds(quick, shipped_pace(quick, 2, False)) == pytest.approx(
        28 * 6.3 + 56 * 1.9 + 3 * 43 + 3 * 40 + 20
    )
    assert shipped.runs == 0 and "as measured elsewhere" in shipped.words and shipped.low_s < 550 < shipped.high_s
    assert "nobody knows yet" in estimates.estimate(context, Recipe.for_effort("janus-pro-1b", "quick")).words
    assert shipped_pace(quick, 0, True) == {}
    assert shipped_pace(quick, 8, False)["sft"] < shipped_pace(quick, 0, False)["sft"]
    recipe = Recipe.for_effort("starter", "quick").to_json()
    version = create.start(context, id, "quick", "starter").version
    for minutes in (6, 9, 7):
        job = Job(
            new_id(),
            "train",
            context.owner,
            id,
            version,
            recipe=recipe,
            status="succeeded",
            attempt=1,
            started="2026-11-20T10:00:00+00:00",
            ended=f"2026-11-20T10:0{minutes}:00+00:00",
        )
        context.records.jobs.add(job)
    found = estimates.estimate(context, quick)
    assert found.words == "6 to 9 minutes, as 3 such trainings took here"
    longer = estimates.estimate(context, standard)
    assert longer.low_s > found.high_s and "roughly" in longer.words


def test_long_texts_come_in_whole_and_are_told(context: AppContext) -> None:
    talk = f"<START>\n{{{{user}}}}: Hi\n{{{{char}}}}: {'Aye. ' * 1800}"
    card = foreign(description="She mends clocks. " * 500, first_mes="Come in. " * 500, mes_example=talk)
    found = took(context, "long.json", as_json(card))
    draft = drafts.own_character(context, found.id).draft
    assert len(draft["persona"]) > 8900 and len(draft["greeting"]) > 4000
    told = " ".join(note.message for note in found.notes)
    assert "The persona in long.json" in told and "The greeting in long.json" in told and "longest turn" in told


def test_more_than_a_draft_holds_is_left_out_and_told(context: AppContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.actions.import_limits.MAX_INTERACTIONS", 2)
    talks = "\n".join(f"<START>\n{{{{user}}}}: {number}?\n{{{{char}}}}: {number}." for number in range(4))
    found = took(context, "many.json", as_json(foreign(mes_example=talks)))
    assert len(drafts.own_character(context, found.id).draft["interactions"]) == 2
    assert any("holds 4 conversations; the first 2 were taken" in note.message for note in found.notes)


def test_an_adapter_is_not_promised_to_be_kept(context: AppContext, tmp_path: Path) -> None:
    adapter = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"abc"}
    character = read_character(BUNDLED / "quibb")
    images = {image.file: (BUNDLED / "quibb" / "images" / image.file).read_bytes() for image in character.images}
    write_card(character, images, tmp_path / "quibb.charx", adapter_files=adapter)
    found = took(context, "quibb.charx", (tmp_path / "quibb.charx").read_bytes())
    told = " ".join(note.message for note in found.notes)
    assert "adapters cannot be brought into the studio yet" in told and "adapter/" not in told


def test_a_zip_of_pictures_begins_a_character_called_after_it(context: AppContext) -> None:
    packed = as_charx({f"{seed}.png": encoded(drawing(seed)) for seed in (1, 2)} | {"1.txt": b"laughing"})
    found = took(context, "tola_brask.zip", packed)
    draft = drafts.own_character(context, found.id).draft
    assert found.name == "Tola Brask" and draft["images"][0]["caption"] == "laughing" and len(draft["pictures"]) == 2
    assert any("Only pictures are in tola_brask.zip" in note.message for note in found.notes)
