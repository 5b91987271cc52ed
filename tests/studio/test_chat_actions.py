"""The chat with one checkpoint: its actions, and the page drawn for real over a made-up training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.core.events import Event
from pipelines.core.jobs.job import Conversation, Job
from pipelines.core.jobs.reply_protocol import (
    HistoryTurn,
    ReplyRequest,
    done_event,
    picture_event,
    scene_event,
    text_event,
)
from pipelines.core.storage.store import put_content
from studio.actions import chat, chat_turns, compare
from studio.actions.compare import NotPossible, ReplyOptions
from studio.context import AppContext
from tests.studio import staged
from tests.studio.test_pages_work import APP, TIMEOUT_S, button, labels, words


@pytest.fixture
def trained(context: AppContext, tmp_path: Path) -> Job:
    return staged.trained(context, staged.published(context, tmp_path / "ada"))


@pytest.fixture
def talk(context: AppContext, trained: Job) -> Conversation:
    """A chat with the best state."""
    return chat.start_chat(context, trained.character, f"{trained.id}:grpo-000002")


@pytest.fixture
def open_chat(context: AppContext) -> Callable[..., AppTest]:
    def opened(**params: str) -> AppTest:
        test = AppTest.from_file(str(APP), default_timeout=TIMEOUT_S).switch_page("app_pages/chat.py")
        for key, value in params.items():
            test.query_params[key] = value
        test.run()
        assert not test.exception, test.exception
        return test

    return opened


def answer(context: AppContext, job_id: str, text: str, finish: bool = True, scene: str = "Ada, sad") -> None:
    """A worker answers a job of one side."""
    job = context.records.jobs.claim(job_id, staged.WORKER, 600)
    assert job is not None
    key = put_content(context.store, staged.png("navy"), "samples", ".png")
    events = [Event("prepare"), text_event(0, 1, text[: len(text) // 2], 0.5)]
    if finish:
        events += [scene_event(0, 1, text, scene, 1.0), picture_event(0, 1, key, 2.0), done_event(0, 1, 2.0)]
    staged.told(context, job, events, 0.1)
    if finish:
        assert context.records.jobs.finish(job.id, staged.WORKER, job.attempt, "succeeded")


def turn(context: AppContext, talk: Conversation, text: str, reply: str) -> int:
    message = compare.send_message(context, talk.id, text, seed=5)
    answer(context, message.job, reply)
    return message.number + 1


def texts(context: AppContext, talk: Conversation) -> list[tuple[str, str]]:
    return [(one.question.text, one.answers[0].text) for one in chat_turns.turns(context, talk)]


# ---------------------------------------------------------------- actions


def test_one_checkpoint_answers_and_hears_itself(context: AppContext, talk: Conversation) -> None:
    turn(context, talk, "Hello?", "*waves* Aye.")
    message = compare.send_message(context, talk.id, "And then?")
    request = ReplyRequest.from_json(context.records.jobs.get(message.job).request)
    assert request.checkpoints == (talk.left,) and request.number == 2 and request.begun is None
    assert request.history == (
        HistoryTurn("user", "Hello?"),
        HistoryTurn("character", "*waves* Aye.", "Ada, sad"),
        HistoryTurn("user", "And then?"),
    )
    answer(context, message.job, "Then bells.", finish=False)
    first, second = chat_turns.turns(context, talk)
    assert (first.state, second.state) == ("done", "running") and second.answers[0].text == "Then "
    with pytest.raises(NotPossible, match="still being written"):
        chat.edit_message(context, talk.id, 1, "Hm?")


def test_the_last_message_is_replaced_and_an_earlier_one_branches(context: AppContext, talk: Conversation) -> None:
    for number in range(3):
        turn(context, talk, f"Question {number}?", f"Answer {number}.")
    same = chat.edit_message(context, talk.id, 3, "Another?", ReplyOptions(best_of=4))
    assert same.id == talk.id
    last = chat_turns.turns(context, talk)[-1]
    assert last.question.text == "Another?" and last.state == "waiting"
    assert context.records.jobs.get(last.question.job).request["best_of"] == 4
    answer(context, last.question.job, "Another answer.")
    other = chat.edit_message(context, talk.id, 2, "Otherwise?")
    assert other.id != talk.id and texts(context, talk)[1] == ("Question 1?", "Answer 1.")
    assert texts(context, other) == [("Question 0?", "Answer 0."), ("Otherwise?", "")]
    with pytest.raises(NotPossible, match="Write something"):
        chat.edit_message(context, talk.id, 2, "  ")
    with pytest.raises(NotPossible, match="no longer there"):
        chat.edit_message(context, talk.id, 33, "Hm?")


def test_a_branch_has_all_up_to_its_turn_and_goes_its_own_way(context: AppContext, talk: Conversation) -> None:
    for number in range(2):
        turn(context, talk, f"Question {number}?", f"Answer {number}.")
    other = chat.branch(context, talk.id, 1)
    [kept] = chat_turns.turns(context, other)
    assert kept.state == "done" and kept.answers[0].scene == "Ada, sad" and kept.answers[0].picture_key
    turn(context, other, "Elsewhere?", "There.")
    assert len(texts(context, other)) == len(texts(context, talk)) == 2
    titles = [one.title for one in chat.earlier_chats(context, talk.character)]
    assert titles == ["Question 0?", "Question 0?"]
    assert len(chat.earlier_chats(context, talk.character, 1)) == 1


def test_an_answer_can_be_rewritten_and_the_model_reads_that(context: AppContext, talk: Conversation) -> None:
    number = turn(context, talk, "Who?", "I am a model.")
    chat.edit_reply(context, talk.id, number, "Ada.")
    message = compare.send_message(context, talk.id, "Sure?")
    history = ReplyRequest.from_json(context.records.jobs.get(message.job).request).history
    assert history[1] == HistoryTurn("character", "Ada.", "Ada, sad") and texts(context, talk)[0] == ("Who?", "Ada.")


def test_a_reply_is_continued_and_keeps_its_picture(context: AppContext, talk: Conversation) -> None:
    turn(context, talk, "Who?", "I am Ada.")
    before = chat_turns.turns(context, talk)[0].answers[0]
    message = chat.continue_reply(context, talk.id)
    request = ReplyRequest.from_json(context.records.jobs.get(message.job).request)
    assert request.begun == HistoryTurn("character", "I am Ada.", "Ada, sad", before.picture_key)
    assert request.history == (HistoryTurn("user", "Who?"),) and request.picture == "never"
    [waiting] = chat_turns.turns(context, talk)
    assert waiting.state == "waiting" and waiting.answers[0].text == "I am Ada." and waiting.answers[0].picture_key
    job = context.records.jobs.claim(message.job, staged.WORKER, 600)
    assert job is not None
    context.records.jobs.finish(job.id, staged.WORKER, job.attempt, "failed", error="The memory is full.")
    [kept] = chat_turns.turns(context, talk)
    assert (kept.state, kept.answers[0].text, kept.error) == ("done", "I am Ada.", "The memory is full.")
    answer(context, chat.continue_reply(context, talk.id).job, "I am Ada. The pilot.")
    assert texts(context, talk) == [("Who?", "I am Ada. The pilot.")]


def test_only_one_checkpoint_continues() -> None:
    with pytest.raises(ValueError, match="alone"):
        ReplyRequest(("a:b", "a:c"), (HistoryTurn("user", "x"),), begun=HistoryTurn("character", "y"))


# ---------------------------------------------------------------- the page


def test_the_best_state_answers_from_the_first_message_on(
    context: AppContext, trained: Job, open_chat: Callable[..., AppTest]
) -> None:
    staged.alive(context)
    shown = open_chat(character=trained.character)
    boxes = {box.label: box for box in shown.selectbox}
    assert boxes["Who answers"].value == f"{trained.id}:grpo-000002" and "Aye?" in words(shown)
    assert context.records.chats.conversations(context.owner) == []
    shown.chat_input[0].set_value("Where *are* you?").run()
    [talk] = context.records.chats.conversations(context.owner)
    assert (talk.left, talk.right) == (f"{trained.id}:grpo-000002", "")
    assert "Where <em>are</em> you?" in words(shown) and "The worker takes it up now" in words(shown)
    answer(context, chat_turns.turns(context, talk)[0].question.job, "*nods* # Here <b>now</b>.")
    shown.run()
    said = words(shown)
    assert "<em>nods</em> # Here &lt;b&gt;now&lt;/b&gt;." in said and "Ada, sad" in said
    assert {"Edit message", "Edit answer", "Branch", "Continue", "Answer again"} <= set(labels(shown))


def test_the_buttons_of_a_turn(context: AppContext, talk: Conversation, open_chat: Callable[..., AppTest]) -> None:
    for number in range(2):
        turn(context, talk, f"Question {number}?", f"Answer {number}.")
    shown = open_chat(conversation=talk.id)
    shown.button(key="edit-1").click().run()
    shown.text_area(key="edited-message").set_value("Otherwise?")
    button(shown, "Say this instead").click().run()
    other = address(shown)
    assert other != talk.id and "Otherwise?" in words(shown) and "Question 1?" not in words(shown)
    again = open_chat(conversation=talk.id)
    again.button(key="rewrite-2").click().run()
    again.text_area(key="edited-answer").set_value("Better.")
    button(again, "Keep these words").click().run()
    assert texts(context, talk)[1] == ("Question 1?", "Better.")
    again.button(key="continue").click().run()
    assert chat_turns.turns(context, talk)[-1].state == "waiting"


def address(shown: AppTest) -> Any:
    value = shown.query_params["conversation"]
    return value[0] if isinstance(value, list) else value


def test_without_anybody_or_anything_trained_it_leads_on(
    context: AppContext, tmp_path: Path, open_chat: Callable[..., AppTest]
) -> None:
    assert "nobody to talk with" in words(open_chat())
    assert "train it first" in words(open_chat(character=staged.published(context, tmp_path / "ada")))
