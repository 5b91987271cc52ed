"""Records and objects that do not belong together: nothing is collected, and it is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.core.records import Records, open_records
from pipelines.core.records.store_check import settle_owner, store_alarm
from pipelines.core.storage.installation import OWNER_KEY, check_owner, is_empty, owner_of
from pipelines.core.storage.store import StoreError, put_content
from pipelines.core.storage.store_folder import FolderStore

Open = Callable[[str], Records]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens records of a name, each of an installation of its own."""
    found: list[Records] = []

    def opening(name: str) -> Records:
        found.append(open_records(f"sqlite:///{tmp_path / name}.db"))
        return found[-1]

    yield opening
    for records in found:
        records.close()


def test_each_installation_has_an_id_for_good(records: Records, database_url: str, opened: Open) -> None:
    id = records.installation()
    again = open_records(database_url)
    assert again.installation() == id != opened("another").installation()
    again.close()


def test_a_new_store_is_claimed_and_nobody_elses(opened: Open, tmp_path: Path) -> None:
    store, ours, others = FolderStore(tmp_path / "objects"), opened("ours"), opened("others")
    assert store_alarm(ours, store) == "" and is_empty(store)
    settle_owner(ours, store)
    settle_owner(others, store)
    assert owner_of(store) == ours.installation() and is_empty(store)
    check_owner(store, ours.installation())
    with pytest.raises(StoreError, match="understudy gc --adopt"):
        check_owner(store, others.installation())
    put_content(store, b"picture", "pictures", ".png")
    assert store_alarm(ours, store) == "", "a character that was just deleted is no alarm"
    assert store_alarm(others, store).startswith("The records are empty, but pictures and trained adapters")
    others.characters.create("ann", {"images": ["pictures/ab/cd.png"]})
    assert store_alarm(others, store).startswith("The records are those of another installation")


def test_an_installation_of_before_claims_what_its_records_name(opened: Open, tmp_path: Path) -> None:
    store, ours, lost = FolderStore(tmp_path / "objects"), opened("ours"), opened("lost")
    key = put_content(store, b"picture", "pictures", ".png")
    settle_owner(lost, store)  # nothing in common: it may be the wrong one
    assert owner_of(store) == "" and "database was lost" in store_alarm(lost, store)
    with pytest.raises(StoreError, match="nobody has claimed"):
        check_owner(store, lost.installation())
    ours.characters.create("ann", {"images": [key]})
    settle_owner(ours, store)
    assert owner_of(store) == ours.installation() and store_alarm(ours, store) == ""
    store.put(OWNER_KEY, b"damaged")
    with pytest.raises(StoreError, match="restore it"):
        owner_of(store)
