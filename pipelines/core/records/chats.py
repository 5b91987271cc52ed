"""Conversations with checkpoints, what was said in them, and which of two replies somebody liked better.

Votes are snapshots of prompt and replies, so they can be taken out as chosen and rejected pairs for a next training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

from sqlalchemy import Connection, Select, func, literal, select, tuple_
from sqlalchemy.exc import IntegrityError

from pipelines.core.jobs.job import ChatMessage, Conversation, RecordMissing, Vote, VoteAbout, VoteChoice
from pipelines.core.records.database import Database
from pipelines.core.records.row_mapping import columns_of, from_row, to_row
from pipelines.core.records.tables import CONVERSATIONS, MESSAGES, VOTES

_CONVERSATION_COLUMNS = columns_of(Conversation, CONVERSATIONS)
_MESSAGE_COLUMNS = columns_of(ChatMessage, MESSAGES)
_VOTE_COLUMNS = columns_of(Vote, VOTES)


class Chats:
    """The conversations, messages and votes in the records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_conversation(self, conversation: Conversation) -> Conversation:
        """Keep a new conversation and give it its time; adding the same id again returns what is kept.

        RecordMissing when its character is gone.
        """
        with self._database.write() as connection:
            kept = replace(conversation, created=conversation.created or self._database.clock(connection))
            try:
                self._database.insert_or_ignore(connection, CONVERSATIONS, to_row(kept, CONVERSATIONS), ["id"])
            except IntegrityError as error:
                raise RecordMissing(
                    f"there is no character {kept.character} to talk with: it was deleted, or the id is wrong"
                ) from error
            return _conversation(connection, kept.id)

    def conversation(self, id: str) -> Conversation:
        """One conversation; RecordMissing when there is none."""
        with self._database.read() as connection:
            return _conversation(connection, id)

    def conversations(
        self, owner: str, character: str | None = None, limit: int = 50, before: str | None = None
    ) -> list[Conversation]:
        """Newest first; for the next page, `before` is the id of the last one of this page."""
        order = (CONVERSATIONS.c.created, CONVERSATIONS.c.id)
        query = select(*_CONVERSATION_COLUMNS).where(CONVERSATIONS.c.owner == owner)
        query = query.order_by(*(column.desc() for column in order)).limit(limit)
        if character is not None:
            query = query.where(CONVERSATIONS.c.character == character)
        with self._database.read() as connection:
            if before is not None:
                last = _conversation(connection, before)
                query = query.where(tuple_(*order) < tuple_(literal(last.created), literal(last.id)))
            return [from_row(Conversation, row) for row in connection.execute(query).mappings()]

    def add_message(self, message: ChatMessage) -> ChatMessage:
        """Keep a message; with number -1 behind the last one. Returns it with number and time.

        A message that names its number takes the place of one of the same number and side: a reply that was made again
        is not kept twice; nor is one whose id is known. RecordMissing when the conversation or the job is gone.
        """
        with self._database.write() as connection:
            _conversation(connection, message.conversation, lock=True)
            same = select(*_MESSAGE_COLUMNS).where(MESSAGES.c.id == message.id)
            known = connection.execute(same).mappings().one_or_none()
            if known is not None:
                return from_row(ChatMessage, known)
            number = message.number
            if number < 0:
                last = select(func.max(MESSAGES.c.number)).where(MESSAGES.c.conversation == message.conversation)
                highest = connection.execute(last).scalar_one()
                number = 0 if highest is None else highest + 1
            kept = replace(message, number=number, created=message.created or self._database.clock(connection))
            values = to_row(kept, MESSAGES)
            try:
                self._database.upsert(connection, MESSAGES, values, ["conversation", "number", "side"])
            except IntegrityError as error:
                raise RecordMissing(f"the job {kept.job} that made message {kept.id} was deleted") from error
            return kept

    def messages(self, conversation: str) -> list[ChatMessage]:
        """All of a conversation by number, left before right."""
        query = (
            select(*_MESSAGE_COLUMNS)
            .where(MESSAGES.c.conversation == conversation)
            .order_by(MESSAGES.c.number, MESSAGES.c.side)
        )
        with self._database.read() as connection:
            return [from_row(ChatMessage, row) for row in connection.execute(query).mappings()]

    def add_vote(self, vote: Vote) -> Vote:
        """Keep a vote; a second one on the same replies takes its place. RecordMissing without a conversation."""
        if vote.choice not in get_args(VoteChoice):
            raise ValueError(f"a vote is {', '.join(get_args(VoteChoice))}, not {vote.choice!r}")
        if vote.about not in get_args(VoteAbout):
            raise ValueError(f"a vote is about {', '.join(get_args(VoteAbout))}, not {vote.about!r}")
        with self._database.write() as connection:
            kept = replace(vote, created=vote.created or self._database.clock(connection))
            try:
                self._database.upsert(connection, VOTES, to_row(kept, VOTES), ["conversation", "message"])
            except IntegrityError as error:
                raise RecordMissing(f"there is no conversation {vote.conversation}: it was deleted") from error
            return kept

    def votes(
        self, owner: str | None = None, character: str | None = None, conversation: str | None = None
    ) -> list[Vote]:
        """Votes by where they were given, oldest first."""
        with self._database.read() as connection:
            query = _votes(owner, character, conversation)
            return [from_row(Vote, row) for row in connection.execute(query).mappings()]

    def pairs(self, owner: str | None = None, character: str | None = None) -> Iterator[dict[str, Any]]:
        """Votes that have a winner, in the form that preference training takes: prompt, chosen and rejected reply.

        Each is a JSON object, with the checkpoints that wrote the replies; a reply is `text`, `scene` and
        `picture_key`. Ties and "both bad" are left out.
        """
        for vote in self.votes(owner, character):
            if vote.choice not in ("left", "right"):
                continue
            left, right = (vote.left, vote.left_reply), (vote.right, vote.right_reply)
            chosen, rejected = (left, right) if vote.choice == "left" else (right, left)
            yield {
                "prompt": vote.prompt,
                "chosen": chosen[1],
                "rejected": rejected[1],
                "chosen_checkpoint": chosen[0],
                "rejected_checkpoint": rejected[0],
                "about": vote.about,
                "blind": vote.blind,
                "conversation": vote.conversation,
                "message": vote.message,
                "created": vote.created,
            }


def _conversation(connection: Connection, id: str, lock: bool = False) -> Conversation:
    query = select(*_CONVERSATION_COLUMNS).where(CONVERSATIONS.c.id == id)
    query = query.with_for_update(key_share=True) if lock else query
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise RecordMissing(f"there is no conversation {id}: it was deleted, or the id is wrong")
    return from_row(Conversation, row)


def _votes(owner: str | None, character: str | None, conversation: str | None) -> Select[Any]:
    query = select(*_VOTE_COLUMNS).join(CONVERSATIONS, VOTES.c.conversation == CONVERSATIONS.c.id)
    if owner is not None:
        query = query.where(CONVERSATIONS.c.owner == owner)
    if character is not None:
        query = query.where(CONVERSATIONS.c.character == character)
    if conversation is not None:
        query = query.where(VOTES.c.conversation == conversation)
    return query.order_by(VOTES.c.created, VOTES.c.id)
