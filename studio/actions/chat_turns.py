"""The turns of a conversation as a page shows them: a message, and the replies to it as far as they have come.

A chat has one checkpoint, a comparison two; both are read here. In a comparison the sides `left` and `right` always
mean the same checkpoints; in a blind one `is_swapped` says, turn by turn, which of them stands left on the page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipelines.core.jobs.job import ENDED, ChatMessage, Conversation, Job, RecordMissing, Vote
from pipelines.core.jobs.reply_protocol import (
    SIDES,
    HistoryTurn,
    ReplyRequest,
    ReplySide,
    SideReply,
    SideText,
    replies_in,
)
from studio.context import AppContext

State = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True)
class ReplyView:
    """The reply of one side as the page shows it."""

    side: ReplySide
    """The side in the records, whatever the place on the page."""
    ref: str
    text: str = ""
    scene: str = ""
    picture_key: str = ""
    seed: int = 0
    done: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class ChatTurn:
    """One message and its replies, in the order of the page."""

    number: int
    """Of the replies in the conversation."""
    question: ChatMessage
    answers: tuple[ReplyView, ...]
    """The first one stands left on the page."""
    state: State
    error: str = ""
    vote: Vote | None = None


def is_swapped(conversation: Conversation, number: int) -> bool:
    """Whether the replies of that number change sides on the page: a coin toss for each turn of a blind comparison.

    It depends on conversation and turn alone, so a page that is loaded again shows the same.
    """
    if not conversation.blind:
        return False
    return bool(hashlib.sha256(f"{conversation.id} {number}".encode()).digest()[0] & 1)


def refs_of(conversation: Conversation) -> tuple[str, ...]:
    """`JOB:NAME` of the checkpoints that answer: of one in a chat, of two that are compared."""
    return tuple(filter(None, (conversation.left, conversation.right)))


def turns(context: AppContext, conversation: Conversation) -> list[ChatTurn]:
    """The conversation so far. A turn that is being answered shows what the events of its job hold up to now."""
    messages = context.records.chats.messages(conversation.id)
    votes = {vote.message: vote for vote in context.records.chats.votes(conversation=conversation.id)}
    kept = {(message.number, message.side): message for message in messages if message.role != "user"}
    found = []
    for question in (message for message in messages if message.role == "user"):
        number = question.number + 1
        replies = [kept.get((number, side)) for side in SIDES[: len(refs_of(conversation))]]
        found.append(_turn(context, conversation, question, number, replies, votes.get(number)))
    return found


def _turn(
    context: AppContext,
    conversation: Conversation,
    question: ChatMessage,
    number: int,
    replies: Sequence[ChatMessage | None],
    vote: Vote | None,
) -> ChatTurn:
    refs = refs_of(conversation)
    state: State = "done"
    error = ""
    if all(reply is not None and reply.job == question.job for reply in replies):
        answers = [
            ReplyView(side, ref, reply.text, reply.scene, reply.picture_key, reply.seed, True)
            for side, ref, reply in zip(SIDES, refs, replies, strict=False)
            if reply is not None
        ]
    else:
        job, told = _replies_so_far(context, question)
        told = [*told, *[SideReply()] * 2][: len(refs)]
        answers = [
            ReplyView(side, ref, one.text, one.scene, one.picture_key, question.seed, one.done, one.seconds)
            for side, ref, one in zip(SIDES, refs, told, strict=False)
        ]
        state, error = _state(job, told)
        answers, state = _with_begun(job, answers, state)
    if vote is not None and any(reply is not None and reply.created > vote.created for reply in replies):
        vote = None  # the replies have been regenerated since
    ordered = answers[::-1] if is_swapped(conversation, number) else answers
    return ChatTurn(number, question, tuple(ordered), state, error, vote)


def _with_begun(job: Job | None, answers: list[ReplyView], state: State) -> tuple[list[ReplyView], State]:
    """A reply that is being continued stands there before more of it comes, and stays when nothing does."""
    request = ReplyRequest.from_json(job.request) if job is not None and job.request.get("begun") else None
    if request is None or request.begun is None or state == "done":
        return answers, state
    begun = request.begun
    kept = replace(
        answers[0],
        text=begun.text if state == "failed" else answers[0].text or begun.text,
        scene=begun.scene,
        picture_key=begun.picture,
    )
    return [kept], "done" if state == "failed" else state


def _replies_so_far(context: AppContext, question: ChatMessage) -> tuple[Job | None, list[SideReply]]:
    """The job of a turn, and its replies as far as the events have them."""
    if not question.job:
        return None, []
    try:
        job = context.records.jobs.get(question.job)
    except RecordMissing:
        return None, []
    return job, replies_in(context.records.events.after(job.id, limit=5000))


def _state(job: Job | None, told: Sequence[SideReply]) -> tuple[State, str]:
    if job is None:
        return "failed", "This message was not sent. Try again."
    if job.status == "succeeded" and all(one.done for one in told):
        return "done", ""
    if job.status in ENDED:
        return "failed", job.error or "The answer was broken off. Try again."
    begun = any(one.text or one.scene or one.picture_key for one in told)
    return ("running" if begun or job.status == "running" else "waiting"), ""


def user_turn(question: ChatMessage) -> HistoryTurn:
    """A user's message as history of a request."""
    return HistoryTurn("user", question.text, picture=question.picture_key)


def history_of(turn: ChatTurn) -> list[HistoryTurn]:
    """A turn as history of the next request: each side gets its own replies only. An unanswered turn is left out."""
    if turn.state != "done":
        return []
    if len(turn.answers) == 1:
        return [user_turn(turn.question), HistoryTurn("character", turn.answers[0].text, turn.answers[0].scene)]
    said = {answer.side: SideText(answer.text, answer.scene) for answer in turn.answers}
    return [user_turn(turn.question), HistoryTurn("character", left=said.get("left"), right=said.get("right"))]
