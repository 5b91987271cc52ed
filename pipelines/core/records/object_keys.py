"""Which object keys the records still refer to: what the cleaning of the object store must leave alone.

Where a column holds free JSON (a draft, a request, a reply), every string that could be a key is taken for one: to keep
a few bytes too many is harmless, to delete a picture of a draft is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Connection, Text, select, type_coerce

from pipelines.core.records.database import Database
from pipelines.core.records.tables import CHARACTER_VERSIONS, CHARACTERS, CHECKPOINTS, EVENTS, JOBS, MESSAGES, VOTES
from pipelines.core.storage.store import MARKER

_LIKE_A_KEY = re.compile(r"[a-z]+/\S+")
_FREE: tuple[Column[Any], ...] = (
    CHARACTERS.c.draft,
    CHARACTER_VERSIONS.c.images,
    CHARACTER_VERSIONS.c.test_images,
    JOBS.c.request,
    JOBS.c.recipe,
    CHECKPOINTS.c.samples,
    CHECKPOINTS.c.files,
    CHECKPOINTS.c.scores,
    VOTES.c.left_reply,
    VOTES.c.right_reply,
)


def object_keys(database: Database) -> Iterator[str]:
    """Every key, some of them more than once, in no order. An adapter's key also stands for the marker below it."""
    with database.read() as connection:
        for column in _FREE:
            for value in _values(connection, column):
                yield from _keys_in(value)
        for body in _values(connection, EVENTS.c.body, r'%"artifacts":["%'):
            yield from _keys_in(body["artifacts"])
        yield from _values(connection, MESSAGES.c.picture_key, "_%")
        for key in _values(connection, CHECKPOINTS.c.adapter_key, "_%"):
            yield key
            yield f"{key.rstrip('/')}/{MARKER}"


def _values(connection: Connection, column: Column[Any], like: str = "") -> Iterator[Any]:
    """A column's values, read piece by piece; only those whose text is `like`, when given."""
    query = select(column).where(column.is_not(None))
    if like:
        query = query.where(type_coerce(column, Text).like(like))
    yield from connection.execution_options(yield_per=1000).execute(query).scalars()


def _keys_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if _LIKE_A_KEY.fullmatch(value):
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _keys_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys_in(inner)
