"""Conversations, messages, votes and what is made of them; workers; and the keys that must be kept."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest
from sqlalchemy import update

from pipelines.core.events import Event
from pipelines.core.jobs.job import (
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
from pipelines.core.records.tables import WORKERS


@pytest.fixture
def chat(records: Records) -> Conversation:
    """A blind chat with two checkpoints."""
    character = records.characters.create("ada", {"name": "Mira"})
    return records.chats.add_conversation(
        Conversation(new_id(), "ada", character.id, "job:base", "job:sft-000060", blind=True, title="Which?")
    )


def test_conversations_are_listed_newest_first(records: Records, chat: Conversation) -> None:
    assert records.chats.conversation(chat.id) == chat and chat.created and chat.blind
    assert Conversation.from_json(json.loads(json.dumps(chat.to_json()))) == chat
    assert records.chats.add_conversation(chat) == chat, "adding twice adds once"
    more = [records.chats.add_conversation(Conversation(new_id(), "ada")) for _ in range(3)]
    newest = [row.id for row in reversed(more)] + [chat.id]
    assert [row.id for row in records.chats.conversations("ada")] == newest
    assert [row.id for row in records.chats.conversations("ada", limit=2, before=newest[1])] == newest[2:]
    assert [row.id for row in records.chats.conversations("ada", chat.character)] == [chat.id]
    assert records.chats.conversations("bo") == []
    with pytest.raises(RecordMissing, match="nobody"):
        records.chats.add_conversation(Conversation(new_id(), "ada", "nobody"))
    with pytest.raises(RecordMissing, match="nobody"):
        records.chats.conversation("nobody")


def test_messages_are_numbered_and_replies_stand_side_by_side(records: Records, chat: Conversation) -> None:
    asked = records.chats.add_message(ChatMessage(new_id(), chat.id, text="Who are you? \0", seed=2**40))
    job = records.jobs.add(Job(new_id(), "reply", "ada"))
    right = ChatMessage(new_id(), chat.id, 1, "assistant", "right", "Mira.", "a lamp", "pictures/aa/aa.png", 7, job.id)
    records.chats.add_message(right)
    left = records.chats.add_message(ChatMessage(new_id(), chat.id, 1, "assistant", "left", "Nobody."))
    then = records.chats.add_message(ChatMessage(new_id(), chat.id, text="Show me."))
    kept = records.chats.messages(chat.id)
    assert [row.id for row in kept] == [asked.id, left.id, right.id, then.id]
    assert [row.number for row in kept] == [0, 1, 1, 2] and kept[0].text == "Who are you? ?" and kept[0].seed == 2**40
    assert kept[2].created and kept[2].to_json() == {**right.to_json(), "created": kept[2].created}
    assert records.chats.add_message(asked).number == 0, "the same message is kept once"
    records.chats.add_message(ChatMessage(new_id(), chat.id, 1, "assistant", "left", "Somebody."))
    assert [row.text for row in records.chats.messages(chat.id)] == ["Who are you? ?", "Somebody.", "Mira.", "Show me."]
    with pytest.raises(RecordMissing, match="nothing"):
        records.chats.add_message(ChatMessage(new_id(), "nothing"))
    with pytest.raises(RecordMissing, match="job nothing"):
        records.chats.add_message(ChatMessage(new_id(), chat.id, job="nothing"))


def test_messages_sent_at_once_get_different_numbers(records: Records, chat: Conversation) -> None:
    def say() -> None:
        for _ in range(5):
            records.chats.add_message(ChatMessage(new_id(), chat.id, text="!"))

    threads = [threading.Thread(target=say) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row.number for row in records.chats.messages(chat.id)] == list(range(30))


def vote(chat: Conversation, message: int, choice: str) -> Vote:
    left, right = {"text": "Nobody."}, {"text": "Mira.", "picture_key": f"pictures/aa/{message}.png"}
    return Vote(
        new_id(),
        chat.id,
        message,
        chat.left,
        chat.right,
        choice,  # type: ignore[arg-type]
        chat.blind,
        "Who are you?",
        left,
        right,
    )


def test_votes_become_pairs(records: Records, chat: Conversation) -> None:
    other = records.chats.add_conversation(Conversation(new_id(), "bo"))
    votes = [records.chats.add_vote(vote(chat, n, c)) for n, c in enumerate(("left", "right", "tie", "both_bad"))]
    records.chats.add_vote(vote(other, 0, "left"))
    assert records.chats.votes(owner="ada") == records.chats.votes(character=chat.character) == votes
    assert records.chats.votes(conversation=chat.id) == votes and len(records.chats.votes()) == 5
    assert Vote.from_json(json.loads(json.dumps(votes[1].to_json()))) == votes[1]
    pairs = list(records.chats.pairs(owner="ada"))
    assert [(pair["chosen"]["text"], pair["rejected"]["text"]) for pair in pairs] == [
        ("Nobody.", "Mira."),
        ("Mira.", "Nobody."),
    ]
    assert pairs[1]["chosen_checkpoint"] == "job:sft-000060" and pairs[1]["rejected_checkpoint"] == "job:base"
    records.chats.add_vote(replace(votes[0], about="picture"))
    assert [pair["about"] for pair in records.chats.pairs(owner="ada")] == ["picture", "both"]
    assert pairs[0]["prompt"] == "Who are you?" and pairs[0]["blind"] is True and json.dumps(pairs)


def test_a_second_vote_takes_the_place_of_the_first(records: Records, chat: Conversation) -> None:
    first = records.chats.add_vote(vote(chat, 1, "left"))
    assert records.chats.add_vote(first) == first
    second = records.chats.add_vote(vote(chat, 1, "right"))
    assert records.chats.votes(conversation=chat.id) == [second]
    with pytest.raises(ValueError, match="about both, words, picture, not 'hair'"):
        records.chats.add_vote(replace(first, about="hair"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="both"):
        records.chats.add_vote(vote(chat, 2, "both"))
    with pytest.raises(RecordMissing, match="nothing"):
        records.chats.add_vote(Vote(new_id(), "nothing", 0, "", "", "tie"))


def test_workers_come_and_go(records: Records) -> None:
    kept = records.workers.register(
        Worker("w1", "big", ("train",), "H100", 80.0, {"torch": "2.13"}, started="2026-01-01T00:00:00.000000+00:00")
    )
    assert kept.seen > kept.started and records.workers.list() == [kept]
    assert Worker.from_json(json.loads(json.dumps(kept.to_json()))) == kept
    second = records.workers.register(Worker("w2", "apt"))
    assert second.seen == second.started and [row.id for row in records.workers.list()] == ["w2", "w1"]
    with records._database.write() as connection:
        connection.execute(update(WORKERS).values(seen="2026-01-01T00:00:00.000000+00:00"))
    records.workers.seen("w1", "job 5")
    alive = records.workers.list(alive_within_s=600)
    assert [(row.id, row.job) for row in alive] == [("w1", "job 5")] and alive[0].seen > kept.seen
    records.workers.seen("w1")
    assert records.workers.list(600)[0].job == ""
    records.workers.register(Worker("w1", "moved"))
    assert [row.host for row in records.workers.list()] == ["apt", "moved"]
    for _ in range(2):
        records.workers.forget("w1")
    with pytest.raises(RecordMissing, match="register it again"):
        records.workers.seen("w1")


def test_every_key_that_is_named_is_kept(records: Records, chat: Conversation) -> None:
    draft = records.characters.create("ada", {"photos": [{"key": "pictures/dd/draft.png"}], "text": "and/or what else"})
    records.characters.publish(draft.id, {"name": "x"}, None, {"1": "pictures/a"}, {"2": "pictures/b"})
    asked = {"messages": [{"picture": "pictures/asked"}]}
    job = records.jobs.add(Job(new_id(), "reply", "ada", draft.id, 1, request=asked))
    records.events.append(job.id, 1, [Event("save", sequence=0), Event("save", sequence=1, artifacts=("samples/e",))])
    checkpoint = Checkpoint(
        job.id, "sft-000060", "sft", 60, "starter", "", "adapters/x", {}, ("samples/s",), {"a": "adapters/x/a"}
    )
    records.checkpoints.put(checkpoint)
    records.checkpoints.put(Checkpoint(job.id, "base", "base", 0, "starter"))
    records.chats.add_message(ChatMessage(new_id(), chat.id, picture_key="pictures/said"))
    records.chats.add_message(ChatMessage(new_id(), chat.id))
    records.chats.add_vote(vote(chat, 0, "right"))
    wanted = {
        "pictures/dd/draft.png",
        "pictures/a",
        "pictures/b",
        "pictures/asked",
        "samples/e",
        "adapters/x",
        "adapters/x/COMPLETE",
        "samples/s",
        "adapters/x/a",
        "pictures/said",
        "pictures/aa/0.png",
    }
    assert set(records.keys()) == wanted
    records.characters.delete(draft.id)
    assert set(records.keys()) == {"pictures/said", "pictures/aa/0.png"}
