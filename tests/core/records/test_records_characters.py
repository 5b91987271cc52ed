"""Characters: drafts, versions that stay, checkpoints, and a deletion that leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import func, select

from pipelines.core.character.character_folder import read_character, read_test_split
from pipelines.core.character.serialize import character_to_entries, split_to_entries
from pipelines.core.events import Event
from pipelines.core.jobs.job import (
    CharacterRow,
    ChatMessage,
    Checkpoint,
    Conversation,
    Job,
    RecordMissing,
    Vote,
    Worker,
    new_id,
)
from pipelines.core.records import Records
from pipelines.core.records.tables import METADATA


def test_a_draft_is_kept_at_every_step(records: Records) -> None:
    row = records.characters.create("ada", {})
    assert (row.owner, row.name, row.version, row.published) == ("ada", "", 0, "")
    assert records.characters.get(row.id) == row
    draft = {"name": "Mi\0ra", "step": 2, "photos": [{"key": "pictures/aa/aa.png", "caption": None}]}
    saved = records.characters.save_draft(row.id, draft)
    assert saved.draft == draft and saved.name == "Mi?ra" and saved.changed > row.changed == row.created
    assert records.characters.get(row.id) == saved == CharacterRow.from_json(json.loads(json.dumps(saved.to_json())))
    assert records.characters.save_draft(row.id, {"name": ["not", "text"]}).name == ""


def test_characters_are_listed_by_owner_and_change(records: Records) -> None:
    first, second, _ = (records.characters.create(owner, {}) for owner in ("ada", "ada", "bo"))
    records.characters.save_draft(first.id, {"name": "Mira"})
    assert [row.id for row in records.characters.list("ada")] == [first.id, second.id]
    assert records.characters.list("eve") == []


def test_a_version_never_changes(records: Records) -> None:
    row = records.characters.create("ada", {"name": "Mira"})
    with pytest.raises(RecordMissing, match="no published version yet"):
        records.characters.version(row.id)
    first = records.characters.publish(row.id, {"name": "Mira"}, None, {"01.png": "pictures/aa/aa.png"})
    second = records.characters.publish(
        row.id, {"name": "Mira II"}, {"facts": []}, {"01.png": "pictures/bb/bb.png"}, {"t.png": "pictures/cc/cc.png"}
    )
    assert (first.version, second.version) == (1, 2) and first.test_entries is None and second.test_entries is not None
    assert records.characters.version(row.id) == second and records.characters.version(row.id, 1) == first
    again = records.characters.publish(
        row.id, {"name": "Mira II"}, {"facts": []}, {"01.png": "pictures/bb/bb.png"}, {"t.png": "pictures/cc/cc.png"}
    )
    assert again == second, "the same again is no new version"
    now = records.characters.get(row.id)
    assert now.version == 2 and now.published > second.created and now.draft == {"name": "Mira"}
    records.characters.save_draft(row.id, {"name": "Other"})
    assert records.characters.get(row.id).changed > now.published
    assert records.characters.version(row.id, 1) == first
    with pytest.raises(RecordMissing, match="version 3"):
        records.characters.version(row.id, 3)


def test_a_whole_character_survives_the_trip(records: Records, toy_character: Path) -> None:
    character, split = read_character(toy_character), read_test_split(toy_character)
    assert split is not None
    row = records.characters.create("ada", {"name": character.name})
    entries, test_entries = character_to_entries(character), split_to_entries(split)
    version = records.characters.publish(row.id, entries, test_entries)
    kept = records.characters.version(row.id)
    assert kept == version and (kept.entries, kept.test_entries) == (entries, test_entries)
    assert list(kept.entries) == list(entries), "the order of entries is kept"


def test_checkpoints_come_in_the_order_of_training(records: Records, job: Job) -> None:
    def put(name: str, stage: str, step: int, **more: object) -> Checkpoint:
        return records.checkpoints.put(Checkpoint(job.id, name, stage, step, "starter", **more))  # type: ignore[arg-type]

    put("grpo-000008", "grpo", 8)
    put("sft-000100", "sft", 100)
    put("base", "base", 0)
    full = put(
        "sft-000060",
        "sft",
        60,
        revision="main",
        adapter_key="adapters/x",
        scores={"likeness": 0.5},
        samples=("samples/aa/aa.png", "samples/bb/bb.png"),
        files={"adapter_config.json": "adapters/x/c"},
    )
    names = [row.name for row in records.checkpoints.of_job(job.id)]
    assert names == ["base", "sft-000060", "sft-000100", "grpo-000008"]
    assert records.checkpoints.get(job.id, "sft-000060") == full and full.created
    assert Checkpoint.from_json(json.loads(json.dumps(full.to_json()))) == full
    anew = put("sft-000060", "sft", 60, adapter_key="adapters/y")
    assert records.checkpoints.get(job.id, "sft-000060") == anew and len(records.checkpoints.of_job(job.id)) == 4
    other = records.jobs.add(Job(new_id(), "train", "ada"))
    records.checkpoints.put(Checkpoint(other.id, "base", "base", 0, "starter"))
    records.jobs.request_stop(other.id, "discard")
    assert records.checkpoints.of_job(other.id) == [] and len(records.checkpoints.of_job(job.id)) == 4
    with pytest.raises(RecordMissing, match="sft-000999"):
        records.checkpoints.get(job.id, "sft-000999")
    with pytest.raises(RecordMissing, match="nothing"):
        records.checkpoints.put(Checkpoint("nothing", "base", "base", 0, "starter"))


def rows_left(records: Records) -> dict[str, int]:
    """Table -> rows."""
    with records._database.read() as connection:
        counts = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in METADATA.tables.values()
        }
    return {name: count for name, count in counts.items() if count}


def fill(records: Records, owner: str) -> str:
    """One character with something in every table; returns its id."""
    row = records.characters.create(owner, {"name": "Mira"})
    version = records.characters.publish(row.id, {"name": "Mira"}).version
    trained = records.jobs.add(Job(new_id(), "train", owner, row.id, version))
    reply = records.jobs.add(Job(new_id(), "reply", owner, row.id, version, parent=trained.id))
    for job in (trained, reply):
        records.events.append(job.id, 1, [Event("save", sequence=n) for n in range(3)])
        records.checkpoints.put(Checkpoint(job.id, "base", "base", 0, "starter"))
    chat = records.chats.add_conversation(Conversation(new_id(), owner, row.id))
    records.chats.add_message(ChatMessage(new_id(), chat.id, job=reply.id))
    records.chats.add_vote(Vote(new_id(), chat.id, 0, "a:base", "b:base", "tie"))
    return row.id


def test_deleting_a_character_takes_everything_with_it(records: Records) -> None:
    records.workers.register(Worker("w1", "host"))
    kept = fill(records, "bo")
    before = rows_left(records)
    gone = fill(records, "ada")
    running = records.jobs.list(owner="ada", kind="train")[0]
    records.jobs.claim(running.id, "w1", 60)
    assert set(rows_left(records)) == set(METADATA.tables), "this test fills every table"
    records.characters.delete(gone)
    assert rows_left(records) == before
    records.characters.delete(gone)
    for call in (
        lambda: records.characters.get(gone),
        lambda: records.characters.save_draft(gone, {}),
        lambda: records.characters.publish(gone, {}),
        lambda: records.jobs.get(running.id),
    ):
        with pytest.raises(RecordMissing):
            call()
    assert not records.jobs.finish(running.id, "w1", 1, "succeeded")
    assert [row.id for row in records.characters.list("bo")] == [kept]
