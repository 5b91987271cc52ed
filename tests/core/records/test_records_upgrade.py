"""Records that version 0.1 wrote: every row is read, under today's names, and people go on with what they had.

The file is `tests/fixtures/v0_1/understudy.db`; the same rows are put into PostgreSQL at that revision.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, create_engine, insert, select

from pipelines.core.jobs.recipe import Recipe
from pipelines.core.queue.broker import make_app
from pipelines.core.queue.submit import clone, continue_training
from pipelines.core.records import Records, open_records
from pipelines.core.records.connect import migrate
from pipelines.core.records.database import Database
from pipelines.core.renamed_keys import METRICS, RECIPE_KEYS, SCORES
from pipelines.core.settings import Settings

OLD = Path(__file__).parents[2] / "fixtures" / "v0_1"
EXPECTED = json.loads((OLD / "expected.json").read_text(encoding="utf-8"))["records"]
TRAINED = EXPECTED["ids"]["trained"]


@pytest.fixture
def old_url(database_url: str, tmp_path: Path) -> str:
    """Address of records as 0.1 left them."""
    copy = tmp_path / "old.db"
    shutil.copy(OLD / "understudy.db", copy)
    if database_url.startswith("sqlite"):
        return f"sqlite:///{copy}"
    database = Database(database_url)
    migrate(database, "0001")
    source, target = create_engine(f"sqlite:///{copy}"), create_engine(database.url)
    with source.connect() as read, target.begin() as write:
        _copy_rows(read, write)
    source.dispose()
    target.dispose()
    database.close()
    return database_url


def _copy_rows(read: Connection, write: Connection) -> None:
    """All rows, parents before children."""
    tables = MetaData()
    tables.reflect(read)
    for table in tables.sorted_tables:
        rows = [dict(row) for row in read.execute(select(table)).mappings()]
        if table.name == "jobs":  # which name their parents
            rows.sort(key=lambda row: row["created"])
        if rows and table.name != "alembic_version":
            write.execute(insert(table), rows)


@pytest.fixture
def old(old_url: str) -> Iterator[Records]:
    """The same, opened by the code of today."""
    opened = open_records(old_url)
    yield opened
    opened.close()


def stored(column: str, table: str) -> list[Any]:
    """A JSON column as 0.1 wrote it, in the order of the primary key."""
    with sqlite3.connect(f"file:{OLD / 'understudy.db'}?mode=ro&immutable=1", uri=True) as connection:
        order = {"jobs": "created, id", "checkpoints": "job, name", "events": "job, sequence"}[table]
        rows = connection.execute(f"SELECT {column} FROM {table} ORDER BY {order}").fetchall()
    return [None if text is None else json.loads(text) for (text,) in rows]


def test_every_row_is_there(old: Records) -> None:
    jobs = old.jobs.list(limit=100)
    assert len(jobs) == EXPECTED["rows"]["jobs"]
    assert sum(len(old.checkpoints.of_job(job.id)) for job in jobs) == EXPECTED["rows"]["checkpoints"]
    assert sum(len(old.events.after(job.id)) for job in jobs) == EXPECTED["rows"]["events"]
    characters = old.characters.list("local")
    assert len(characters) == EXPECTED["rows"]["characters"]
    versions = [old.characters.version(row.id, n + 1) for row in characters for n in range(row.version)]
    assert len(versions) == EXPECTED["rows"]["character_versions"]
    talks = old.chats.conversations("local")
    assert len(talks) == EXPECTED["rows"]["conversations"]
    assert sum(len(old.chats.messages(talk.id)) for talk in talks) == EXPECTED["rows"]["messages"]
    pairs = [{**pair, "about": "both"} for pair in EXPECTED["preference_pairs"]]  # votes of 0.1 did not say it
    assert list(old.chats.pairs("local")) == pairs
    assert len(old.chats.votes("local")) == EXPECTED["rows"]["votes"]
    assert len(old.workers.list()) == EXPECTED["rows"]["workers"]
    assert len(set(old.keys())) > 50


def test_recipes_scores_and_metrics_have_todays_names_and_the_same_values(old: Records) -> None:
    jobs = sorted(old.jobs.list(limit=100), key=lambda job: (job.created, job.id))
    for job, before in zip(jobs, stored("recipe", "jobs"), strict=True):
        assert (job.recipe is None) == (before is None)
        if job.recipe is not None:
            today = Recipe.from_json(job.recipe).to_json()
            assert today == Recipe.from_json(before).to_json()
            assert {name: today[name] for name in job.recipe} == job.recipe
            assert not RECIPE_KEYS.keys() & job.recipe.keys()
    rows = sorted((row for job in jobs for row in old.checkpoints.of_job(job.id)), key=lambda row: (row.job, row.name))
    for row, before in zip(rows, stored("scores", "checkpoints"), strict=True):
        assert list(row.scores.values()) == list(before.values()) and not SCORES.keys() & row.scores.keys()
    events = [event for job in sorted(jobs, key=lambda job: job.id) for event in old.events.after(job.id)]
    for event, body in zip(events, stored("body", "events"), strict=True):
        assert list(event.metrics.values()) == list(body["metrics"].values())
        assert not METRICS.keys() & event.metrics.keys()
        assert (event.note, event.time, list(event.artifacts)) == (body["note"], body["time"], body["artifacts"])


def test_what_lies_in_the_tables_is_renamed_itself(old_url: str) -> None:
    open_records(old_url).close()
    engine = create_engine(Database(old_url).url)
    with engine.connect() as connection:
        texts = [
            str(text)
            for query in ("SELECT recipe FROM jobs", "SELECT scores FROM checkpoints", "SELECT body FROM events")
            for (text,) in connection.exec_driver_sql(query)
        ]
    engine.dispose()
    assert not [name for name in (*RECIPE_KEYS, *METRICS) for text in texts if f'"{name}":' in text]


def test_a_long_log_is_rewritten_to_its_end(old_url: str) -> None:
    steps = 1203  # more than two batches of the migration
    engine = create_engine(Database(old_url).url)
    with engine.begin() as connection:
        tables = MetaData()
        tables.reflect(connection, only=["events"])
        body = json.dumps({"step": 1, "total": 1, "metrics": {"picture_answers": 0.5}, "note": "", "artifacts": []})
        row = {"job": EXPECTED["ids"]["stopped"], "attempt": 9, "stage": "grpo", "body": body}
        rows = [{**row, "sequence": 10_000 + n, "number": n} for n in range(steps)]
        connection.execute(insert(tables.tables["events"]), rows)
    engine.dispose()
    records = open_records(old_url)
    told = records.events.after(EXPECTED["ids"]["stopped"], 9_999, limit=2 * steps)
    assert [event.metrics for event in told] == [{"image_vqa": 0.5}] * steps
    records.close()


def test_a_trained_job_is_cloned_and_gone_on_with(old: Records, tmp_path: Path) -> None:
    app = make_app(Settings(home=tmp_path / "home"))
    before = old.jobs.get(TRAINED).recipe or {}
    again = clone(old, app, TRAINED, {"seed": 3})
    today = Recipe.from_json(before).to_json()
    assert (again.status, again.parent, again.recipe) == ("queued", TRAINED, {**today, "seed": 3})
    further = continue_training(old, app, TRAINED, EXPECTED["ids"]["best"], {"sft_steps": 9})
    assert further.status == "queued" and Recipe.from_json(further.recipe or {}).sft_steps == 9
    assert [row.name for row in old.checkpoints.of_job(further.id)] == ["base", "start"]
