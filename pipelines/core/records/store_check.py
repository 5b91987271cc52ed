"""Whether records and object store belong together: a lost database beside a full store is no fresh start.

settle_owner(records, store)     at the start of a worker or sweeper: a store that is new or ours gets our id
store_alarm(records, store)      what is to be said to people; "" when all is well
"""

from __future__ import annotations

from itertools import islice

from pipelines.core.records.records import Records
from pipelines.core.storage.installation import claim_store, is_empty, owner_of
from pipelines.core.storage.store import Store


def settle_owner(records: Records, store: Store) -> None:
    """Claim a store that nobody has claimed, when it is empty or these records refer to something in it."""
    if owner_of(store):
        return
    if is_empty(store) or any(next(store.keys(key), None) is not None for key in _some_keys(records)):
        claim_store(store, records.installation())


def _some_keys(records: Records) -> list[str]:
    """The first hundred."""
    keys = records.keys()
    return list(islice(keys, 100))


def store_alarm(records: Records, store: Store) -> str:
    """Plain words, and what to do, when the objects are not those of these records. Raises StoreError."""
    owner, id = owner_of(store), records.installation()
    if owner == id or (not owner and (is_empty(store) or _some_keys(records))):
        return ""
    empty = not records.jobs.list(limit=1) and not _some_keys(records)
    what = "The records are empty" if empty else "The records are those of another installation"
    return (
        f"{what}, but pictures and trained adapters are kept beside them: the database was lost, or "
        "UNDERSTUDY_DATABASE_URL names another one. Nothing has been deleted, and nothing is while this lasts. Set the "
        "right address, or restore the last backup of the records (docs/operations.md)."
    )
