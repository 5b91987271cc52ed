"""`understudy doctor` on records and objects that do not belong together."""

from __future__ import annotations

from pathlib import Path

from pipelines.commands.doctor import _records
from pipelines.core.records import open_records
from pipelines.core.records.store_check import settle_owner
from pipelines.core.settings import Settings
from pipelines.core.storage.open_store import open_store
from pipelines.core.storage.store import put_content


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
