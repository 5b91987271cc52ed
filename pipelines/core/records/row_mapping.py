"""Between nouns and rows: what a noun leaves empty is NULL in a foreign key, and a tuple is a list in JSON.

A noun's fields are columns of the same names; columns that are not fields (`jobs.nudged`) stay inside this package.
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

Noun = TypeVar("Noun", Job, Checkpoint, CharacterRow, CharacterVersion, Worker, Conversation, ChatMessage, Vote)


def columns_of(noun: type[Noun], table: Table) -> list[Column[Any]]:
    """The table's columns that are fields of the noun, to select."""
    return [table.c[field.name] for field in fields(noun)]


def to_row(noun: Noun, table: Table) -> dict[str, Any]:
    """The values to insert. An empty foreign key (and a version of 0, which is part of one) becomes NULL."""
    return {
        name: None if value in ("", 0) and table.c[name].nullable else value for name, value in noun.to_json().items()
    }


def from_row(noun: type[Noun], row: RowMapping, optional: Collection[str] = ()) -> Noun:
    """The noun of a selected row; `optional` names the fields in which NULL is a value of its own."""
    # The only whole number that may be NULL is a job's version.
    values = {
        str(name): (0 if name == "version" else "") if value is None and name not in optional else value
        for name, value in row.items()
    }
    return noun.from_json(values)
