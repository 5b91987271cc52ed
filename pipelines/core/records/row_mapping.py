"""Between records and rows: what a record leaves empty is NULL in a foreign key, and a tuple is a list in JSON.

A record's fields are columns of the same names; columns that are not fields (`jobs.nudged`) stay inside this package.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import Column, RowMapping, Table

from pipelines.core.jobs.job import (
    CharacterRow,
    CharacterVersion,
    ChatMessage,
    Checkpoint,
    Conversation,
    Job,
    Vote,
    Worker,
)

AnyRecord = TypeVar(
    "AnyRecord", Job, Checkpoint, CharacterRow, CharacterVersion, Worker, Conversation, ChatMessage, Vote
)


def columns_of(record: type[AnyRecord], table: Table) -> list[Column[Any]]:
    """The table's columns that are fields of the record, to select."""
    return [table.c[field.name] for field in fields(record)]


def to_row(record: AnyRecord, table: Table) -> dict[str, Any]:
    """The values to insert. An empty foreign key (and a version of 0, which is part of one) becomes NULL."""
    return {
        name: None if value in ("", 0) and table.c[name].nullable else value for name, value in record.to_json().items()
    }


def from_row(record: type[AnyRecord], row: RowMapping, optional: Collection[str] = ()) -> AnyRecord:
    """The record of a selected row; `optional` names the fields in which NULL is a value of its own."""
    # The only whole number that may be NULL is a job's version.
    values = {
        str(name): (0 if name == "version" else "") if value is None and name not in optional else value
        for name, value in row.items()
    }
    return record.from_json(values)
