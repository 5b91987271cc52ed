"""Actions of the compare page, without Streamlit: talking with two, blind turns, votes, corrections."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.core.character.serialize import character_from_entries
from pipelines.core.jobs.job import ChatMessage, Conversation, RecordMissing, Worker, new_id
from pipelines.core.jobs.reply_protocol import HistoryTurn, ReplyRequest
from pipelines.core.problems import CharacterProblems, Problem
from pipelines.core.vote_counts import tallies
from studio.actions import chat_turns, compare, create, drafts, feedback, votes
from studio.actions.checkpoint_options import checkpoint_options
from studio.actions.compare import NotPossible, ReplyOptions
from studio.actions.drafts import entries_of
from studio.context import AppContext
from tests.studio import staged


@pytest.fixture
def character(context: AppContext, tmp_path: Path) -> str:
    return staged.published(context, tmp_path / "ada")


@pytest.fixture
def talk(context: AppContext, character: str) -> Conversation:
    """A conversation of the best state (left) with the base (right), names open."""
    job = staged.trained(context, character)
    return compare.start_conversation(context, character, f"{job.id}:grpo-000002", f"{job.id}:base", blind=False)


def said_and_answered(context: AppContext, talk: Conversation, words: str = "Hello?") -> int:
    """One whole turn; returns the number of its replies."""
    message = compare.send_message(context, talk.id, words, seed=5)
    staged.answered(context, message.job, (f"Aye, {words}", "I am a model."))
    return message.number + 1


def test_candidates_newest_first_the_best_marked_and_the_base_last(context: AppContext, character: str) -> None:
    assert checkpoint_options(context, character) == []
    first, second = staged.trained(context, character), staged.trained(context, character)
    found = checkpoint_options(context, character)
    assert [one.ref for one in found] == [
        f"{second.id}:grpo-000002",
        f"{second.id}:sft-000004",
        f"{first.id}:grpo-000002",
        f"{first.id}:sft-000004",
        f"{second.id}:base",
    ]
    assert [one.is_best for one in found] == [True, False, False, False, False], "one best"
    assert "(best)" in found[0].label and found[-1].label == "Before training (starter-toy)"
    with pytest.raises(RecordMissing):
        checkpoint_options(context, "nobody")


def test_two_of_one_base_model_only(context: AppContext, character: str) -> None:
    job = staged.trained(context, character)
    with pytest.raises(NotPossible, match="two different"):
        compare.start_conversation(context, character, f"{job.id}:base", f"{job.id}:base", False)
    with pytest.raises(RecordMissing):
        compare.start_conversation(context, character, f"{job.id}:base", f"{job.id}:sft-000099", False)


def test_the_message_and_its_job_are_kept(context: AppContext, talk: Conversation) -> None:
    message = compare.send_message(context, talk.id, "  Hello?  ", seed=5)
    assert (message.text, message.number, message.seed) == ("Hello?", 0, 5)
    job = context.records.jobs.get(message.job)
    request = ReplyRequest.from_json(job.request)
    assert request.checkpoints == (talk.left, talk.right)
    assert request.history == (HistoryTurn("user", "Hello?"),)
    assert job.request["history"] == [{"role": "user", "text": "Hello?"}]
    assert (request.conversation, request.number, request.seed, job.kind) == (talk.id, 1, 5, "reply")
    [turn] = chat_turns.turns(context, talk)
    assert turn.state == "waiting" and [answer.text for answer in turn.answers] == ["", ""]
    with pytest.raises(NotPossible, match="still being written"):
        compare.send_message(context, talk.id, "And?")


def test_the_best_of_several_drawings_is_asked_for_by_itself_where_it_is_quick(
    context: AppContext, talk: Conversation
) -> None:
    message = compare.send_message(context, talk.id, "Show me.", options=ReplyOptions("always", 4, 0.8))
    request = context.records.jobs.get(message.job).request
    assert (request["picture"], request["best_of"], request["strength"]) == ("always", 4, 0.8)
    context.records.workers.register(Worker("cpu", "shed", ("reply",), "", 16.0))
    assert not compare.is_best_of_quick(context)
    context.records.workers.register(Worker("gpu", "shed", ("reply",), "a large card", 80.0))
    assert compare.is_best_of_quick(context)


def test_answers_stream_and_stay(context: AppContext, talk: Conversation) -> None:
    message = compare.send_message(context, talk.id, "Hello?", seed=5)
    staged.answered(context, message.job, ("Aye.", "I am a model."), finish=False)
    [turn] = chat_turns.turns(context, talk)
    assert turn.state == "running" and [answer.text for answer in turn.answers] == ["Aye.", "I am a model."]
    other = chat_turns.turns(context, talk)[0]  # a second tab, or the page loaded again
    assert other == turn


def test_whole_answers(context: AppContext, talk: Conversation) -> None:
    said_and_answered(context, talk)
    [turn] = chat_turns.turns(context, talk)
    left, right = turn.answers
    assert turn.state == "done" and left.ref == talk.left and right.ref == talk.right
    assert left.scene == "Ada, by the sea" and left.picture_key and left.seed == 5 and not right.picture_key


def test_each_side_hears_only_itself(context: AppContext, talk: Conversation) -> None:
    said_and_answered(context, talk)
    message = compare.send_message(context, talk.id, "And then?", staged.png("red", 128))
    request = context.records.jobs.get(message.job).request
    left, right = {"text": "Aye, Hello?", "scene": "Ada, by the sea"}, {"text": "I am a model.", "scene": ""}
    assert request["history"][1] == {"role": "character", "left": left, "right": right}
    history = ReplyRequest.from_json(request).history
    assert [history[1].message_for(side).text for side in ("left", "right")] == ["Aye, Hello?", "I am a model."]
    assert history[2].message_for("left").images == (message.picture_key,) and context.image(message.picture_key)


def test_kept_messages_count_more_than_events(context: AppContext, talk: Conversation) -> None:
    number = said_and_answered(context, talk)
    job = chat_turns.turns(context, talk)[0].question.job
    for side, text in (("left", "Kept left."), ("right", "Kept right.")):
        context.records.chats.add_message(
            ChatMessage(new_id(), talk.id, number, "character", side, text, seed=5, job=job)  # type: ignore[arg-type]
        )
    [turn] = chat_turns.turns(context, talk)
    assert [answer.text for answer in turn.answers] == ["Kept left.", "Kept right."]


def test_answer_again_replaces_the_last_answers(context: AppContext, talk: Conversation) -> None:
    number = said_and_answered(context, talk)
    feedback.vote(context, talk.id, number, "left")
    again = compare.regenerate(context, talk.id, seed=9)
    [turn] = chat_turns.turns(context, talk)
    assert turn.question.seed == 9 and turn.state == "waiting" and turn.question.text == "Hello?"
    staged.answered(context, again.job, ("Aye aye.", "Yes."))
    assert [answer.text for answer in chat_turns.turns(context, talk)[0].answers] == ["Aye aye.", "Yes."]
    assert len(chat_turns.turns(context, talk)) == 1


def test_a_failed_answer_can_be_asked_for_again(context: AppContext, talk: Conversation) -> None:
    message = compare.send_message(context, talk.id, "Hello?")
    job = context.records.jobs.claim(message.job, staged.WORKER, 60)
    assert job is not None
    context.records.jobs.finish(job.id, staged.WORKER, job.attempt, "failed", error="The memory is full.")
    [turn] = chat_turns.turns(context, talk)
    assert turn.state == "failed" and turn.error == "The memory is full."
    compare.regenerate(context, talk.id)
    assert chat_turns.turns(context, talk)[0].state == "waiting"


def test_what_cannot_be_said(context: AppContext, talk: Conversation) -> None:
    with pytest.raises(NotPossible, match="Write something"):
        compare.send_message(context, talk.id, "   ")
    with pytest.raises(NotPossible, match="1 more than"):
        compare.send_message(context, talk.id, "a" * (compare.MAX_MESSAGE_CHARS + 1))
    with pytest.raises(NotPossible, match="larger than"):
        compare.send_message(context, talk.id, "look", b"\x00" * (compare.MAX_ATTACHED_BYTES + 1))
    with pytest.raises(CharacterProblems):
        compare.send_message(context, talk.id, "look", b"MZ this is a program")
    assert chat_turns.turns(context, talk) == []


def test_somebody_elses_conversation_does_not_exist(context: AppContext) -> None:
    talk = context.records.chats.add_conversation(Conversation(new_id(), "somebody else"))
    with pytest.raises(RecordMissing):
        compare.send_message(context, talk.id, "Hello?")


# ---------------------------------------------------------------- blind turns and votes


def test_blind_turns_shuffle_sides_the_same_way_every_time(context: AppContext, talk: Conversation) -> None:
    blind = Conversation(new_id(), context.owner, talk.character, talk.left, talk.right, True)
    swaps = [chat_turns.is_swapped(blind, number) for number in range(200)]
    assert 60 < sum(swaps) < 140 and swaps == [chat_turns.is_swapped(blind, number) for number in range(200)]
    assert not any(chat_turns.is_swapped(talk, number) for number in range(200))


def test_a_vote_names_the_one_that_stood_there(context: AppContext, talk: Conversation) -> None:
    blind = compare.start_conversation(context, talk.character, talk.left, talk.right, blind=True)
    seen = set()
    for at in range(12):
        number = said_and_answered(context, blind, f"Question {at}?")
        given = feedback.vote(context, blind.id, number, "left")
        turn = chat_turns.turns(context, blind)[-1]
        assert given.left == turn.answers[0].ref and turn.vote == given and given.blind
        own = "Aye" if given.left == talk.left else "I am"
        assert given.left_reply["text"].startswith(own)
        seen.add(given.left)
    assert seen == {talk.left, talk.right}
    [tally] = tallies(votes.votes_of(context, talk.character))
    assert tally.decided == 12 and tally.blind == 12 and 0 < tally.losses <= tally.wins


def test_no_vote_before_the_end(context: AppContext, talk: Conversation) -> None:
    message = compare.send_message(context, talk.id, "Hello?")
    with pytest.raises(NotPossible, match="no two answers"):
        feedback.vote(context, talk.id, message.number + 1, "left")


def test_votes_leave_as_chosen_and_rejected(context: AppContext, talk: Conversation) -> None:
    for words, choice in (("One?", "left"), ("Two?", "tie"), ("Three?", "right")):
        feedback.vote(context, talk.id, said_and_answered(context, talk, words), choice)  # type: ignore[arg-type]
    lines = [json.loads(line) for line in votes.pairs_as_lines(context, talk.character).splitlines()]
    assert [(line["prompt"], line["chosen"]["text"], line["rejected"]["text"]) for line in lines] == [
        ("One?", "Aye, One?", "I am a model."),
        ("Three?", "I am a model.", "Aye, Three?"),
    ]


def test_votes_and_corrections_go_into_the_next_version(context: AppContext, talk: Conversation) -> None:
    told = (
        ("One?", "left", "both"),
        ("Two?", "tie", "both"),
        ("Three?", "right", "words"),
        ("Four?", "left", "picture"),
    )
    for words, choice, about in told:
        number = said_and_answered(context, talk, words)
        feedback.vote(context, talk.id, number, choice, about)  # type: ignore[arg-type]
    feedback.correct(context, talk.id, number, "right", "Aye, four bells.")
    entries = create.publish_draft(context, talk.character).entries
    problems: list[Problem] = []
    preferences = character_from_entries(entries, problems).preferences
    assert not problems
    assert [(one.prompt, one.chosen.text, one.rejected.text) for one in preferences] == [
        ("Four?", "Aye, four bells.", "I am a model."),
        ("One?", "Aye, One?", "I am a model."),
        ("Three?", "I am a model.", "Aye, Three?"),
    ]
    drafts.change(context, talk.character, lambda draft: draft["interactions"].pop())  # the corrected answer goes
    again = create.publish_draft(context, talk.character).entries["preferences"]
    assert [one["prompt"] for one in again] == ["One?", "Three?"]


# ---------------------------------------------------------------- show me how it should answer


def test_a_correction_becomes_an_example_in_the_draft(context: AppContext, talk: Conversation) -> None:
    said_and_answered(context, talk, "One?")
    number = said_and_answered(context, talk, "Two?")
    before = len(context.records.characters.get(talk.character).draft["interactions"])
    with pytest.raises(NotPossible, match="Write how"):
        feedback.correct(context, talk.id, number, "right", "  ")
    assert feedback.correct(context, talk.id, number, "right", "Aye, two bells.", "Ada, happy", "01.png") == before + 1
    assert feedback.correct(context, talk.id, number, "right", "Aye!", with_before=True) == before + 2
    plain, whole = entries_of(context.records.characters.get(talk.character).draft)["interactions"][-2:]
    assert plain == [{"user": "Two?"}, {"character": "Aye, two bells.", "scene": "Ada, happy", "image": "01.png"}]
    assert whole == [{"user": "One?"}, {"character": "I am a model."}, {"user": "Two?"}, {"character": "Aye!"}]
