"""What Alembic runs for a migration: on the connection, and inside the transaction, that `connect.py` made.

There is no `alembic.ini` and no offline mode: a change is written by hand in `versions/`, and the test that compares a
migrated database with `tables.py` prints the operations that are missing.
"""

from __future__ import annotations

from alembic import context

from pipelines.core.records.tables import METADATA


def run() -> None:
    """Apply what is asked for."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=METADATA,
        render_as_batch=True,  # SQLite changes a table by copying it
    )
    context.run_migrations()


# Alembic loads this file under a name of its own; an import of the package's modules does nothing.
if __name__ == "env_py":
    run()
