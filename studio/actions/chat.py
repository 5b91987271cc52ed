"""What the chat page does: talk with one checkpoint, edit what was said, branch, and have a reply continued.

A chat is a conversation with one checkpoint (`Conversation.right` is ""). Sending and answering again are those of
`compare.py`, since one reply job answers for one checkpoint as for two.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from pipelines.core.jobs.job import ChatMessage, Conversation, Job, new_id
from pipelines.core.jobs.reply_protocol import HistoryTurn
from pipelines.core.queue import submit
from studio.actions import compare
from studio.actions.chat_turns import ChatTurn, turns
from studio.actions.checkpoint_options import checkpoint_of
from studio.actions.compare import MAX_MESSAGE_CHARS, PLAIN, SEEDS, NotPossible, ReplyOptions, own_conversation
from studio.actions.drafts import own_character
from studio.actions.scores import checkpoint_title
from studio.context import AppContext

MAX_REPLY_CHARS = 4000
"""Most characters of a reply that somebody rewrites."""
MAX_TITLE_CHARS = 60
RECENT = 1000
"""Latest conversations of a character among which chats are searched."""


@dataclass(frozen=True)
class EarlierChat:
    """A chat in a list."""

    id: str
    title: str
    """How it began."""
    created: str


def start_chat(context: AppContext, character: str, ref: str) -> Conversation:
    """A new chat with one checkpoint; RecordMissing when it is gone."""
    own_character(context, character)
    _, checkpoint = checkpoint_of(context, ref)
    title = checkpoint_title(checkpoint.name)
    return context.records.chats.add_conversation(Conversation(new_id(), context.owner, character, ref, title=title))


def warm(context: AppContext, character: str, ref: str) -> None:
    """Have a worker read model and adapter while the first message is being typed."""
    request = {"task": "warm", "checkpoints": [ref]}
    submit.submit(context.records, context.queue, Job(new_id(), "reply", context.owner, character, request=request))


def earlier_chats(context: AppContext, character: str, limit: int = 10) -> list[EarlierChat]:
    """The character's chats in which something was said, newest first."""
    found = []
    for one in context.records.chats.conversations(context.owner, character, limit=RECENT):
        if one.right:
            continue
        first = next(iter(context.records.chats.messages(one.id)), None)
        if first is not None:
            words = " ".join(first.text.split()) or "A picture"
            short = words if len(words) <= MAX_TITLE_CHARS else f"{words[:MAX_TITLE_CHARS].rstrip()}…"
            found.append(EarlierChat(one.id, short, one.created))
        if len(found) == limit:
            break
    return found


def branch(context: AppContext, conversation_id: str, number: int, with_turn: bool = True) -> Conversation:
    """A new chat that begins with this one's turns up to the turn of that number, or to the one before it."""
    old = own_conversation(context, conversation_id)
    kept = [turn for turn in turns(context, old) if turn.number < number + with_turn]
    if any(turn.state in ("waiting", "running") for turn in kept):
        raise NotPossible("The answer is still being written.")
    new = context.records.chats.add_conversation(
        Conversation(new_id(), context.owner, old.character, old.left, old.right, old.blind, old.title)
    )
    for turn in kept:
        context.records.chats.add_message(replace(turn.question, id=new_id(), conversation=new.id))
        for answer in turn.answers if turn.state == "done" else ():
            context.records.chats.add_message(
                ChatMessage(
                    new_id(),
                    new.id,
                    turn.number,
                    "character",
                    answer.side,
                    answer.text,
                    answer.scene,
                    answer.picture_key,
                    answer.seed,
                    turn.question.job,
                )
            )
    return new


def edit_message(
    context: AppContext,
    conversation_id: str,
    number: int,
    words: str,
    options: ReplyOptions = PLAIN,
) -> Conversation:
    """Say something else instead of the message of this turn, and have it answered; returns where that is.

    The last message is replaced. An earlier one is said in a new chat, so what came after it stays in the old one.
    """
    conversation = own_conversation(context, conversation_id)
    turn, is_last = _turn(context, conversation, number)
    words = _checked(words, MAX_MESSAGE_CHARS, "Write something first." if not turn.question.picture_key else "")
    seed = secrets.randbelow(SEEDS)
    if not is_last:
        conversation = branch(context, conversation_id, number, with_turn=False)
    before = [one for one in turns(context, conversation) if one.number < number]
    question = replace(turn.question, conversation=conversation.id, text=words, seed=seed)
    compare.submit_turn(context, conversation, question, before, options)
    return conversation


def edit_reply(context: AppContext, conversation_id: str, number: int, words: str) -> None:
    """Put other words into the character's mouth; the model goes on from these. Scene and picture stay."""
    conversation = own_conversation(context, conversation_id)
    turn, _ = _turn(context, conversation, number)
    if conversation.right or turn.state != "done":
        raise NotPossible("There is no answer to change here yet.")
    [answer] = turn.answers
    context.records.chats.add_message(
        ChatMessage(
            new_id(),
            conversation.id,
            number,
            "character",
            answer.side,
            _checked(words, MAX_REPLY_CHARS, "Write how they answer first."),
            answer.scene,
            answer.picture_key,
            answer.seed,
            turn.question.job,
        )
    )


def continue_reply(context: AppContext, conversation_id: str, options: ReplyOptions = PLAIN) -> ChatMessage:
    """Have the last reply of a chat continued where it ends; its picture stays."""
    conversation = own_conversation(context, conversation_id)
    told = turns(context, conversation)
    if conversation.right or not told or told[-1].state != "done":
        raise NotPossible("There is no whole answer to go on from yet.")
    [answer] = told[-1].answers
    if not answer.text.strip():
        raise NotPossible("That answer has no words to go on from: have it answered again.")
    begun = HistoryTurn("character", answer.text, answer.scene, answer.picture_key)
    question = replace(told[-1].question, seed=secrets.randbelow(SEEDS))
    words_only = replace(options, image_mode="never")
    return compare.submit_turn(context, conversation, question, told[:-1], words_only, begun)


def _turn(context: AppContext, conversation: Conversation, number: int) -> tuple[ChatTurn, bool]:
    """The turn, and whether it is the last one; NotPossible while the last one is being answered."""
    told = turns(context, conversation)
    turn = next((one for one in told if one.number == number), None)
    if turn is None:
        raise NotPossible("This message is no longer there.")
    if told[-1].state in ("waiting", "running"):
        raise NotPossible("The answer is still being written.")
    return turn, turn is told[-1]


def _checked(words: str, most: int, empty: str) -> str:
    words = words.strip()
    if not words and empty:
        raise NotPossible(empty)
    if len(words) > most:
        raise NotPossible(f"That is {len(words)} characters; at most {most} can be read at once.")
    return words
