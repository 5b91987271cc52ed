"""Characters: a draft that is saved at every step of the form, and versions that never change once published.

A job names the version it trains on, so whoever edits the character meanwhile does not reach into a run.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from pipelines.core.jobs.job import CharacterRow, CharacterVersion, RecordMissing, new_id
from pipelines.core.records.database import Database
from pipelines.core.records.row_mapping import columns_of, from_row, to_row
from pipelines.core.records.tables import CHARACTER_VERSIONS, CHARACTERS

_COLUMNS = columns_of(CharacterRow, CHARACTERS)
_VERSION_COLUMNS = columns_of(CharacterVersion, CHARACTER_VERSIONS)


class Characters:
    """The characters in the records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, owner: str, draft: Mapping[str, Any]) -> CharacterRow:
        """A new character with a draft; the draft's `name`, when it has one, is the name in lists."""
        with self._database.write() as connection:
            clock = self._database.clock(connection)
            row = CharacterRow(new_id(), owner, _name(draft), draft=dict(draft), created=clock, changed=clock)
            connection.execute(insert(CHARACTERS).values(to_row(row, CHARACTERS)))
            return row

    def save_draft(self, id: str, draft: Mapping[str, Any]) -> CharacterRow:
        """Keep the draft as it is now, whole or not. RecordMissing when the character is gone."""
        with self._database.write() as connection:
            values = {"draft": dict(draft), "name": _name(draft), "changed": self._database.clock(connection)}
            return self._change(connection, id, values)

    def publish(
        self,
        id: str,
        entries: Mapping[str, Any],
        test_entries: Mapping[str, Any] | None = None,
        images: Mapping[str, str] | None = None,
        test_images: Mapping[str, str] | None = None,
    ) -> CharacterVersion:
        """Make a version of what is given; the latest one again when it says the same, so that nothing is kept twice.

        `images` and `test_images` are object keys by file name. RecordMissing when the character is gone.
        """
        with self._database.write() as connection:
            latest = _get(connection, id, lock=True).version
            version = CharacterVersion(
                id,
                latest + 1,
                dict(entries),
                None if test_entries is None else dict(test_entries),
                dict(images or {}),
                dict(test_images or {}),
                self._database.clock(connection),
            )
            before = _version(connection, id, latest) if latest else None
            if before is not None and replace(before, version=version.version, created=version.created) == version:
                self._change(connection, id, {"published": version.created})
                return before
            connection.execute(insert(CHARACTER_VERSIONS).values(to_row(version, CHARACTER_VERSIONS)))
            self._change(connection, id, {"version": version.version, "published": version.created})
            return version

    def get(self, id: str) -> CharacterRow:
        """One character with its draft; RecordMissing when there is none."""
        with self._database.read() as connection:
            return _get(connection, id)

    def version(self, id: str, n: int | None = None) -> CharacterVersion:
        """One published version, the latest without `n`; RecordMissing when there is none."""
        with self._database.read() as connection:
            number = _get(connection, id).version if n is None else n
            found = _version(connection, id, number)
        if found is None:
            what = f"version {number}" if number else "published version yet: only its draft is kept"
            raise RecordMissing(f"character {id} has no {what}")
        return found

    def list(self, owner: str) -> builtins.list[CharacterRow]:
        """All of an owner, the one changed last first."""
        query = (
            select(*_COLUMNS)
            .where(CHARACTERS.c.owner == owner)
            .order_by(CHARACTERS.c.changed.desc(), CHARACTERS.c.id.desc())
        )
        with self._database.read() as connection:
            return [from_row(CharacterRow, row) for row in connection.execute(query).mappings()]

    def delete(self, id: str) -> None:
        """Remove the character and all that hangs on it: versions, jobs, events, checkpoints, chats and votes.

        A worker that trains it learns so at its next heartbeat. Bytes go when the object store is next cleaned. Nothing
        happens when it is gone already.
        """
        with self._database.write() as connection:
            connection.execute(delete(CHARACTERS).where(CHARACTERS.c.id == id))

    def _change(self, connection: Connection, id: str, values: Mapping[str, Any]) -> CharacterRow:
        statement = update(CHARACTERS).where(CHARACTERS.c.id == id).values(**values).returning(*_COLUMNS)
        row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise RecordMissing(_missing(id))
        return from_row(CharacterRow, row)


def _get(connection: Connection, id: str, lock: bool = False) -> CharacterRow:
    query = select(*_COLUMNS).where(CHARACTERS.c.id == id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    if row is None:
        raise RecordMissing(_missing(id))
    return from_row(CharacterRow, row)


def _version(connection: Connection, id: str, number: int) -> CharacterVersion | None:
    query = select(*_VERSION_COLUMNS).where(
        CHARACTER_VERSIONS.c.character == id, CHARACTER_VERSIONS.c.version == number
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else from_row(CharacterVersion, row, optional=("test_entries",))


def _missing(id: str) -> str:
    return f"there is no character {id}: it was deleted, or the id is wrong"


def _name(draft: Mapping[str, Any]) -> str:
    name = draft.get("name", "")
    return name if isinstance(name, str) else ""
