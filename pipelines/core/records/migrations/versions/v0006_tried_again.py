"""Jobs: how often they were tried again since they last got further, and how much smaller their steps have become.

Jobs from before have not been tried again, and their steps are as planned.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT as POSTGRESQL_TEXT

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns."""
    exact = sa.Text().with_variant(POSTGRESQL_TEXT(collation="C"), "postgresql")
    for name in ("retries", "progress", "savings"):
        op.add_column("jobs", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("failed_at", exact, nullable=False, server_default=""))
