"""Workers: how many processor cores they may use, from which the time of a training is reckoned.

Workers that registered before say 0, which is "not known"; they register anew when they start again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column."""
    op.add_column("workers", sa.Column("cores", sa.Integer(), nullable=False, server_default="0"))
