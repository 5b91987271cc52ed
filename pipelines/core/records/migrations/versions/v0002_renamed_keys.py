"""Renamed keys in stored JSON: recipes of jobs, scores of checkpoints, metrics of events.

What changes is in `pipelines.core.renamed_keys`, which is used here rather than copied: to apply a later table of it
too does no harm, since the code that runs this reads the latest names. Rows are read by primary key, some at a time,
so a long event log never has to fit into memory. No column is added: an event's `payload` is part of its body.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from pipelines.core.renamed_keys import METRICS, SCORES, recipe_keys, renamed

revision = "0002"
down_revision = "0001"

ROWS_AT_ONCE = 500
Change = Callable[[Any], Any]
"""A column's JSON value as it was -> as it shall be."""

# Only the columns that are needed: JSON as the text that it is on both databases.
_JOBS = sa.table("jobs", sa.column("id", sa.Text), sa.column("recipe", sa.Text))
_CHECKPOINTS = sa.table(
    "checkpoints", sa.column("job", sa.Text), sa.column("name", sa.Text), sa.column("scores", sa.Text)
)
_EVENTS = sa.table(
    "events",
    sa.column("job", sa.Text),
    sa.column("sequence", sa.Integer),
    sa.column("stage", sa.Text),
    sa.column("body", sa.Text),
)


def upgrade() -> None:
    """Rewrite the rows that hold a renamed key."""
    _rewrite(_JOBS, ["id"], "recipe", _JOBS.c.recipe.is_not(None), recipe_keys)
    _rewrite(_CHECKPOINTS, ["job", "name"], "scores", sa.true(), _scores)
    # Other stages have metrics too (loss, seconds), but none that was renamed.
    _rewrite(_EVENTS, ["job", "sequence"], "body", _EVENTS.c.stage.in_(("grpo", "evaluate")), _body)


def _scores(scores: dict[str, Any]) -> dict[str, Any]:
    return renamed(scores, SCORES)


def _body(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "metrics": renamed(body["metrics"], METRICS)}


def _rewrite(
    table: sa.TableClause, key: Sequence[str], column: str, where: sa.ColumnElement[bool], change: Change
) -> None:
    """Change a JSON column of the rows that `where` chooses; `key` is the primary key."""
    connection = op.get_bind()
    for rows in _batches(connection, table, key, column, where):
        for row in rows:
            before = json.loads(row[column])
            after = change(before)
            if after != before:
                this_row = [table.c[name] == row[name] for name in key]
                text = json.dumps(after, separators=(",", ":"))
                connection.execute(sa.update(table).where(*this_row).values({column: text}))


def _batches(
    connection: sa.Connection, table: sa.TableClause, key: Sequence[str], column: str, where: sa.ColumnElement[bool]
) -> Iterator[Sequence[sa.RowMapping]]:
    """Rows with key and column, in the order of the key; a batch begins behind the last key of the one before."""
    columns = [table.c[name] for name in key]
    query = sa.select(*columns, table.c[column]).where(where).order_by(*columns).limit(ROWS_AT_ONCE)
    rows = connection.execute(query).mappings().all()
    while rows:
        yield rows
        last = [sa.literal(rows[-1][name]) for name in key]
        rows = connection.execute(query.where(sa.tuple_(*columns) > sa.tuple_(*last))).mappings().all()
