"""The records: characters, jobs, events, checkpoints, chats and workers in SQLite or PostgreSQL. All SQL is here."""

from pipelines.core.records.connect import open_records
from pipelines.core.records.records import Records

__all__ = ["Records", "open_records"]
