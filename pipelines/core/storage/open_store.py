"""Opening the object store that the settings name: a folder, or a bucket on an S3 server.

Open one in each process, not before a fork.
"""

from __future__ import annotations

from pathlib import Path

from pipelines.core.settings import Settings
from pipelines.core.storage.store import Store
from pipelines.core.storage.store_folder import FolderStore


def open_store(settings: Settings) -> Store:
    """The store of these settings. Nothing is asked of a server yet."""
    if settings.uses_s3:
        from pipelines.core.storage.store_s3 import S3Store  # the client takes its time to import

        return S3Store(settings)
    return FolderStore(Path(settings.objects))
