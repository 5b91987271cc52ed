"""Checkpoints: a row for each, put when all its bytes are in the object store and not before.

A later attempt may make a checkpoint of the same name anew; its row then takes the old one's place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import case, select
from sqlalchemy.exc import IntegrityError

from pipelines.core.jobs.job import Checkpoint, RecordMissing
from pipelines.core.records.database import Database
from pipelines.core.records.row_mapping import columns_of, from_row, to_row
from pipelines.core.records.tables import CHECKPOINTS

_COLUMNS = columns_of(Checkpoint, CHECKPOINTS)
_STAGES = {"base": 0, "start": 1, "sft": 2, "grpo": 3}


class Checkpoints:
    """The checkpoints in the records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, checkpoint: Checkpoint) -> Checkpoint:
        """Keep it, in place of one of the same job and name; returns it with its time. RecordMissing without a job."""
        with self._database.write() as connection:
            kept = replace(checkpoint, created=checkpoint.created or self._database.clock(connection))
            try:
                self._database.upsert(connection, CHECKPOINTS, to_row(kept, CHECKPOINTS), ["job", "name"])
            except IntegrityError as error:
                raise RecordMissing(
                    f"there is no job {kept.job} to keep checkpoint {kept.name} of: it was deleted, or the id is wrong"
                ) from error
            return kept

    def of_job(self, job: str) -> list[Checkpoint]:
        """All of a job in the order of training: base, start, sft by step, grpo by step."""
        stage = case(_STAGES, value=CHECKPOINTS.c.stage, else_=len(_STAGES))
        query = (
            select(*_COLUMNS).where(CHECKPOINTS.c.job == job).order_by(stage, CHECKPOINTS.c.step, CHECKPOINTS.c.name)
        )
        with self._database.read() as connection:
            return [_checkpoint(row) for row in connection.execute(query).mappings()]

    def get(self, job: str, name: str) -> Checkpoint:
        """One checkpoint; RecordMissing when there is none of that name."""
        query = select(*_COLUMNS).where(CHECKPOINTS.c.job == job, CHECKPOINTS.c.name == name)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise RecordMissing(f"job {job} has no checkpoint {name!r}: it was deleted, or the name is wrong")
        return _checkpoint(row)


def _checkpoint(row: Any) -> Checkpoint:
    return from_row(Checkpoint, row)
