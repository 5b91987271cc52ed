"""The connection to the records: one SQLite file, or a PostgreSQL server; what the two need to behave the same is here.

SQLite: WAL, so that readers and the one writer do not wait for each other; foreign keys on; a write takes the lock
when it begins (BEGIN IMMEDIATE), so two that read first cannot both change. PostgreSQL: read committed, rows that are
read to be changed are locked. Both: a failure of the outside (no server, full disk, locked file) is raised as
`RecordsUnusable` in plain words, and a connection is never shared with a forked process.

What was committed outlives a killed process in any case. It outlives a power cut too, except on SQLite what was
written with `durable=False`: events and heartbeats come many times a second, and waiting for the disk can take 50 ms.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Engine, Table, create_engine, event, exc, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import ConnectionPoolEntry

from pipelines.core.jobs.job import RecordsUnusable, now

FUTURE_S = 60.0
"""So far ahead of the clock no time in the records can be unless the clock was set back since."""
BUSY_S = 30
"""How long a writer waits for another one before it gives up."""
_OUTSIDE = (exc.DatabaseError, exc.OperationalError, exc.InterfaceError)
"""Errors of a driver that come from the server, the disk or the network, not from our statements."""
_MENDS = {
    "is full": "free some disk space; what was saved before is safe",
    "no space": "free some disk space; what was saved before is safe",
    "disk i/o": "check the disk and how much of it is free",
    "locked": "another program keeps it busy: try again, or see which one has it open",
    "readonly": "let this user write the file and its folder",
    "unable to open": "see that its folder exists and that this user may write there",
    "malformed": "the file is damaged: stop everything and restore the last backup (docs/operations.md)",
    "not a database": "the file is something else: name another one in UNDERSTUDY_DATABASE_URL",
    "authentication failed": "check user and password in UNDERSTUDY_DATABASE_URL",
    "does not exist": "make the database or user first, or name another one in UNDERSTUDY_DATABASE_URL",
}
_SERVER_TIMES = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""libpq's: seconds, the last one milliseconds. A server that is gone without a word (a cable, a firewall) is noticed in
half a minute, where TCP alone takes hours."""
_SERVER_CLOCK = text("""SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')""")


class Database:
    """Transactions on the records: `read` changes nothing, `write` commits as a whole or not at all."""

    def __init__(self, url: str) -> None:
        """`url` as in UNDERSTUDY_DATABASE_URL; ValueError when it names no database that can be used."""
        self.url = _checked(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._engine = self.new_engine()

    @property
    def where(self) -> str:
        """What a person calls this database; no password in it."""
        return str(self.url.database) if self.is_sqlite else self.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that changes nothing. Raises RecordsUnusable."""
        with self.plain_errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, durable: bool = True) -> Iterator[Connection]:
        """A transaction that commits at the end, or leaves no trace when the body raises. Raises RecordsUnusable."""
        engine = self._engine.execution_options(write="FULL" if durable else "NORMAL")
        with self.plain_errors(), engine.begin() as connection:
            yield connection

    @contextmanager
    def plain_errors(self) -> Iterator[None]:
        """Turns what a driver says about the world into `RecordsUnusable`; errors of our own pass as they are."""
        try:
            yield
        except exc.TimeoutError as error:
            raise RecordsUnusable(f"too many threads use the records at {self.where} at once: try again") from error
        except exc.DBAPIError as error:
            if type(error) not in _OUTSIDE:
                raise
            raise RecordsUnusable(self._in_plain_words(str(error.orig))) from error

    def clock(self, connection: Connection) -> str:
        """The time that leases and the order of the queue go by: the server's, so that hosts need not agree."""
        return now() if self.is_sqlite else str(connection.execute(_SERVER_CLOCK).scalar_one())

    def lock_alone(self, connection: Connection, what: str) -> None:
        """Wait until nobody else is at this, and keep the others out until the transaction (a `write`) ends."""
        if not self.is_sqlite:  # where a write is alone anyway
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"understudy: {what}"))))

    def upsert(self, connection: Connection, table: Table, values: dict[str, Any], keys: Sequence[str]) -> None:
        """Insert the row; one with the same `keys` takes its values."""
        insert = sqlite.insert if self.is_sqlite else postgresql.insert
        statement = insert(table).values(values)
        changed = {name: statement.excluded[name] for name in values if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=changed))

    def insert_or_ignore(
        self, connection: Connection, table: Table, values: dict[str, Any], keys: Sequence[str]
    ) -> None:
        """Insert the row, unless one with the same `keys` is there."""
        insert = sqlite.insert if self.is_sqlite else postgresql.insert
        connection.execute(insert(table).values(values).on_conflict_do_nothing(index_elements=list(keys)))

    def close(self) -> None:
        """Close the idle connections; the next use opens new ones."""
        self._engine.dispose()

    def new_engine(self, foreign_keys: bool = True) -> Engine:
        """A pool of connections; a migration takes one without foreign keys, since SQLite changes tables by copying."""
        connect: dict[str, Any] = {"timeout": BUSY_S} if self.is_sqlite else dict(_SERVER_TIMES)
        engine = create_engine(
            self.url,
            connect_args=connect,
            max_overflow=20,
            pool_pre_ping=not self.is_sqlite,  # a server may have been started anew
            hide_parameters=True,  # what people wrote about their characters does not belong into errors and logs
        )
        if self.is_sqlite:

            @event.listens_for(engine, "connect")
            def prepare(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
                _prepare_sqlite(connection, foreign_keys)

            @event.listens_for(engine, "begin")
            def begin(connection: Connection) -> None:
                level = connection.get_execution_options().get("write")
                if level is not None:
                    connection.exec_driver_sql(f"PRAGMA synchronous = {level}")
                connection.exec_driver_sql("BEGIN" if level is None else "BEGIN IMMEDIATE")

        _ENGINES.add(engine)
        return engine

    def _in_plain_words(self, reason: str) -> str:
        reason = (reason.strip().splitlines() or ["no reason given"])[0]
        usual = (
            "look at the file and its folder"
            if self.is_sqlite
            else "check that the server runs and that UNDERSTUDY_DATABASE_URL names it"
        )
        mend = next((mend for sign, mend in _MENDS.items() if sign in reason.lower()), usual)
        return f"the records at {self.where} cannot be used ({reason}): {mend}"


def later(clock: str, seconds: float) -> str:
    """The time `seconds` after `clock`, before it when negative."""
    return (datetime.fromisoformat(clock) + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def _checked(url: str) -> URL:
    """The URL with its driver, and for a file its folder made."""
    try:
        parsed = make_url(url)
    except exc.ArgumentError as error:
        raise ValueError(
            "UNDERSTUDY_DATABASE_URL is not a database URL such as sqlite:////var/lib/understudy.db or "
            "postgresql://user:password@host/understudy"
        ) from error
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "postgresql+psycopg":
        return parsed
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise ValueError(
            f"UNDERSTUDY_DATABASE_URL begins with {parsed.drivername}: sqlite and postgresql+psycopg are known"
        )
    if parsed.database in (None, "", ":memory:"):
        raise ValueError(
            "UNDERSTUDY_DATABASE_URL names no file: several processes share the records, so memory will not do; "
            "write sqlite:////path/to/understudy.db"
        )
    try:
        Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordsUnusable(
            f"the folder of {parsed.database} cannot be made ({error.strerror}): name another file in "
            "UNDERSTUDY_DATABASE_URL"
        ) from error
    return parsed


def _prepare_sqlite(connection: sqlite3.Connection, foreign_keys: bool) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves; the driver would begin too late and commit on its own
    connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
    connection.execute("PRAGMA cache_size = -20000")  # 20 MB
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # The first change to WAL does not wait by itself when several processes make a new file at once.
            is_taken = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not is_taken or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


_ENGINES: WeakSet[Engine] = WeakSet()
"""Every engine in use, for the one thing that must be done to them after a fork."""


def _leave_connections_to_the_parent() -> None:
    for engine in _ENGINES:
        engine.dispose(close=False)  # closing would end the parent's sessions


if os.name == "posix":
    # A child of a fork opens connections of its own instead of using its parent's.
    os.register_at_fork(after_in_child=_leave_connections_to_the_parent)
