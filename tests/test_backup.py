"""Backup and restore, rehearsed: the commands of docs/operations.md as they stand there, run for real.

Embedded: SQLite and a folder. Compose: a real PostgreSQL with its own pg_dump and pg_restore, and a real S3 server;
`docker` and `mc` are stand-ins that pass on what they are told.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine, select

from pipelines.core.jobs.job import ChatMessage, Conversation, new_id
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.queue.broker import make_app
from pipelines.core.queue.submit import publish_folder, submit_training
from pipelines.core.records import Records, open_records
from pipelines.core.records.database import Database
from pipelines.core.records.store_check import settle_owner, store_alarm
from pipelines.core.run_folder import BASE, adapters
from pipelines.core.settings import Settings
from pipelines.core.storage.garbage import collect_garbage
from pipelines.core.storage.open_store import open_store
from pipelines.core.storage.store import Store, content_sha256, put_content, read
from studio.actions import downloads
from studio.context import AppContext
from tests.services import ACCESS_KEY, SECRET_KEY, PostgresServer, S3Server, find_program
from tests.toys import TOY_BASE, TOY_STEPS
from worker.uploads import put_checkpoint

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operations.md"
DAY_S = 24 * 3600.0


def documented(title: str, which: str) -> list[str]:
    """The commands below a heading of the page, those behind `# compose` or `# embedded`, each whole."""
    section = PAGE.read_text(encoding="utf-8").split(f"### {title}\n")[1]
    block = section.split("```\n")[1]
    part = re.split(r"^# (\w+).*\n", block, flags=re.MULTILINE)
    text = part[part.index(which) + 1]
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def told(url: str) -> dict[str, list[Any]]:
    """Every row of every table."""
    engine, tables = create_engine(Database(url).url), MetaData()
    with engine.connect() as connection:
        tables.reflect(connection)
        rows = {
            table.name: sorted(str(dict(row)) for row in connection.execute(select(table)).mappings())
            for table in tables.sorted_tables
        }
    engine.dispose()
    return rows


def lived_in(settings: Settings, character: Path, run: Path) -> tuple[Records, Store, str]:
    """An installation with a trained character, a chat and a training that runs; returns the trained job."""
    records, store = open_records(settings.database_url), open_store(settings)
    settle_owner(records, store)
    version = publish_folder(records, store, "local", character)
    recipe = Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS)
    app = make_app(replace(settings, broker_url=f"sqla+sqlite:///{settings.home / 'broker.db'}"))
    trained = submit_training(records, app, "local", version, recipe)
    records.jobs.claim(trained.id, "worker", 60)
    for name in (BASE, *adapters(run)):
        put_checkpoint(records, store, trained.id, run, name)
    records.jobs.finish(trained.id, "worker", 1, "succeeded")
    running = submit_training(records, app, "local", version, recipe)
    records.jobs.claim(running.id, "worker", 0.01)
    say(records, store, version.character, f"{trained.id}:sft-000004", "Where are you?")
    return records, store, trained.id


def say(records: Records, store: Store, character: str, ref: str, words: str) -> str:
    """A chat with a picture in it."""
    talk = records.chats.add_conversation(Conversation(new_id(), "local", character, ref))
    key = put_content(store, words.encode(), "pictures", ".png")
    records.chats.add_message(ChatMessage(new_id(), talk.id, 1, "user", "", words, picture_key=key))
    return talk.id


def holds(settings: Settings, before: dict[str, list[Any]], trained: str) -> None:
    """The restored installation is the one that was kept, and goes on."""
    assert told(settings.database_url) == before
    records, store = open_records(settings.database_url), open_store(settings)
    assert store_alarm(records, store) == "", "records and objects know each other"
    keys = {key for key in records.keys() if content_sha256(key)}  # noqa: SIM118  # no dict
    assert len(keys) > 50
    for key in keys:
        read(store, key)  # checked against its SHA-256
    assert collect_garbage(store, records.keys(), DAY_S, dry_run=True).gone == []
    studio = AppContext(settings, records, store)
    assert read(store, downloads.adapter_alone(studio, f"{trained}:sft-000004").key)
    released = records.jobs.release_lost()
    assert [job.status for job in released] == ["queued"], "what ran goes on from its last checkpoint"
    records.close()


def shell(commands: list[str], folder: Path, **environment: str) -> None:
    """Run lines of the page in a folder, as somebody who copies them does."""
    for command in commands:
        given = {**os.environ, **environment}
        done = subprocess.run(
            ["sh", "-ec", command], cwd=folder, env=given, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("way", ["sqlite3", "python"])
def test_embedded(way: str, toy_character: Path, toy_run: Path, tmp_path: Path) -> None:
    if way == "sqlite3" and not shutil.which("sqlite3"):
        pytest.skip("the sqlite3 program is not installed; the other way is tested")
    settings = Settings(home=tmp_path / ".understudy")
    records, store, trained = lived_in(settings, toy_character, toy_run)
    kept = tmp_path / "kept"
    kept.mkdir()
    by_program, by_python, objects = documented("Backup", "embedded")
    before = told(settings.database_url)
    home = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    shell([by_program if way == "sqlite3" else by_python], kept, **home)
    say(records, store, records.jobs.get(trained).character, f"{trained}:base", "said between the two commands")
    shell([objects], kept, **home)
    records.close()
    (settings.home / "understudy.db").write_bytes(b"the disk was lost")
    shutil.rmtree(settings.home / "objects" / "adapters")
    shell(documented("Restore", "embedded"), kept, **home)
    holds(settings, before, trained)


DOCKER = """#!{python}
import os, subprocess, sys
words = sys.argv[1:]
assert words.pop(0) == "compose"
what = words.pop(0)
with open("{log}", "a") as log:
    print(what, *words, file=log)
if what == "exec":
    assert words[:2] == ["-T", "postgres"]
    sys.exit(subprocess.run(words[2:], env={{**os.environ, "PGHOST": "127.0.0.1"}}).returncode)
if what == "run":
    volume = words[words.index("-v") + 1].split(":")[0]
    script = words[words.index("-c") + 1].replace("/backup", volume)
    assert words[words.index("--entrypoint") + 1] == "sh" and "minio-bucket" in words
    sys.exit(subprocess.run(["sh", "-ec", script]).returncode)
"""
MC = """#!{python}
import json, os, pathlib, sys
from minio import Minio
state = pathlib.Path(os.environ["MC_STATE"])
words = sys.argv[1:]
if words[:2] == ["alias", "set"]:
    state.write_text(json.dumps(words[3:]))
    sys.exit()
assert words[0] == "mirror"
endpoint, key, secret = json.loads(state.read_text())
client = Minio(endpoint.removeprefix("http://"), key, secret, secure=False, region="us-east-1")
source, target = words[1:]
if source.startswith("o/"):
    for item in client.list_objects(source[2:], recursive=True):
        client.fget_object(source[2:], item.object_name, os.path.join(target, item.object_name))
else:
    for path in pathlib.Path(source).rglob("*"):
        if path.is_file():
            client.fput_object(target[2:], path.relative_to(source).as_posix(), str(path))
"""


@pytest.fixture
def stand_ins(tmp_path: Path) -> Iterator[Path]:
    """A folder with `docker` and `mc`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("docker", DOCKER), ("mc", MC)):
        program = folder / name
        program.write_text(text.format(python=sys.executable, log=tmp_path / "asked.txt"), encoding="utf-8")
        program.chmod(0o755)
    yield folder


def test_compose(
    postgres_server: PostgresServer,
    s3_server: S3Server,
    stand_ins: Path,
    toy_character: Path,
    toy_run: Path,
    tmp_path: Path,
) -> None:
    kept = tmp_path / "kept"
    (kept / "somewhere-safe").mkdir(parents=True)
    (kept / ".env").write_text("POSTGRES_PASSWORD=not-a-secret", encoding="utf-8")
    server = {
        "PATH": f"{stand_ins}:{Path(find_program('pg_dump')).parent}:{os.environ['PATH']}",
        "PGPORT": str(postgres_server.port),
        "ENDPOINT": s3_server.endpoint,
        "ACCESS_KEY": ACCESS_KEY,
        "SECRET_KEY": SECRET_KEY,
        "MC_STATE": str(tmp_path / "mc.json"),
        "PYTHONPATH": "",
    }
    settings = s3_server.settings(tmp_path / "home", "kept-in-this")
    s3_server.make_bucket(settings)
    with postgres_server.database("understudy") as url:
        settings = replace(settings, database_url=url)
        records, store, trained = lived_in(settings, toy_character, toy_run)
        before = told(url)
        dump, *objects = documented("Backup", "compose")
        shell([dump], kept, **server, BUCKET=settings.s3_bucket)
        say(records, store, records.jobs.get(trained).character, f"{trained}:base", "said between the two commands")
        shell(objects, kept, **server, BUCKET=settings.s3_bucket)
        records.close()
        s3_server.remove_bucket(settings)
    restored = replace(settings, s3_bucket="restored-to-this")
    s3_server.make_bucket(restored)
    with postgres_server.database("understudy") as url:
        shell(documented("Restore", "compose"), kept, **server, BUCKET=restored.s3_bucket)
        holds(replace(restored, database_url=url), before, trained)
    s3_server.remove_bucket(restored)
    asked = [line.split()[0] for line in (tmp_path / "asked.txt").read_text(encoding="utf-8").splitlines()]
    assert asked == ["exec", "run", "up", "run", "exec", "up"], "objects first, then records"
