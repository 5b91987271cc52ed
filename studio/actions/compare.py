"""What the compare page does: choose two checkpoints, send a message to both, and regenerate the last replies.

In a conversation the sides `left` and `right` always mean the same checkpoints. In a blind comparison `is_swapped`
says, turn by turn, which of them stands left on the page. One reply job answers for both sides in one batch; its
events have what is written so far. Votes and corrections are in `feedback.py`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pipelines.core.character.image_decode import clean_image
from pipelines.core.jobs.job import (
    ENDED,
    ChatMessage,
    Checkpoint,
    Conversation,
    Job,
    RecordMissing,
    Vote,
    new_id,
)
from pipelines.core.jobs.reply_protocol import (
    SIDES,
    HistoryTurn,
    ReplyRequest,
    ReplySide,
    SideReply,
    SideText,
    replies_in,
)
from pipelines.core.queue import submit
from pipelines.core.queue.training_results import best_of
from pipelines.core.run_folder import BASE
from pipelines.core.storage.store import put_content
from studio.actions.drafts import own_character
from studio.actions.scores import checkpoint_title
from studio.actions.training_jobs import own_job
from studio.actions.workers import live_workers
from studio.context import AppContext
from studio.labels import EFFORTS

ImageMode = Literal["auto", "always", "never"]
MAX_MESSAGE_CHARS = 2000
"""Characters of one message; longer ones would push the system prompt out of the context window."""
MAX_ATTACHED_BYTES = 12 * 1024 * 1024
SEEDS = 1_000_000


@dataclass(frozen=True)
class CheckpointOption:
    """A checkpoint that can be talked with."""

    ref: str
    """`JOB:NAME`."""
    label: str
    base: str
    """Preset of its base model; only checkpoints of one base model can be compared."""
    is_best: bool = False
    """The best of its training by the scorecard."""


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
    """One message and its two replies, in the order of the page."""

    number: int
    """Of the replies in the conversation."""
    question: ChatMessage
    answers: tuple[ReplyView, ...]
    """The first one stands left on the page."""
    state: Literal["waiting", "running", "done", "failed"]
    error: str = ""
    vote: Vote | None = None


class NotPossible(ValueError):
    """The action is not possible at the moment; the text says why, in words for people."""


# ---------------------------------------------------------------- checkpoints


def checkpoint_options(context: AppContext, character: str) -> list[CheckpointOption]:
    """The character's checkpoints, newest training and latest step first; each base model once, at the end."""
    own_character(context, character)
    found: list[CheckpointOption] = []
    bases: dict[str, CheckpointOption] = {}
    for job in context.records.jobs.list(owner=context.owner, kind="train", character=character, limit=30):
        checkpoints = context.records.checkpoints.of_job(job.id)
        best = best_of(context.records, job)
        for one in reversed(checkpoints):
            ref = f"{job.id}:{one.name}"
            if one.name == BASE:
                bases.setdefault(one.base, CheckpointOption(ref, f"{checkpoint_title(BASE)} ({one.base})", one.base))
            elif one.adapter_key:
                found.append(CheckpointOption(ref, _label(job, one, one.name == best), one.base, one.name == best))
    return [*found, *bases.values()]


def _label(job: Job, one: Checkpoint, is_best: bool) -> str:
    effort = EFFORTS.get(str((job.recipe or {}).get("effort", "")), "")
    when = datetime.fromisoformat(job.created).strftime("%d %b %H:%M").lstrip("0")
    best = " (best)" if is_best else ""
    return f"{checkpoint_title(one.name)}{best} · " + ", ".join(filter(None, [effort.lower(), when]))


def label_of(context: AppContext, ref: str) -> str:
    """What a checkpoint is called; "a deleted checkpoint" when it is gone."""
    try:
        job, one = checkpoint_of(context, ref)
    except RecordMissing:
        return "a deleted checkpoint"
    return f"{checkpoint_title(BASE)} ({one.base})" if one.name == BASE else _label(job, one, False)


def checkpoint_of(context: AppContext, ref: str) -> tuple[Job, Checkpoint]:
    """The job and the checkpoint of `JOB:NAME`; RecordMissing when either is gone or somebody else's."""
    job, _, name = ref.rpartition(":")
    return own_job(context, job), context.records.checkpoints.get(job, name)


# ---------------------------------------------------------------- conversations


def own_conversation(context: AppContext, id: str) -> Conversation:
    """A conversation of this context's owner; RecordMissing for any other."""
    found = context.records.chats.conversation(id)
    if found.owner != context.owner:
        raise RecordMissing(f"there is no conversation {id}: it was deleted, or the id is wrong")
    return found


def start_conversation(context: AppContext, character: str, left: str, right: str, blind: bool) -> Conversation:
    """A new conversation with two checkpoints. ValueError, in words for people, when they cannot be compared."""
    own_character(context, character)
    if left == right:
        raise NotPossible("Choose two different ones: the same twice only shows chance.")
    (_, one), (_, other) = checkpoint_of(context, left), checkpoint_of(context, right)
    if one.base != other.base:
        raise NotPossible(
            "These two were learnt on different base models, which cannot answer side by side. Choose others."
        )
    title = f"{checkpoint_title(one.name)} / {checkpoint_title(other.name)}"
    conversation = Conversation(new_id(), context.owner, character, left, right, blind, title)
    kept = context.records.chats.add_conversation(conversation)
    # The model and both adapters are read while the first message is being typed.
    request = {"task": "warm", "checkpoints": [left, right]}
    submit.submit(context.records, context.queue, Job(new_id(), "reply", context.owner, character, request=request))
    return kept


def is_swapped(conversation: Conversation, number: int) -> bool:
    """Whether the replies of that number change sides on the page: a coin toss for each turn of a blind comparison.

    It depends on conversation and turn alone, so a page that is loaded again shows the same.
    """
    if not conversation.blind:
        return False
    return bool(hashlib.sha256(f"{conversation.id} {number}".encode()).digest()[0] & 1)


def turns(context: AppContext, conversation: Conversation) -> list[ChatTurn]:
    """The conversation so far. A turn that is being answered shows what the events of its job hold up to now."""
    messages = context.records.chats.messages(conversation.id)
    votes = {vote.message: vote for vote in context.records.chats.votes(conversation=conversation.id)}
    kept = {(message.number, message.side): message for message in messages if message.role != "user"}
    found = []
    for question in (message for message in messages if message.role == "user"):
        number = question.number + 1
        replies = [kept.get((number, side)) for side in ("left", "right")]
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
    refs = (conversation.left, conversation.right)
    state: Literal["waiting", "running", "done", "failed"] = "done"
    error = ""
    if all(reply is not None and reply.job == question.job for reply in replies):
        answers = [
            ReplyView(side, ref, reply.text, reply.scene, reply.picture_key, reply.seed, True)
            for side, ref, reply in zip(SIDES, refs, replies, strict=True)
            if reply is not None
        ]
    else:
        job, told = _replies_so_far(context, question)
        told = [*told, *[SideReply()] * 2][:2]
        answers = [
            ReplyView(side, ref, one.text, one.scene, one.picture_key, question.seed, one.done, one.seconds)
            for side, ref, one in zip(SIDES, refs, told, strict=True)
        ]
        state, error = _state(job, told)
    if vote is not None and any(reply is not None and reply.created > vote.created for reply in replies):
        vote = None  # the replies have been regenerated since
    ordered = answers[::-1] if is_swapped(conversation, number) else answers
    return ChatTurn(number, question, tuple(ordered), state, error, vote)


def _replies_so_far(context: AppContext, question: ChatMessage) -> tuple[Job | None, list[SideReply]]:
    """The job of a turn, and its replies as far as the events have them."""
    if not question.job:
        return None, []
    try:
        job = context.records.jobs.get(question.job)
    except RecordMissing:
        return None, []
    return job, replies_in(context.records.events.after(job.id, limit=5000))


def _state(job: Job | None, told: Sequence[SideReply]) -> tuple[Literal["waiting", "running", "done", "failed"], str]:
    if job is None:
        return "failed", "This message was not sent. Try again."
    if job.status == "succeeded" and all(one.done for one in told):
        return "done", ""
    if job.status in ENDED:
        return "failed", job.error or "The answer was broken off. Try again."
    begun = any(one.text or one.scene or one.picture_key for one in told)
    return ("running" if begun or job.status == "running" else "waiting"), ""


def send_message(
    context: AppContext,
    conversation_id: str,
    words: str,
    picture: bytes | None = None,
    image_mode: ImageMode = "auto",
    seed: int | None = None,
    best_of: int = 1,
) -> ChatMessage:
    """Send a message to both sides; each picture of an answer is chosen from `best_of` drawings.

    Raises NotPossible, or CharacterProblems for a picture that cannot be read.
    """
    conversation = own_conversation(context, conversation_id)
    words = words.strip()
    if not words and picture is None:
        raise NotPossible("Write something first.")
    if len(words) > MAX_MESSAGE_CHARS:
        raise NotPossible(
            f"These are {len(words):,} characters, {len(words) - MAX_MESSAGE_CHARS:,} more than the "
            f"{MAX_MESSAGE_CHARS:,} that can be read at once. Your words stay in the field: shorten them, or send "
            "them in parts."
        )
    before = turns(context, conversation)
    if before and before[-1].state in ("waiting", "running"):
        raise NotPossible("The last answers are still being written.")
    key = ""
    if picture is not None:
        if len(picture) > MAX_ATTACHED_BYTES:
            raise NotPossible(f"The picture is larger than {MAX_ATTACHED_BYTES >> 20} MB: choose a smaller one.")
        clean = clean_image(picture)
        key = put_content(context.store, clean, "pictures", ".jpg" if clean.startswith(b"\xff\xd8") else ".png")
    chosen = secrets.randbelow(SEEDS) if seed is None else seed
    kept = context.records.chats.add_message(
        ChatMessage(new_id(), conversation.id, role="user", text=words, picture_key=key, seed=chosen)
    )
    return _send(context, conversation, kept, before, image_mode, best_of)


def regenerate(
    context: AppContext,
    conversation_id: str,
    seed: int | None = None,
    image_mode: ImageMode = "auto",
    best_of: int = 1,
) -> ChatMessage:
    """Replace the last replies by new ones, with another seed unless one is given."""
    conversation = own_conversation(context, conversation_id)
    before = turns(context, conversation)
    if not before:
        raise NotPossible("There is nothing to answer yet.")
    last = before[-1]
    if last.state in ("waiting", "running"):
        raise NotPossible("The answers are still being written.")
    chosen = secrets.randbelow(SEEDS) if seed is None else seed
    return _send(context, conversation, replace(last.question, seed=chosen), before[:-1], image_mode, best_of)


def _send(
    context: AppContext,
    conversation: Conversation,
    question: ChatMessage,
    before: Sequence[ChatTurn],
    image_mode: ImageMode,
    best_of: int,
) -> ChatMessage:
    """Queue the reply job, then store its id with the message: a send that broke off in between can be repeated."""
    history = [line for turn in before for line in _history_of(turn)]
    request = ReplyRequest(
        (conversation.left, conversation.right),
        (*history, _user_turn(question)),
        conversation.id,
        question.number + 1,
        image_mode,
        question.seed,
        best_of,
    )
    job = submit.submit_reply(context.records, context.queue, context.owner, request, conversation.character)
    # A new id, since a message of a known id is never changed; the number makes it take the old one's place.
    return context.records.chats.add_message(replace(question, id=new_id(), job=job.id))


def is_best_of_quick(context: AppContext) -> bool:
    """Whether choosing from several drawings costs less than a second: where a worker that replies has a GPU."""
    return any(worker.gpu for worker in live_workers(context, "reply"))


def _user_turn(question: ChatMessage) -> HistoryTurn:
    return HistoryTurn("user", question.text, picture=question.picture_key)


def _history_of(turn: ChatTurn) -> list[HistoryTurn]:
    """A turn as history of the next request: each side gets its own replies only. An unanswered turn is left out."""
    if turn.state != "done":
        return []
    said = {answer.side: SideText(answer.text, answer.scene) for answer in turn.answers}
    return [_user_turn(turn.question), HistoryTurn("character", left=said.get("left"), right=said.get("right"))]
