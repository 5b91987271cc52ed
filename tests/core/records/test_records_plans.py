"""Calls that pages and workers make every second find their rows by an index: SQLite says so itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from pipelines.core.events import Event
from pipelines.core.jobs.job import Job
from pipelines.core.records import Records, open_records

CALLS = {
    "list": lambda records: records.jobs.list(),
    "list of an owner": lambda records: records.jobs.list(owner="ada", statuses=["running"], before="1"),
    "list of a character": lambda records: records.jobs.list(character="x"),
    "position": lambda records: records.jobs.position("1"),
    "claim": lambda records: records.jobs.claim_next("train", "worker", 60),
    "heartbeat": lambda records: records.jobs.heartbeat("1", "worker", 60),
    "sweep": lambda records: records.jobs.release_lost(),
    "follow": lambda records: records.events.after("1", 3),
    "latest of a stage": lambda records: records.events.latest("1", "sft"),
    "all of a stage": lambda records: records.events.of_stage("1", "save"),
    "append": lambda records: records.events.append("1", 1, [Event("sft", sequence=5)]),
    "delete a character": lambda records: records.characters.delete("x"),
}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Records]:
    """One job in a file."""
    folder: Path = tmp_path_factory.mktemp("records")
    with closing(open_records(f"sqlite:///{folder}/understudy.db")) as opened:
        opened.jobs.add(Job("1", "train", "ada"))
        yield opened


@pytest.mark.parametrize("name", CALLS)
def test_rows_are_found_by_an_index(records: Records, name: str) -> None:
    engine = records._database._engine
    asked: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    CALLS[name](records)
    event.remove(engine, "before_cursor_execute", note)
    assert asked
    with records._database.read() as connection:
        for statement, parameters in asked:
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            whole = [line for line in plan if re.fullmatch(r"SCAN (jobs|events)", line)]
            assert not whole, f"{statement} reads a whole table: {plan}"
            if name.startswith("list"):
                assert not any("ORDER BY" in line for line in plan), f"{statement} sorts: {plan}"
