"""What the compare page does: send a message to two checkpoints, and regenerate the last replies.

One reply job answers for both sides in one batch; its events have what is written so far. How a conversation is read
is in `chat_turns.py`, the chat with one checkpoint in `chat.py`, votes and corrections in `feedback.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipelines.core.character.image_decode import clean_image
from pipelines.core.jobs.job import ChatMessage, Conversation, Job, RecordMissing, new_id
from pipelines.core.jobs.reply_protocol import HistoryTurn, ReplyRequest
from pipelines.core.queue import submit
from pipelines.core.storage.store import put_content
from pipelines.core.upload_process import read_apart
from studio.actions.chat_turns import ChatTurn, history_of, refs_of, turns, user_turn
from studio.actions.checkpoint_options import checkpoint_of
from studio.actions.drafts import own_character
from studio.actions.scores import checkpoint_title
from studio.actions.workers import live_workers
from studio.context import AppContext

ImageMode = Literal["auto", "always", "never"]
MAX_MESSAGE_CHARS = 2000
"""Characters of one message; longer ones would push the system prompt out of the context window."""
MAX_ATTACHED_BYTES = 12 * 1024 * 1024
SEEDS = 1_000_000


@dataclass(frozen=True)
class ReplyOptions:
    """How a message is answered, beside its seed."""

    image_mode: ImageMode = "auto"
    """When a reply has a picture."""
    best_of: int = 1
    """How many drawings each picture is chosen from."""
    strength: float = 1.0
    """What was learned is multiplied by this."""


PLAIN = ReplyOptions()


class NotPossible(ValueError):
    """The action is not possible at the moment; the text says why, in words for people."""


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


def send_message(
    context: AppContext,
    conversation_id: str,
    words: str,
    picture: bytes | None = None,
    seed: int | None = None,
    options: ReplyOptions = PLAIN,
) -> ChatMessage:
    """Send a message to both sides.

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
        clean = read_apart(clean_image, picture, file="the picture")
        key = put_content(context.store, clean, "pictures", ".jpg" if clean.startswith(b"\xff\xd8") else ".png")
    chosen = secrets.randbelow(SEEDS) if seed is None else seed
    kept = context.records.chats.add_message(
        ChatMessage(new_id(), conversation.id, role="user", text=words, picture_key=key, seed=chosen)
    )
    return submit_turn(context, conversation, kept, before, options)


def regenerate(
    context: AppContext,
    conversation_id: str,
    seed: int | None = None,
    options: ReplyOptions = PLAIN,
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
    return submit_turn(context, conversation, replace(last.question, seed=chosen), before[:-1], options)


def submit_turn(
    context: AppContext,
    conversation: Conversation,
    question: ChatMessage,
    before: Sequence[ChatTurn],
    options: ReplyOptions = PLAIN,
    begun: HistoryTurn | None = None,
) -> ChatMessage:
    """Queue the reply job, then store its id with the message: a send that broke off in between can be repeated.

    before: the turns that the model reads first; begun: a reply of one that is to be continued.
    """
    history = [line for turn in before for line in history_of(turn)]
    request = ReplyRequest(
        refs_of(conversation),
        (*history, user_turn(question)),
        conversation.id,
        question.number + 1,
        options.image_mode,
        question.seed,
        options.best_of,
        begun,
        options.strength,
    )
    job = submit.submit_reply(context.records, context.queue, context.owner, request, conversation.character)
    # A new id, since a message of a known id is never changed; the number makes it take the old one's place.
    return context.records.chats.add_message(replace(question, id=new_id(), job=job.id))


def is_best_of_quick(context: AppContext) -> bool:
    """Whether choosing from several drawings costs less than a second: where a worker that replies has a GPU."""
    return any(worker.gpu for worker in live_workers(context, "reply"))
