"""Which workers are running: those whose last heartbeat is recent enough.

The rule is `Settings.worker_alive_s`, which command line and sweeper share.
"""

from __future__ import annotations

from pipelines.core.jobs.job import RecordMissing, Worker
from studio.context import AppContext

TRAIN_WORKER, REPLY_WORKER = "up --only train-worker", "up --only reply-worker"
"""What starts one beside a studio that runs: a second `up` on the same home is refused."""
LOADING_WORDS = "The worker loads its model, which takes some seconds, and a minute or more the first time"
BUSY_WITH = {
    "warm": "The worker is loading its model, which takes a minute or more the first time; then it comes to this",
    "captions": "The worker looks at pictures first, then it comes to this",
    "draw": "The worker draws something else first, then it comes to this",
    "draw_prompts": "The worker draws something else first, then it comes to this",
    "expand": "The worker writes conversations first, then it comes to this",
    "reply": "The worker answers somebody first, then it comes to this",
}
"""Task of a job at hand -> what somebody reads who waits behind it."""


def waiting_words(context: AppContext, purpose: str = "") -> str:
    """What a job of the reply queue waits for, from what the workers are doing: one at all, its model, another job.

    purpose: such as "to draw".
    """
    workers = live_workers(context, "reply")
    if not workers:
        return f"Waiting for a worker {purpose}".rstrip()
    busy = [worker.job for worker in workers if worker.job]
    if len(busy) < len(workers):
        return "The worker takes it up now"
    try:
        task = str(context.records.jobs.get(busy[0]).request.get("task", "reply"))
    except RecordMissing:
        return "The worker takes it up now"
    return BUSY_WITH.get(task, BUSY_WITH["reply"])


def is_training_beside(context: AppContext) -> bool:
    """Whether a training is at work that drawings would slow, and that would slow them: one without a GPU."""
    return any(worker.job and not worker.gpu for worker in live_workers(context, "train"))


def live_workers(context: AppContext, queue: str = "") -> list[Worker]:
    """The workers that were seen lately; with `queue`, those that take its jobs ("train" or "reply")."""
    alive = context.records.workers.list(alive_within_s=context.settings.worker_alive_s)
    return [worker for worker in alive if not queue or queue in worker.queues]
