"""The records on both databases: every test that takes `records` or `database_url` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.core.jobs.job import Job, new_id
from pipelines.core.records import Records, open_records


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of an empty database without tables."""
    if request.param == "postgres":
        yield request.getfixturevalue("postgres_url")
        return
    # In memory where there is such a folder: the tests commit hundreds of times and do not test the disk.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield f"sqlite:///{folder}/understudy.db"


@pytest.fixture
def records(database_url: str) -> Iterator[Records]:
    """Empty records."""
    opened = open_records(database_url)
    yield opened
    opened.close()


@pytest.fixture
def job(records: Records) -> Job:
    """A training job in the queue."""
    return records.jobs.add(Job(new_id(), "train", "ada"))
