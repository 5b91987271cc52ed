"""The tables, as the code sees them. What is on disk is made by the migrations; a test proves that both are the same.

Every row has an owner: characters, jobs and conversations name theirs, and every other row hangs on one of them by a
foreign key, so that deleting a character takes everything with it. Only workers and the installation belong to nobody.

Text columns compare by code point on both databases (PostgreSQL would ask the locale), because times and names are
compared as text. JSON is kept as text: the two databases' own JSON types disagree about NaN and U+0000.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import TEXT as POSTGRESQL_TEXT
from sqlalchemy.types import TypeDecorator

from pipelines.core.words import whole_value


class JsonText(TypeDecorator[Any]):
    """A JSON value as text, in ASCII. Half characters, which no page can draw, are replaced on the way in and out."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """None stays NULL."""
        if value is None:
            return None
        text = json.dumps(value, separators=(",", ":"))
        return json.dumps(whole_value(value), separators=(",", ":")) if _MAY_BE_HALF in text else text

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """The inverse."""
        if value is None:
            return None
        found = json.loads(value)
        return whole_value(found) if _MAY_BE_HALF in value else found


_MAY_BE_HALF = "\\ud"
"""Begins both halves of a character in JSON."""


class FreeText(TypeDecorator[str]):
    """Text that people or programs typed: what no database takes (U+0000, half characters) becomes a question mark."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Clean it."""
        return None if value is None else value.replace("\0", "?").encode("utf-8", "replace").decode("utf-8")


METADATA = MetaData(naming_convention={"pk": "pk_%(table_name)s", "fk": "fk_%(table_name)s_%(column_0_name)s"})
EXACT = Text().with_variant(POSTGRESQL_TEXT(collation="C"), "postgresql")
"""Ids, names, keys and times."""


def _text(name: str) -> Column[str]:
    return Column(name, EXACT, nullable=False)


def _free(name: str) -> Column[str]:
    return Column(name, FreeText, nullable=False)


def _whole(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False)


def _json(name: str) -> Column[Any]:
    return Column(name, JsonText, nullable=False)


def _part_of(name: str, target: str, *, primary_key: bool = False, optional: bool = False) -> Column[str]:
    """A foreign key whose row goes with its target."""
    key = ForeignKey(target, ondelete="CASCADE")
    return Column(name, EXACT, key, primary_key=primary_key, nullable=optional)


def _mentions(name: str, target: str) -> Column[str]:
    """A foreign key that is emptied when its target goes."""
    return Column(name, EXACT, ForeignKey(target, ondelete="SET NULL"), nullable=True)


CHARACTERS = Table(
    "characters",
    METADATA,
    Column("id", EXACT, primary_key=True),
    _text("owner"),
    _free("name"),
    _whole("version"),
    _json("draft"),
    _text("published"),
    _text("created"),
    _text("changed"),
    Index("characters_of_owner", "owner", "changed", "id"),
)

CHARACTER_VERSIONS = Table(
    "character_versions",
    METADATA,
    _part_of("character", "characters.id", primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    _json("entries"),
    Column("test_entries", JsonText, nullable=True),
    _json("images"),
    _json("test_images"),
    _text("created"),
)

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", EXACT, primary_key=True),
    _text("kind"),
    _text("owner"),
    _part_of("character", "characters.id", optional=True),
    Column("version", Integer, nullable=True),  # NULL for none, so that the key below is not asked
    Column("recipe", JsonText, nullable=True),
    _json("request"),
    _text("status"),
    _whole("priority"),
    _whole("attempt"),
    _text("worker"),
    _text("lease_until"),
    _text("heartbeat"),
    _text("cancel"),
    _free("error"),
    _free("log_tail"),
    _mentions("parent", "jobs.id"),
    _text("created"),
    _text("queued"),
    _text("started"),
    _text("ended"),
    _text("nudged"),  # when a message was last sent for it; "" when one is wanted
    _whole("losses"),  # workers lost since it last got further, or somebody queued it
    # Added later: rows of before have these defaults.
    Column("retries", Integer, nullable=False, server_default="0"),  # trainers that failed since then
    Column("progress", Integer, nullable=False, server_default="0"),  # how far it was at the last of either
    Column("savings", Integer, nullable=False, server_default="0"),
    Column("failed_at", EXACT, nullable=False, server_default=""),  # where the last trainer failed: stage-step
    ForeignKeyConstraint(
        ["character", "version"],
        ["character_versions.character", "character_versions.version"],
        ondelete="CASCADE",
        name="jobs_version",
    ),
    Index("jobs_in_time", "created", "id"),
    # Behind the order stand the columns that lists filter by, so that rows left out are never fetched.
    Index("jobs_of_owner", "owner", "created", "id", "kind", "status"),
    Index("jobs_of_character", "character", "created", "id"),
    # Holds everything that the order of the queue needs.
    Index("jobs_in_order", "kind", "status", "owner", "priority", "queued", "id"),
    Index("jobs_leased", "status", "lease_until"),
    Index("jobs_of_parent", "parent"),
)

EVENTS = Table(
    "events",
    METADATA,
    _part_of("job", "jobs.id", primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),  # 0.. over all attempts
    _whole("attempt"),
    Column("number", Integer, nullable=True),  # the sender's own, in its attempt; NULL for a note of the worker
    _text("stage"),
    _json("body"),
    UniqueConstraint("job", "attempt", "number", name="events_once"),
    Index("events_of_stage", "job", "stage", "sequence"),
    sqlite_with_rowid=False,  # rows lie in the order of the primary key: following a job reads neighbours
)

CHECKPOINTS = Table(
    "checkpoints",
    METADATA,
    _part_of("job", "jobs.id", primary_key=True),
    Column("name", EXACT, primary_key=True),
    _text("stage"),
    _whole("step"),
    _text("base"),
    _text("revision"),
    _text("adapter_key"),
    _json("scores"),
    _json("samples"),
    _json("files"),
    _text("created"),
    # Added later: rows of before have these defaults.
    Column("measurement", JsonText, nullable=False, server_default="{}"),
    Column("saved_for", EXACT, nullable=False, server_default="plan"),
)

CONVERSATIONS = Table(
    "conversations",
    METADATA,
    Column("id", EXACT, primary_key=True),
    _text("owner"),
    _part_of("character", "characters.id", optional=True),
    _text("left"),
    _text("right"),
    Column("blind", Boolean, nullable=False),
    _free("title"),
    _text("created"),
    Index("conversations_of_owner", "owner", "created", "id"),
    Index("conversations_of_character", "character", "created", "id"),
)

MESSAGES = Table(
    "messages",
    METADATA,
    Column("id", EXACT, primary_key=True),
    _part_of("conversation", "conversations.id"),
    _whole("number"),
    _text("role"),
    _text("side"),
    _free("text"),
    _free("scene"),
    _text("picture_key"),
    Column("seed", BigInteger, nullable=False),
    _mentions("job", "jobs.id"),
    _text("created"),
    UniqueConstraint("conversation", "number", "side", name="messages_once"),
    Index("messages_of_job", "job"),
)

VOTES = Table(
    "votes",
    METADATA,
    Column("id", EXACT, primary_key=True),
    _part_of("conversation", "conversations.id"),
    _whole("message"),
    _text("left"),
    _text("right"),
    _text("choice"),
    Column("blind", Boolean, nullable=False),
    _free("prompt"),
    _json("left_reply"),
    _json("right_reply"),
    _text("created"),
    Column("about", EXACT, nullable=False, server_default="both"),
    UniqueConstraint("conversation", "message", name="votes_once"),
    Index("votes_in_time", "created", "id"),
)

INSTALLATION = Table("installation", METADATA, Column("id", EXACT, primary_key=True))
"""One row, made by the migration: whose records these are."""

WORKERS = Table(
    "workers",
    METADATA,
    Column("id", EXACT, primary_key=True),
    _text("host"),
    _json("queues"),
    _free("gpu"),
    Column("memory_gb", Float, nullable=False),
    _json("versions"),
    _text("job"),
    _text("seen"),
    _text("started"),
    Column("cores", Integer, nullable=False, server_default="0"),  # added later
)
