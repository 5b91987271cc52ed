"""What the system page shows: workers, queues, health, disk use, what could be cleaned away, versions and settings.

Everything is looked up when it is asked for; nothing here changes anything. Secrets never leave the settings: an
address is shown without its password, a key only as set or not set.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from kombu.exceptions import OperationalError
from sqlalchemy.exc import SQLAlchemyError

from pipelines.core.jobs.draw_protocol import PROMPT_TASK
from pipelines.core.jobs.job import Job, JobKind, RecordMissing, RecordsUnusable, Worker
from pipelines.core.jobs.reply_protocol import SCENE
from pipelines.core.records.store_check import store_alarm
from pipelines.core.settings import Settings, without_password
from pipelines.core.storage.garbage import SAFE_S, collect_garbage
from pipelines.core.storage.store import StoreError
from pipelines.core.versions import installed
from studio.actions.workers import live_workers
from studio.context import AppContext

MAX_COUNTED = 1000
"""Waiting jobs that are counted; beyond it the page says "more than"."""
SECRETS = ("llm_key", "s3_access_key", "s3_secret_key")
LIBRARIES = (
    "understudy",
    "streamlit",
    "celery",
    "sqlalchemy",
    "alembic",
    "minio",
    "pillow",
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
)
KIND_WORDS = {
    "pictures": "Pictures",
    "adapters": "Trained adapters",
    "samples": "Sample pictures",
    "exports": "Files made for download",
    "runs": "Run logs and results",
    "parts": "Broken-off uploads",
}
"""First segment of a key -> what a person reads."""


TASK_WORDS = {
    "train": "Trains {}",
    "evaluate": "Measures {}",
    "reply": "Answers as {}",
    "draw": "Draws {}",
    PROMPT_TASK: "Draws {}",
    "captions": "Looks at pictures of {}",
    "expand": "Writes conversations for {}",
    "warm": "Gets ready to answer as {}",
    "load": "Loads its model",
}
"""Kind of a job, or what a reply job is asked for -> what the worker does, with the character's name."""


@dataclass(frozen=True)
class WorkerLine:
    """One worker and the job that it works on."""

    worker: Worker
    is_alive: bool
    doing: str
    """Its job in words; "" for none."""


@dataclass(frozen=True)
class Health:
    """Whether records, object store or queue answer."""

    name: str
    is_well: bool
    place: str
    """Its address without password."""
    answer: str
    """What is wrong; "" when nothing is."""
    seconds: float


@dataclass(frozen=True)
class DiskUse:
    """Objects of one kind."""

    kind: str
    count: int
    size: int
    """Bytes."""


def workers(context: AppContext) -> list[WorkerLine]:
    """All known workers, the running ones first."""
    alive = {worker.id for worker in live_workers(context)}
    lines = [
        WorkerLine(worker, worker.id in alive, _doing(context, worker)) for worker in context.records.workers.list()
    ]
    return sorted(lines, key=lambda line: not line.is_alive)


def _doing(context: AppContext, worker: Worker) -> str:
    if not worker.job:
        return ""
    try:
        job = context.records.jobs.get(worker.job)
    except RecordMissing:
        return ""
    return _job_words(context, job)


def _job_words(context: AppContext, job: Job) -> str:
    # The name of another owner's character is not shown.
    is_own = job.owner == context.owner and job.character
    name = context.records.characters.get(job.character).name if is_own else ""
    return TASK_WORDS[_task(context, job)].format(name or "a character")


def _task(context: AppContext, job: Job) -> str:
    """What the worker does in this job just now, a key of TASK_WORDS."""
    if job.kind != "reply":
        return job.kind
    task = str(job.request.get("task", "reply"))
    if task == "warm" and not job.request.get("checkpoints"):
        return "load"
    last = context.records.events.latest(job.id) if task == "reply" else None
    if last is not None and SCENE in last.metrics and json.loads(last.note)["scene"]:
        return "draw"  # the words are said, and the picture is being drawn
    return task if task in TASK_WORDS else "reply"


def queue_depths(context: AppContext) -> dict[str, int]:
    """How many jobs wait, of all owners: for training and measuring, and for answers and drawings."""
    kinds: dict[str, tuple[JobKind, ...]] = {
        "Training and measuring": ("train", "evaluate"),
        "Answers and drawings": ("reply",),
    }

    def waiting(kind: JobKind) -> int:
        return len(context.records.jobs.list(kind=kind, statuses=["queued"], limit=MAX_COUNTED))

    return {words: sum(waiting(kind) for kind in own) for words, own in kinds.items()}


def health(context: AppContext) -> list[Health]:
    """Records, object store and queue, each with one small request."""
    settings = context.settings
    objects = settings.s3_endpoint_internal if settings.uses_s3 else settings.objects
    return [
        _asked("Records", settings.database_url, lambda: context.records.characters.list(context.owner)),
        _asked("Pictures and adapters", objects, lambda: next(context.store.keys("pictures/"), None)),
        _asked("Queue", settings.broker_url, lambda: _reach(context)),
    ]


def _reach(context: AppContext) -> None:
    with context.queue.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=3)


def _asked(name: str, address: str, question: Callable[[], Any]) -> Health:
    began = time.monotonic()
    try:
        question()
    except (RecordsUnusable, StoreError, OperationalError, SQLAlchemyError, OSError) as error:
        wrong = without_password(str(error).strip().split("\n")[0]) or type(error).__name__
        return Health(name, False, without_password(address), wrong, time.monotonic() - began)
    return Health(name, True, without_password(address), "", time.monotonic() - began)


def disk_use(context: AppContext) -> list[DiskUse]:
    """Bytes and count of the objects of each kind, the largest first; reads the whole listing."""
    counts: dict[str, tuple[int, int]] = {}
    for item in context.store.keys(""):
        kind = item.key.partition("/")[0]
        count, size = counts.get(kind, (0, 0))
        counts[kind] = count + 1, size + item.size
    found = [DiskUse(KIND_WORDS.get(kind, kind), *numbers) for kind, numbers in counts.items()]
    return sorted(found, key=lambda one: -one.size)


def garbage(context: AppContext) -> Sequence[tuple[str, int]]:
    """(key, bytes) of what cleaning would remove; removes nothing. StoreError when the records look wrong for it."""
    return collect_garbage(context.store, context.records.keys(), older_than_s=SAFE_S, dry_run=True).gone


def alarm(context: AppContext) -> str:
    """What is to be said when the objects are not those of these records; "" when all is well or one does not answer,
    which `health` says."""
    try:
        return store_alarm(context.records, context.store)
    except (StoreError, RecordsUnusable, OSError):
        return ""


def versions() -> dict[str, str]:
    """Version of Python and of what this machine has installed; what is not here is left out."""
    return installed(LIBRARIES)


def settings_in_force(settings: Settings) -> dict[str, str]:
    """Variable -> value of every setting; secrets are only said to be set or not."""
    shown_values = {}
    for field in fields(Settings):
        value = vars(settings)[field.name]
        shown = ("set" if value else "not set") if field.name in SECRETS else without_password(str(value))
        shown_values[f"UNDERSTUDY_{field.name.upper()}"] = shown or "not set"
    return shown_values


def size_words(size: int) -> str:
    """Bytes in words: 512 B, 3.4 MB."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{size} B"
