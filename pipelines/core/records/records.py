"""The records as a whole: one database, and a class for each kind of record.

Every part may be used from any thread, and any number of processes may have the same records open.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select

from pipelines.core.records.characters import Characters
from pipelines.core.records.chats import Chats
from pipelines.core.records.checkpoints import Checkpoints
from pipelines.core.records.database import Database
from pipelines.core.records.events import Events
from pipelines.core.records.jobs import Jobs
from pipelines.core.records.object_keys import object_keys
from pipelines.core.records.tables import INSTALLATION
from pipelines.core.records.workers import Workers


class Records:
    """What `open_records` gives. Any method may raise RecordsUnusable when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.jobs = Jobs(database)
        self.events = Events(database)
        self.checkpoints = Checkpoints(database)
        self.characters = Characters(database)
        self.chats = Chats(database)
        self.workers = Workers(database)

    def keys(self) -> Iterator[str]:
        """Every object key that any row refers to; some come more than once."""
        return object_keys(self._database)

    def installation(self) -> str:
        """The id of these records, which their object store has as well (`storage/installation.py`)."""
        with self._database.read() as connection:
            return str(connection.execute(select(INSTALLATION.c.id)).scalar_one())

    def clock(self) -> str:
        """The time that leases go by: UTC, ISO 8601."""
        with self._database.read() as connection:
            return self._database.clock(connection)

    def close(self) -> None:
        """Close idle connections, at the end of a program or test."""
        self._database.close()
