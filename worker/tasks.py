"""What Celery calls: `python -m celery -A worker.tasks worker -Q train -c 1 --pool solo`.

A message only says that something may be queued: a task lets `job_loop.py` claim what is next in the records, and
returns. The pool is solo: the work is in a subprocess or on one GPU, and no fork may inherit connections or CUDA.
"""

from __future__ import annotations

import logging
import threading
import warnings
from typing import Any

from celery import signals
from celery.exceptions import SecurityWarning
from kombu import Queue

from pipelines.core.jobs.job import RecordsUnusable
from pipelines.core.queue.broker import QUEUES, make_app, notify_worker, task_name
from pipelines.core.settings import Settings
from worker.job_loop import KINDS, drain_queue
from worker.worker_context import WorkerContext

settings = Settings.from_environment()
app = make_app(settings)
logger = logging.getLogger("understudy.worker")
# What it warns root of is messages that carry code; ours are JSON and nothing else is accepted.
warnings.filterwarnings("ignore", category=SecurityWarning)
logging.getLogger("alembic").setLevel(logging.WARNING)
_contexts: list[WorkerContext] = []
"""The one of this process, from the start of the worker to its end."""
_making = threading.Lock()
_over = threading.Event()
BEGIN_AGAIN_S = 3.0
"""Seconds between tries to register while the records do not answer."""


def context() -> WorkerContext:
    """This process's context; made when the first task or signal needs it."""
    with _making:
        if not _contexts:
            _contexts.append(WorkerContext(settings, tuple(app.amqp.queues.consume_from)))
        return _contexts[0]


def drain(queue: str) -> int:
    """Work the queue off; records that do not answer leave it to the sweeper's next message."""
    try:
        return drain_queue(context(), KINDS[queue])
    except RecordsUnusable as error:
        logger.warning("no job can be claimed: %s", error)
        return 0


@app.task(name=task_name("train"))  # type: ignore[untyped-decorator]
def train(id: str) -> int:
    """A training may be waiting; `id` is only for the log."""
    return drain("train")


@app.task(name=task_name("evaluate"))  # type: ignore[untyped-decorator]
def evaluate(id: str) -> int:
    """An evaluation may be waiting."""
    return drain("train")


@app.task(name=task_name("reply"))  # type: ignore[untyped-decorator]
def reply(id: str) -> int:
    """Somebody may be waiting for an answer."""
    return drain("reply")


@signals.worker_ready.connect(weak=False)  # type: ignore[untyped-decorator]
def begin(**_: Any) -> None:
    """Register, and send ourselves a message for what was queued while no worker was there.

    Where the records do not answer, in the background until they do: a worker that is not listed is told of no job.
    """
    try:
        register()
    except RecordsUnusable as error:
        logger.warning("not registered yet: %s", error)
        threading.Thread(target=_register_later, name="register", daemon=True).start()


def _register_later() -> None:
    while not _over.wait(BEGIN_AGAIN_S):
        try:
            register()
            return
        except RecordsUnusable as error:
            logger.warning("not registered yet: %s", error)


def register() -> None:
    """See `begin`; raises RecordsUnusable."""
    kinds = {kind for name in app.amqp.queues.consume_from for kind in KINDS[name]}
    queued = [job for job in context().records.jobs.waiting(0.0) if job.kind in kinds]
    for queue in {QUEUES[job.kind] for job in queued}:
        notify_worker(app, next(job for job in queued if QUEUES[job.kind] == queue))


@signals.worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]
def stop(**_: Any) -> None:
    """SIGTERM or Ctrl-C: the job at hand is saved and given back to the queue."""
    _over.set()
    for open_context in _contexts:
        open_context.stopping.set()


@signals.worker_shutdown.connect(weak=False)  # type: ignore[untyped-decorator]
def end(**_: Any) -> None:
    """Leave the list of workers."""
    while _contexts:
        _contexts.pop().close()


assert all(isinstance(queue, Queue) and queue.name in KINDS for queue in app.conf.task_queues)
