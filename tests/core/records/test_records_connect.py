"""Opening the records: migrations make the tables of the code, many may open at once, failures are in plain words."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, event, text

from pipelines.core.jobs.job import Job, RecordsUnusable, new_id
from pipelines.core.records import Records, database, open_records
from pipelines.core.records.tables import METADATA
from tests.services import PostgresServer

FORK = multiprocessing.get_context("fork")


def test_migrated_tables_are_those_of_the_code(database_url: str) -> None:
    open_records(database_url).close()
    engine = create_engine(database_url)
    with engine.connect() as connection:
        missing = compare_metadata(MigrationContext.configure(connection), METADATA)
    engine.dispose()
    assert not missing, f"write a migration with these operations: {missing}"


def test_indexes_and_keys_are_those_of_the_code(tmp_path: Path) -> None:
    # What the comparison above leaves out (WITHOUT ROWID, ON DELETE) stands in SQLite's own words.
    def words(path: Path) -> dict[str, list[str]]:
        with sqlite3.connect(path) as connection:
            rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%'").fetchall()
        return {name: sorted((sql or "").replace(",", " ").split()) for name, sql in rows}

    open_records(f"sqlite:///{tmp_path}/migrated.db").close()
    engine = create_engine(f"sqlite:///{tmp_path}/made.db")
    METADATA.create_all(engine)
    engine.dispose()
    assert words(tmp_path / "migrated.db") == words(tmp_path / "made.db")


def test_every_row_has_an_owner() -> None:
    owned = {table.name for table in METADATA.tables.values() if "owner" in table.c}
    assert owned == {"characters", "jobs", "conversations"}
    for table in METADATA.tables.values():
        parents = {
            key.column.table.name for key in table.foreign_keys if not key.parent.nullable and key.ondelete == "CASCADE"
        }
        assert table.name in {*owned, "workers", "installation"} or parents & owned, (
            f"nobody owns a row of {table.name}"
        )


def _open_and_add(url: str) -> None:
    records = open_records(url)
    records.jobs.add(Job(new_id(), "train", "ada"))
    records.close()


def test_many_processes_open_a_new_database_at_once(database_url: str) -> None:
    children = [FORK.Process(target=_open_and_add, args=(database_url,)) for _ in range(6)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 6
    records = open_records(database_url)
    assert len(records.jobs.list()) == 6
    records.close()


def _add_in_child(records: Records) -> None:
    records.jobs.add(Job(new_id(), "train", "child"))


def test_a_forked_process_has_connections_of_its_own(records: Records, job: Job) -> None:
    children = [FORK.Process(target=_add_in_child, args=(records,)) for _ in range(3)]
    for child in children:
        child.start()
    for _ in range(10):
        assert records.jobs.get(job.id) == job
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 3
    assert len(records.jobs.list(owner="child")) == 3


def test_records_outlive_a_killed_process(database_url: str) -> None:
    def write_and_die() -> None:
        records = open_records(database_url)
        row = records.jobs.add(Job("a" * 32, "train", "ada"))
        claimed = records.jobs.claim(row.id, "worker", 60)
        assert claimed and records.jobs.heartbeat(row.id, "worker", 60)
        os.kill(os.getpid(), 9)

    child = FORK.Process(target=write_and_die)
    child.start()
    child.join(60)
    assert child.exitcode == -9
    records = open_records(database_url)
    assert records.jobs.get("a" * 32).status == "running"
    records.close()


def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    open_records(database_url).close()
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(RecordsUnusable, match=r"newer version.*9999"):
        open_records(database_url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("understudy.db", "not a database URL"),
        ("mysql://localhost/a", "begins with mysql"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_wrong_address_is_named(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        open_records(url)


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(RecordsUnusable, match=r"check that the server runs") as refused:
        open_records("postgresql://understudy:sesame@127.0.0.1:1/understudy")
    assert "sesame" not in str(refused.value) and "127.0.0.1:1/understudy" in str(refused.value)


def test_a_file_that_is_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "photo.db").write_bytes(b"GIF89a" * 1000)
    with pytest.raises(RecordsUnusable, match=r"photo\.db cannot be used .*the file is something else"):
        open_records(f"sqlite:///{tmp_path}/photo.db")
    with pytest.raises(RecordsUnusable, match=r"folder of .* cannot be made"):
        open_records(f"sqlite:///{tmp_path}/photo.db/understudy.db")


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    records = open_records(f"sqlite:///{tmp_path}/understudy.db")
    row = records.characters.create("ada", {"name": "Mira"})
    engine = records._database._engine
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("PRAGMA max_page_count = 1"))
    with pytest.raises(RecordsUnusable, match="free some disk space"):
        for _ in range(50):
            records.characters.save_draft(row.id, {"name": "Mira", "persona": "long " * 5000})
    kept = records.characters.get(row.id)
    assert kept == row
    records.close()


def test_a_busy_file_is_said_to_be_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    records = open_records(f"sqlite:///{tmp_path}/understudy.db")
    row = records.jobs.add(Job(new_id(), "train", "ada"))
    with sqlite3.connect(tmp_path / "understudy.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RecordsUnusable, match="another program keeps it busy"):
            records.jobs.claim(row.id, "worker", 60)
        assert records.jobs.get(row.id) == row, "readers do not wait for a writer"
        other.execute("ROLLBACK")
    records.close()


def test_a_write_that_fails_leaves_no_trace(records: Records, job: Job) -> None:
    with pytest.raises(RuntimeError, match="midway"), records._database.write() as connection:
        connection.execute(text("UPDATE jobs SET owner = 'nobody'"))
        raise RuntimeError("midway")
    assert records.jobs.get(job.id).owner == "ada"


def test_records_come_back_with_their_server(postgres_server: PostgresServer, postgres_url: str) -> None:
    records = open_records(postgres_url)
    row = records.jobs.add(Job(new_id(), "train", "ada"))
    postgres_server.kill()
    try:
        with pytest.raises(RecordsUnusable, match="check that the server runs"):
            records.jobs.claim(row.id, "worker", 60)
    finally:
        postgres_server.start()
    claimed = records.jobs.claim(row.id, "worker", 60)
    assert claimed is not None and claimed.attempt == 1
    records.close()


def test_threads_share_records(records: Records) -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                row = records.jobs.add(Job(new_id(), "train", "ada"))
                assert records.jobs.get(row.id) == row
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(records.jobs.list(limit=1000)) == 200
