"""`understudy gc` and `understudy health` on the embedded default."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main
from pipelines.core.jobs.job import Worker
from pipelines.core.records import open_records
from pipelines.core.settings import Settings
from pipelines.core.storage.installation import OWN_KEYS, claim_store
from pipelines.core.storage.open_store import open_store
from pipelines.core.storage.store import put_content


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path))
    return Settings.from_environment()


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_gc_leaves_what_a_draft_shows(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(settings)
    used, unused = (put_content(store, name, "pictures", ".png") for name in (b"used", b"unused"))
    for key in (used, unused):
        os.utime(Path(settings.objects) / key, (0, 0))
    assert main(["gc"]) == 1 and "UNDERSTUDY_DATABASE_URL" in capsys.readouterr().err
    records = open_records(settings.database_url)
    records.characters.create(settings.owner, {"images": [used]})
    assert main(["gc", "--dry-run", "--grace", "0", "--json"]) == 0
    told = {"objects": 1, "bytes": 6, "dry_run": True, "keys": [unused], "trash": {}, "refused": ""}
    assert answer(capsys) == told
    assert main(["gc", "--json"]) == 0
    found = answer(capsys)
    assert found["keys"] == [] and list(found["trash"]) == [unused]
    assert main(["gc", "--dry-run"]) == 0
    assert "1 objects (1 pictures) wait in the trash" in capsys.readouterr().out
    assert main(["gc", "--grace", "0", "--json"]) == 0
    assert answer(capsys)["keys"] == [unused]
    assert [item.key for item in store.keys("") if item.key not in OWN_KEYS] == [used]
    claim_store(store, "another")
    assert main(["gc", "--grace", "0"]) == 1 and "understudy gc --adopt" in capsys.readouterr().err
    assert main(["gc", "--grace", "0", "--adopt"]) == 0
    assert main(["gc", "--grace", "0"]) == 0
    assert main(["gc", "--older-than", "1"]) == 2


def test_health_needs_the_records_and_a_worker_of_this_host(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["health"]) == 0
    assert main(["health", "--queue", "train"]) == 1
    records = open_records(settings.database_url)
    records.workers.register(Worker(id="elsewhere", host="another-host", queues=("train",)))
    records.workers.register(Worker(id="here", host=platform.node(), queues=("reply",)))
    assert main(["health", "--queue", "train"]) == 1 and "train" in capsys.readouterr().err
    assert main(["health", "--queue", "reply", "--json"]) == 0
    assert answer(capsys) == {"ok": True, "host": platform.node(), "workers": ["here"]}
    monkeypatch.setenv("UNDERSTUDY_DATABASE_URL", "postgresql://u:sesame@127.0.0.1:1/x")
    assert main(["health"]) == 1
    said = capsys.readouterr().err
    assert "sesame" not in said and len(said.splitlines()) == 1
