"""Messages in a file of SQLite: the embedded broker, for one machine without a server.

Kombu's own transport with four changes: a poll five times a second instead of once, so that a chat answers at once; a
write-ahead log without waiting for the disk (a message lost in a power cut is sent again); writers wait for each other;
and what was delivered is deleted, so that the file stays small.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from kombu.transport import sqlalchemy as over_sql
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import OperationalError

BUSY_S = 30
"""How long a writer waits for another one."""
POLL_S = 0.2
"""Seconds between looks at an empty queue."""
OPENINGS = 10
"""Tries to make the tables: of several processes that start at once, all but one fail the first time."""


class FileChannel(over_sql.Channel):  # type: ignore[misc]  # kombu has no types
    """A connection to the file."""

    _session: Any = None

    def _engine_from_config(self) -> Engine:
        url: str = self.connection.client.hostname
        if not url.startswith("sqlite"):
            return create_engine(url, pool_pre_ping=True)
        engine = create_engine(url, connect_args={"timeout": BUSY_S})

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _: Any) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")

        return engine

    def _open(self) -> Any:
        for _ in range(OPENINGS):
            try:
                return super()._open()
            except OperationalError:
                time.sleep(0.1)
        return super()._open()

    def _get(self, queue: str) -> Any:
        message = super()._get(queue)
        # Delivered messages are only marked; nobody would ever look at them again.
        self._query_all(queue).filter(self.message_cls.visible.is_(False)).delete(synchronize_session=False)
        self.session.commit()
        return message

    def close(self) -> None:
        """Also gives the database connection back."""
        super().close()
        if self._session is not None:
            self._session.close()
            self._session = None


class FileTransport(over_sql.Transport):  # type: ignore[misc]
    """What `broker.py` names as the transport of `sqla+...` addresses."""

    Channel = FileChannel
    polling_interval = POLL_S
