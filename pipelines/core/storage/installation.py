"""Whose objects a store holds: the id of the installation whose records refer to them, kept as an object beside them.

Two sets of records on one store would each take the other's objects for garbage. The records have the same id
(`records.installation()`); where they differ, nothing is collected and the system page says so.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import islice

from pipelines.core.command_line import as_typed
from pipelines.core.storage.store import ObjectMissing, Store, StoreError, read

OWNER_KEY = "runs/INSTALLATION"
TRASH_KEY = "runs/TRASH"
OWN_KEYS = (OWNER_KEY, TRASH_KEY)
"""Objects that no record refers to, and that are no garbage."""


def owner_of(store: Store) -> str:
    """The id of the installation that the objects belong to; "" when none has said so yet."""
    try:
        return str(json.loads(read(store, OWNER_KEY))["id"])
    except ObjectMissing:
        return ""
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{OWNER_KEY} cannot be read ({error}): restore it from a backup") from error


def claim_store(store: Store, id: str) -> None:
    """Say whose objects these are from now on."""
    made = datetime.now(UTC).isoformat(timespec="seconds")
    store.put(OWNER_KEY, json.dumps({"id": id, "since": made}).encode())


def is_empty(store: Store) -> bool:
    """Whether nothing is kept but what the store says of itself."""
    return not [item for item in islice(store.keys(""), len(OWN_KEYS) + 1) if item.key not in OWN_KEYS]


def check_owner(store: Store, id: str) -> None:
    """StoreError when the objects are another installation's."""
    owner = owner_of(store)
    if owner != id:
        whose = f"the objects belong to the installation {owner[:8]}" if owner else "nobody has claimed these objects"
        raise StoreError(
            f"{whose}, and the records are those of {id[:8]}: look whether UNDERSTUDY_DATABASE_URL and "
            "UNDERSTUDY_OBJECTS name what belongs together, or restore the records. If they do belong together: "
            f"{as_typed('gc --adopt')}"
        )
