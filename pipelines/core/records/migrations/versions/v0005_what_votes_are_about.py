"""Votes: whether the words or the picture made a reply the better one.

Earlier votes did not ask, so they are about both.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT as POSTGRESQL_TEXT

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column."""
    exact = sa.Text().with_variant(POSTGRESQL_TEXT(collation="C"), "postgresql")
    op.add_column("votes", sa.Column("about", exact, nullable=False, server_default="both"))
