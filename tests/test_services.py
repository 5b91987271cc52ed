"""The servers of the other tests: they answer, are empty for each test, survive a kill, and are not skipped in CI."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from pipelines.core.settings import Settings
from tests.services import PostgresServer, RedisServer, S3Server, absent, find_program, free_ports, is_alive, running


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_finds_redis_empty(redis_url: str, turn: int) -> None:
    import redis

    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("key", turn)
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_a_database_of_its_own(postgres_url: str, turn: int) -> None:
    import psycopg

    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE turns (turn int)")  # fails when the other turn's table is still there


def test_s3_asks_for_a_key(s3_settings: Settings) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{s3_settings.s3_endpoint_internal}/{s3_settings.s3_bucket}/", timeout=5)
    assert refused.value.code == 403


def test_a_killed_redis_has_what_was_told_to_it() -> None:
    import redis

    with running(RedisServer) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("key", "kept")
        server.kill()
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("key") == b"kept"


def test_killed_servers_start_again(postgres_server: PostgresServer, s3_server: S3Server) -> None:
    for server in (postgres_server, s3_server):
        server.kill()
        server.start()
        assert server.answers()


def test_a_killed_postgres_leaves_nobody_behind_and_has_what_was_committed() -> None:
    import psycopg

    with running(PostgresServer) as server, server.database("kept") as url:
        address = url.replace("+psycopg", "")
        with psycopg.connect(address) as connection:
            connection.execute("CREATE TABLE words (word text)")
            connection.commit()
            connection.execute("INSERT INTO words VALUES ('in the middle')")
            connection.execute("SELECT pg_backend_pid()")
            assert server.process is not None
            family = psutil.Process(server.process.pid).children(recursive=True)
            server.kill()
            assert len(family) > 3 and not any(map(is_alive, family))
            with pytest.raises(psycopg.OperationalError):
                connection.commit()
        server.start()
        with psycopg.connect(address) as connection:
            assert connection.execute("SELECT * FROM words").fetchall() == []


def test_an_absent_server_skips_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_program("no-such-server") == ""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="make services"):
        absent("make services")
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="make services"):
        absent("make services")


def test_free_ports_are_different(tmp_path: Path) -> None:
    assert len(set(free_ports(8))) == 8
