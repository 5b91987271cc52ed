"""The id of this installation, which its object store has as well: garbage is collected only where both agree.

Installations from before get one now; their store takes it at the next start of a worker or sweeper.
"""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT as POSTGRESQL_TEXT

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the table with its one row."""
    exact = sa.Text().with_variant(POSTGRESQL_TEXT(collation="C"), "postgresql")
    columns = sa.Column("id", exact, nullable=False), sa.PrimaryKeyConstraint("id", name="pk_installation")
    table = op.create_table("installation", *columns)
    op.bulk_insert(table, [{"id": uuid.uuid4().hex}])
