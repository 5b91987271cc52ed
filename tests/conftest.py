"""Fixtures that several parts of the tests share."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.core.settings import Settings
from tests.services import PostgresServer, RedisServer, S3Server, running
from tests.toys import TOY_BASE, TOY_STEPS, write_toy

# A shell starts what it puts into the background with Ctrl-C ignored, and the programs that tests start inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def toy_character(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole character folder with a held-out split; not to be written to."""
    return write_toy(tmp_path_factory.mktemp("characters") / "ada")


@pytest.fixture(scope="session")
def toy_run(toy_character: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of the toy character on the toy starter; not to be written to."""
    from pipelines.core.jobs.recipe import Recipe
    from pipelines.train import prepare_run, train

    run_dir = tmp_path_factory.mktemp("runs") / "ada"
    prepare_run(run_dir, toy_character, Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS))
    train(run_dir)
    return run_dir


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One redis-server for the session; a test that kills it must start it again."""
    with running(RedisServer) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Address of an empty Redis."""
    redis_server.empty()
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for the session; a test that kills it must start it again."""
    with running(PostgresServer) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """SQLAlchemy's address of a database of the test's own, without tables."""
    with postgres_server.database(f"test_{uuid.uuid4().hex}") as url:
        yield url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for the session; a test that kills it must start it again."""
    with running(S3Server) as server:
        yield server


@pytest.fixture
def s3_settings(s3_server: S3Server, tmp_path: Path) -> Iterator[Settings]:
    """Settings with the home in `tmp_path` and objects in a bucket of the test's own."""
    settings = s3_server.settings(tmp_path / "home", f"test-{uuid.uuid4().hex}")
    s3_server.make_bucket(settings)
    yield settings
    s3_server.remove_bucket(settings)
