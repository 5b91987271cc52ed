"""A real PostgreSQL goes and comes back under workers and sweeper: jobs go on, and no worker is forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from pipelines.core.jobs.job import ENDED, RecordsUnusable
from pipelines.core.queue.submit import stop
from pipelines.core.records.database import Database
from pipelines.core.settings import Settings
from tests.services import PostgresServer
from tests.worker.conftest import QUICK, Deployment, open_deployment
from tests.worker.processes import wait_for, worker
from tests.worker.test_runner import busy, work
from worker import runner
from worker.sweeper import Sweeper
from worker.worker_context import WorkerContext

LEASE_S = 3.0


@pytest.fixture
def on_server(
    tmp_path: Path, toy_character: Path, postgres_server: PostgresServer, postgres_url: str
) -> Iterator[Deployment]:
    """Records on PostgreSQL, the rest on files; a worker is noticed as lost after three seconds."""
    quick = QUICK | {"lease_s": LEASE_S, "heartbeat_s": 0.3}
    deployment = open_deployment(Settings(home=tmp_path / "home", database_url=postgres_url, **quick), toy_character)
    yield deployment
    if postgres_server.process is None:
        postgres_server.start()
    deployment.records.close()


def test_a_training_outlives_records_that_were_away_longer_than_its_lease(
    on_server: Deployment, postgres_server: PostgresServer
) -> None:
    context = on_server.worker_context()
    sweeper = Sweeper(on_server.settings, on_server.records, on_server.store)
    try:
        job, thread = busy(on_server, context, "polite")
        sweeper.round()
        postgres_server.stop()
        beat = on_server.settings.runs_folder / job.id / "beat"
        until = time.monotonic() + 1.5 * LEASE_S
        while time.monotonic() < until:
            sweeper.round()
            time.sleep(0.5)
        stood = beat.read_text(encoding="utf-8")
        time.sleep(0.5)
        assert beat.read_text(encoding="utf-8") == stood, "another worker might have the job"
        postgres_server.start()
        sweeper.round()  # its lease has run out, and nobody could have renewed it
        wait_for(lambda: beat.read_text(encoding="utf-8") != stood, what=lambda: "it goes on")
        sweeper.round()
        assert (on_server.records.jobs.get(job.id).status, on_server.records.jobs.get(job.id).attempt) == ("running", 1)
        count = on_server.records.events.count(job.id)
        wait_for(lambda: on_server.records.events.count(job.id) > count)
        stop(on_server.records, job.id, "keep")
        thread.join(30)
        events = on_server.records.events.after(job.id)
        steps = [event.step for event in events if event.stage == "sft"]
        assert steps == list(range(1, len(steps) + 1)) and on_server.records.jobs.get(job.id).status == "stopped"
    finally:
        context.close()


def test_a_worker_forgotten_while_the_records_were_away_is_listed_again(
    on_server: Deployment, postgres_server: PostgresServer
) -> None:
    """Registering anew failed in the thread that says "still here", and with it the thread."""
    context = on_server.worker_context()
    try:
        on_server.records.workers.forget(context.id)
        tell = context.records.workers.register
        tries = []

        def register(row: object) -> object:
            tries.append(row)
            if len(tries) == 1:
                postgres_server.stop()
            return tell(row)  # type: ignore[arg-type]

        context.records.workers.register = register  # type: ignore[method-assign, assignment]
        wait_for(lambda: postgres_server.process is None)
        time.sleep(1)
        postgres_server.start()
        wait_for(lambda: [one.id for one in on_server.records.workers.list()] == [context.id], 20)
    finally:
        context.close()


def test_a_worker_that_starts_without_records_registers_later(
    on_server: Deployment, postgres_server: PostgresServer
) -> None:
    """Nobody tells a worker of jobs that is not on the list."""
    postgres_server.stop()
    with worker(on_server, app="tests.worker.fake_tasks") as process:
        wait_for(lambda: "not registered yet" in process.said, 60, lambda: process.said[-2000:])
        postgres_server.start()
        wait_for(lambda: bool(on_server.records.workers.list()), 30, lambda: process.said[-2000:])


def test_a_server_that_vanishes_without_a_word_is_noticed(on_server: Deployment) -> None:
    with Database(on_server.settings.database_url).read() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        told = driver.info.get_parameters()
    assert told["tcp_user_timeout"] == "20000" and told["keepalives_idle"] == "10"
    assert told["connect_timeout"] == "10"


class Breaking:
    """Breaks one transaction of a worker: its connection before the commit, or the answer to what was committed."""

    def __init__(self, context: WorkerContext, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url, self.wanted, self.before, self.count = url, -1, True, 0
        database = context.records._database
        for name in ("read", "write"):
            monkeypatch.setattr(database, name, self._breaking(getattr(database, name)))

    def _breaking(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def transaction(*arguments: Any, **named: Any) -> Iterator[Connection]:
            number = -2  # not of heartbeats, of which nobody knows how many there are
            if not threading.current_thread().name.startswith(("lease", "presence")):
                number, self.count = self.count, self.count + 1
            with original(*arguments, **named) as connection:
                yield connection
                if number == self.wanted and self.before:
                    self._end_session_of(connection)
                    connection.exec_driver_sql("SELECT 1")  # a commit of what only read asks nobody
            if number == self.wanted and not self.before:
                raise RecordsUnusable("the answer was lost")

        return transaction

    def _end_session_of(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [driver.info.backend_pid])


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_training_outlives_a_broken_transaction_wherever_it_is(
    before: bool, on_server: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each transaction of a training breaks once; only a lost answer to the claim itself costs an attempt."""
    monkeypatch.setattr(runner, "BEGIN_AGAIN_S", 0.05)
    context = on_server.worker_context()
    sweeper = Sweeper(on_server.settings, on_server.records, on_server.store)
    breaking = Breaking(context, on_server.settings.database_url, monkeypatch)
    breaking.before = before
    version, wanted, attempts = on_server.version(), 0, []
    try:
        while wanted < breaking.count or not wanted:
            breaking.count, breaking.wanted = 0, wanted
            job = on_server.training_of(version)
            until = time.monotonic() + 30
            while (ended := on_server.records.jobs.get(job.id)).status not in ENDED and time.monotonic() < until:
                with suppress(RecordsUnusable):
                    work(context, "quick")
                sweeper.round()
            events = on_server.records.events.after(job.id)
            assert (ended.status, ended.error) == ("succeeded", ""), f"transaction {wanted}: {ended}"
            assert [event.sequence for event in events] == list(range(len(events)))
            assert [row.name for row in on_server.records.checkpoints.of_job(job.id)] == ["base"]
            attempts.append(ended.attempt)
            wanted += 1
        assert attempts == [1 if before else 2, *[1] * (len(attempts) - 1)] and len(attempts) > 10
    finally:
        context.close()
