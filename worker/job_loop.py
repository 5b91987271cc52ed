"""The loop of a worker: claim the next queued job, run it under its lease, record how it ended.

    drain_queue(context, ("evaluate", "train"))      until nothing of these kinds is queued

Whatever goes wrong, the job ends with a reason in plain words, or goes back to the queue when this worker is told to
shut down. A worker that dies here is noticed by the sweeper, once the lease has run out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from pipelines.core.events import Event, Payload, RetryCause
from pipelines.core.full_disk import is_full
from pipelines.core.jobs.job import Job, JobKind, LeaseLost, RecordMissing, RecordsUnusable
from pipelines.core.jobs.memory_plan import MOST_SAVINGS
from pipelines.core.problems import CharacterProblems
from pipelines.core.records.retries import Failure
from pipelines.core.run_folder import RunError
from pipelines.core.storage.store import StoreError
from worker.chat_service import run_reply
from worker.evaluation import run_evaluation
from worker.lease import Lease
from worker.outcome import JobOutcome, disk_error
from worker.run_folders import FolderBusy
from worker.runner import run_training
from worker.worker_context import WorkerContext

JobRunner = Callable[[WorkerContext, Job, Lease], JobOutcome | None]
RUNNERS: Mapping[JobKind, JobRunner] = {"train": run_training, "evaluate": run_evaluation, "reply": run_reply}
KINDS: Mapping[str, tuple[JobKind, ...]] = {"train": ("evaluate", "train"), "reply": ("reply",)}
"""Queue -> kinds of jobs, in the order in which they are claimed: an evaluation is short."""

logger = logging.getLogger("understudy.worker")


def drain_queue(
    context: WorkerContext, kinds: Sequence[JobKind], runners: Mapping[JobKind, JobRunner] | None = None
) -> int:
    """Run jobs of these kinds until none is queued or the worker shuts down; returns how many.

    One message is therefore enough for any number of jobs, and one too many finds nothing to do.
    """
    done = 0
    while not context.stopping.is_set():
        job = next(filter(None, (_claim(context, kind) for kind in kinds)), None)
        if job is None:
            break
        logger.info("job %s (%s): attempt %d", job.id, job.kind, job.attempt)
        run_job(context, job, (runners or RUNNERS)[job.kind])
        done += 1
    return done


def _claim(context: WorkerContext, kind: JobKind) -> Job | None:
    return context.records.jobs.claim_next(kind, context.id, context.settings.lease_s)


def run_job(context: WorkerContext, job: Job, run: JobRunner) -> None:
    """Run one claimed job and record its outcome."""
    with context.working_on(job) as lease:
        try:
            outcome = run(context, job, lease)
        except LeaseLost as error:
            logger.warning("%s", error)
            return
        except RecordsUnusable as error:
            said = f"The worker could not go on: {error}. Mend that and resume the job."
            outcome = JobOutcome("stopped", said) if lease.cancel else JobOutcome("failed", said, cause="records")
        except (CharacterProblems, RunError, StoreError, RecordMissing, FolderBusy, ValueError, TypeError) as error:
            outcome = JobOutcome("failed", " ".join(str(error).split()))
        except OSError as error:
            outcome = JobOutcome("failed", _machine_error(error, context))
        except Exception as error:
            logger.exception("job %s failed in the worker itself", job.id)
            kind = type(error).__name__
            outcome = JobOutcome("failed", f"The worker failed ({kind}: {error}). Its log says where; resume the job.")
        record_outcome(context, job, lease, outcome)


def _machine_error(error: OSError, context: WorkerContext) -> str:
    if is_full(error):
        place = error.filename or context.settings.home
        return disk_error(f"{place} on {context.host}", "the job could not go on")
    return f"The worker's machine failed ({error}). Mend it and resume the job."


def record_outcome(context: WorkerContext, job: Job, lease: Lease, outcome: JobOutcome | None) -> None:
    """Record the outcome; None gives a job that is still ours back to the queue. Waits while the records are away."""
    while not lease.lost:
        try:
            if outcome is None:
                if context.records.jobs.release(job.id, job.worker, job.attempt):
                    return
                outcome = JobOutcome("stopped")  # a stop was asked for meanwhile
            if outcome.cause and _tried_again(context, job, outcome.cause, outcome):
                return
            if not context.records.jobs.finish(
                job.id, job.worker, job.attempt, outcome.status, outcome.error, outcome.log_tail
            ):
                logger.warning("job %s was not this worker's any more when it ended", job.id)
            else:
                logger.info("job %s: %s %s", job.id, outcome.status, outcome.error)
            return
        except RecordsUnusable as error:
            if lease.unanswered_s > 3 * lease.lease_s:
                logger.error("job %s is left to the sweeper: %s", job.id, error)
                return
            time.sleep(1)


def _tried_again(context: WorkerContext, job: Job, cause: RetryCause, outcome: JobOutcome) -> bool:
    """Whether that was settled: queued again from the last checkpoint, or failed after too many tries."""
    failure = Failure(cause, outcome.error, outcome.log_tail, outcome.place, job.savings < MOST_SAVINGS)
    settled = context.records.jobs.retry(job.id, job.worker, job.attempt, failure)
    if settled is None:
        return False
    logger.info("job %s: %s (%s), %s", job.id, cause, outcome.place or "before its first step", settled.status)
    if settled.status == "queued":
        said = Payload(attempt=job.attempt, failed=cause)
        try:
            context.records.events.note(job.id, job.attempt, Event("prepare", note=outcome.error, payload=said))
        except (LeaseLost, RecordMissing) as error:  # somebody has it already, or it was deleted
            logger.warning("%s", error)
    return True
