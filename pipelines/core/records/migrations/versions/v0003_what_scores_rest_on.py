"""Checkpoints: what their scores rest on, and why each was saved.

Earlier checkpoints were measured without counting, and nobody noted which were saved by a stop: they stand as planned.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT as POSTGRESQL_TEXT

revision = "0003"
down_revision = "0002"

EXACT = sa.Text().with_variant(POSTGRESQL_TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the two columns; the server's defaults fill the rows that are there."""
    op.add_column("checkpoints", sa.Column("measurement", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("checkpoints", sa.Column("saved_for", EXACT, nullable=False, server_default="plan"))
