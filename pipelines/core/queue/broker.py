"""The broker: messages to workers that a job is there, and nothing that would be missed if one were lost.

    app = make_app(settings); notify_worker(app, job)

A message is the name of a task and the id of a job, as JSON, acknowledged before the work begins. Whoever gets one asks
the records for the next job and claims it there, so a message that comes twice does no harm, and one that is lost is
sent again by the sweeper. Redis in production (Valkey too), a file of SQLite by default.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from celery import Celery
from kombu import Queue, transport
from kombu.exceptions import OperationalError

from pipelines.core.jobs.job import Job, JobKind
from pipelines.core.settings import Settings, without_password

TRAIN, REPLY = "train", "reply"
QUEUES: dict[JobKind, str] = {"train": TRAIN, "evaluate": TRAIN, "reply": REPLY}
"""Kind of a job -> the queue its messages go to. Evaluations need the device like trainings do."""
VISIBILITY_S = 24 * 3600
"""After so many seconds Redis delivers again what was not acknowledged. Messages are acknowledged at once, so this only
touches what a worker held back when it died; the sweeper is much quicker."""
CONNECT_S = 5
"""Seconds to wait for a server that does not answer."""
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
"""How workers and sweeper write their logs."""

logger = logging.getLogger("understudy.broker")


def task_name(kind: JobKind) -> str:
    """What a message for this kind of job is addressed to."""
    return f"understudy.{kind}"


def make_app(settings: Settings) -> Celery:
    """The Celery application of these settings; connects to nothing yet."""
    # By name, since kombu takes the transport from the first word of the address.
    transport.TRANSPORT_ALIASES["sqla"] = "pipelines.core.queue.broker_sqlite:FileTransport"
    redis = settings.broker_url.startswith(("redis://", "rediss://"))
    if settings.broker_url.startswith("sqla+sqlite:///"):
        Path(settings.broker_url.removeprefix("sqla+sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    app = Celery("understudy", broker=settings.broker_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_ignore_result=True,
        task_acks_late=False,
        task_queues=[Queue(name) for name in (TRAIN, REPLY)],
        task_default_queue=TRAIN,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=redis,  # Celery knows this for Redis alone
        worker_enable_remote_control=False,  # broadcasts need what a file does not have; stopping goes by the records
        worker_send_task_events=False,
        broker_connection_timeout=CONNECT_S,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker outlives any pause of the server
        worker_redirect_stdouts=False,  # a trainer's lines are no warnings of ours
        worker_log_format=LOG_FORMAT,
        worker_task_log_format=LOG_FORMAT,
        enable_utc=True,
        **_timeouts(redis),
    )
    return app


def _timeouts(redis: bool) -> dict[str, Any]:
    if not redis:  # the SQL transport hands every option of its own to the database driver
        return {}
    options = {
        "visibility_timeout": VISIBILITY_S,
        "socket_connect_timeout": CONNECT_S,
        "socket_keepalive": True,
        "health_check_interval": 30,
    }
    # Of all values that share a server the shortest counts, so it is set in each place.
    return {
        "visibility_timeout": VISIBILITY_S,
        "broker_transport_options": options,
        "result_backend_transport_options": options,
    }


def notify_worker(app: Celery, job: Job) -> bool:
    """Tell a worker that this job is there; False when the broker does not answer. The sweeper will try again."""
    with app.connection_for_write() as connection:
        outside = (*connection.connection_errors, *connection.recoverable_connection_errors, OperationalError, OSError)
        try:
            app.send_task(
                task_name(job.kind), args=(job.id,), queue=QUEUES[job.kind], connection=connection, retry=False
            )
        except outside as error:
            where = without_password(app.conf.broker_url)
            logger.warning("the broker at %s does not answer (%s); job %s stays queued", where, error, job.id)
            return False
    return True
