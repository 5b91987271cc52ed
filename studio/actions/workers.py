"""Which workers are running: those whose last heartbeat is recent enough.

The rule is `Settings.worker_alive_s`, which command line and sweeper share.
"""

from __future__ import annotations

from pipelines.core.jobs.job import Worker
from studio.context import AppContext


def live_workers(context: AppContext, queue: str = "") -> list[Worker]:
    """The workers that were seen lately; with `queue`, those that take its jobs ("train" or "reply")."""
    alive = context.records.workers.list(alive_within_s=context.settings.worker_alive_s)
    return [worker for worker in alive if not queue or queue in worker.queues]
