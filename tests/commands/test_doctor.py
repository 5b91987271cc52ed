"""`understudy doctor` on records and objects that do not belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.commands import doctor
from pipelines.commands.doctor import _bases, _records
from pipelines.core.command_line import install_as_typed
from pipelines.core.records import open_records
from pipelines.core.records.store_check import settle_owner
from pipelines.core.settings import Settings
from pipelines.core.storage.open_store import open_store
from pipelines.core.storage.store import put_content


def test_a_large_base_says_what_it_takes_and_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("UNDERSTUDY_MODELS", str(tmp_path))
    monkeypatch.setattr("pipelines.models.device_memory.device_memory", lambda: ("a GPU", 25e9))
    for installed in (True, False):
        monkeypatch.setattr(doctor, "find_spec", lambda name, there=installed: there or None)
        found = {one.name: one for one in _bases()}
        assert all(one.ok for one in found.values())
        bagel = found["base bagel-7b"]
        assert bagel.found.startswith("on a GPU: 4-bit base") and "(29.6 GB) are not here yet" in bagel.found
        assert bagel.mend == ("" if installed else install_as_typed("bagel,four-bit"))
        assert not found["base janus-pro-1b"].mend


def test_a_lost_database_beside_a_full_store_is_told(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    database = tmp_path / "home" / "understudy.db"
    assert _records(settings).ok and not database.exists(), "it looks only"
    store, records = open_store(settings), open_records(settings.database_url)
    settle_owner(records, store)
    put_content(store, b"picture", "pictures", ".png")
    assert _records(settings).ok
    records.close()
    for file in database.parent.glob("understudy.db*"):
        file.unlink()
    missing = _records(settings)
    assert not missing.ok and "is missing, but pictures and adapters are kept" in missing.found
    assert "gc --adopt" in missing.mend and not database.exists()
    open_records(settings.database_url).close()  # what the studio does at its start
    empty = _records(settings)
    assert not empty.ok and empty.found.startswith("The records are empty")
