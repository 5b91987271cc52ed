"""The first tables: characters with versions, jobs, events, checkpoints, conversations, messages, votes, workers.

Written out in full, since `tables.py` goes on changing and this file must not.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT as POSTGRESQL_TEXT

revision = "0001"
down_revision = None

EXACT = sa.Text().with_variant(POSTGRESQL_TEXT(collation="C"), "postgresql")


def _exact(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, EXACT, nullable=nullable)


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _whole(name: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=nullable, autoincrement=False)


def _primary(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}")


def _foreign(table: str, column: str, target: str, ondelete: str = "CASCADE") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], ondelete=ondelete, name=f"fk_{table}_{column}")


def upgrade() -> None:
    """Make everything."""
    _characters()
    _jobs()
    _results()
    _chats()
    op.create_table(
        "workers",
        _exact("id"),
        _exact("host"),
        _text("queues"),
        _text("gpu"),
        sa.Column("memory_gb", sa.Float(), nullable=False),
        _text("versions"),
        _exact("job"),
        _exact("seen"),
        _exact("started"),
        _primary("workers", "id"),
    )


def _characters() -> None:
    op.create_table(
        "characters",
        _exact("id"),
        _exact("owner"),
        _text("name"),
        _whole("version"),
        _text("draft"),
        _exact("published"),
        _exact("created"),
        _exact("changed"),
        _primary("characters", "id"),
    )
    op.create_index("characters_of_owner", "characters", ["owner", "changed", "id"])
    op.create_table(
        "character_versions",
        _exact("character"),
        _whole("version"),
        _text("entries"),
        _text("test_entries", nullable=True),
        _text("images"),
        _text("test_images"),
        _exact("created"),
        _primary("character_versions", "character", "version"),
        _foreign("character_versions", "character", "characters.id"),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        _exact("id"),
        _exact("kind"),
        _exact("owner"),
        _exact("character", nullable=True),
        _whole("version", nullable=True),
        _text("recipe", nullable=True),
        _text("request"),
        _exact("status"),
        _whole("priority"),
        _whole("attempt"),
        _exact("worker"),
        _exact("lease_until"),
        _exact("heartbeat"),
        _exact("cancel"),
        _text("error"),
        _text("log_tail"),
        _exact("parent", nullable=True),
        _exact("created"),
        _exact("queued"),
        _exact("started"),
        _exact("ended"),
        _exact("nudged"),
        _whole("losses"),
        _primary("jobs", "id"),
        _foreign("jobs", "character", "characters.id"),
        _foreign("jobs", "parent", "jobs.id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["character", "version"],
            ["character_versions.character", "character_versions.version"],
            ondelete="CASCADE",
            name="jobs_version",
        ),
    )
    op.create_index("jobs_in_time", "jobs", ["created", "id"])
    op.create_index("jobs_of_owner", "jobs", ["owner", "created", "id", "kind", "status"])
    op.create_index("jobs_of_character", "jobs", ["character", "created", "id"])
    op.create_index("jobs_in_order", "jobs", ["kind", "status", "owner", "priority", "queued", "id"])
    op.create_index("jobs_leased", "jobs", ["status", "lease_until"])
    op.create_index("jobs_of_parent", "jobs", ["parent"])


def _results() -> None:
    rows_in_key_order: dict[str, Any] = {"sqlite_with_rowid": False}
    op.create_table(
        "events",
        _exact("job"),
        _whole("sequence"),
        _whole("attempt"),
        _whole("number", nullable=True),
        _exact("stage"),
        _text("body"),
        _primary("events", "job", "sequence"),
        _foreign("events", "job", "jobs.id"),
        sa.UniqueConstraint("job", "attempt", "number", name="events_once"),
        **rows_in_key_order,
    )
    op.create_index("events_of_stage", "events", ["job", "stage", "sequence"])
    op.create_table(
        "checkpoints",
        _exact("job"),
        _exact("name"),
        _exact("stage"),
        _whole("step"),
        _exact("base"),
        _exact("revision"),
        _exact("adapter_key"),
        _text("scores"),
        _text("samples"),
        _text("files"),
        _exact("created"),
        _primary("checkpoints", "job", "name"),
        _foreign("checkpoints", "job", "jobs.id"),
    )


def _chats() -> None:
    op.create_table(
        "conversations",
        _exact("id"),
        _exact("owner"),
        _exact("character", nullable=True),
        _exact("left"),
        _exact("right"),
        sa.Column("blind", sa.Boolean(), nullable=False),
        _text("title"),
        _exact("created"),
        _primary("conversations", "id"),
        _foreign("conversations", "character", "characters.id"),
    )
    op.create_index("conversations_of_owner", "conversations", ["owner", "created", "id"])
    op.create_index("conversations_of_character", "conversations", ["character", "created", "id"])
    op.create_table(
        "messages",
        _exact("id"),
        _exact("conversation"),
        _whole("number"),
        _exact("role"),
        _exact("side"),
        _text("text"),
        _text("scene"),
        _exact("picture_key"),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        _exact("job", nullable=True),
        _exact("created"),
        _primary("messages", "id"),
        _foreign("messages", "conversation", "conversations.id"),
        _foreign("messages", "job", "jobs.id", ondelete="SET NULL"),
        sa.UniqueConstraint("conversation", "number", "side", name="messages_once"),
    )
    op.create_index("messages_of_job", "messages", ["job"])
    op.create_table(
        "votes",
        _exact("id"),
        _exact("conversation"),
        _whole("message"),
        _exact("left"),
        _exact("right"),
        _exact("choice"),
        sa.Column("blind", sa.Boolean(), nullable=False),
        _text("prompt"),
        _text("left_reply"),
        _text("right_reply"),
        _exact("created"),
        _primary("votes", "id"),
        _foreign("votes", "conversation", "conversations.id"),
        sa.UniqueConstraint("conversation", "message", name="votes_once"),
    )
    op.create_index("votes_in_time", "votes", ["created", "id"])
