"""A whole deployment to work in: records, objects and broker, embedded or on real Redis and SeaweedFS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from pipelines.core.jobs.job import CharacterVersion, Job, new_id
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.queue.broker import make_app
from pipelines.core.queue.submit import publish_folder, submit_training
from pipelines.core.records import Records, open_records
from pipelines.core.settings import Settings
from pipelines.core.storage.open_store import open_store
from pipelines.core.storage.store import Store
from tests.toys import TOY_BASE, TOY_STEPS
from worker.worker_context import WorkerContext

QUICK: dict[str, Any] = {"lease_s": 6.0, "heartbeat_s": 0.5, "hang_timeout_s": 240.0, "stop_grace_s": 60.0}
"""Times of the tests: a lost worker is noticed in seconds."""


@dataclass
class Deployment:
    """What a test works with."""

    settings: Settings
    records: Records
    store: Store
    app: Celery
    character: Path

    @property
    def environment(self) -> dict[str, str]:
        """The settings for a program of ours."""
        names = {
            "home": "HOME",
            "database_url": "DATABASE_URL",
            "broker_url": "BROKER_URL",
            "objects": "OBJECTS",
            "s3_endpoint_internal": "S3_ENDPOINT_INTERNAL",
            "s3_bucket": "S3_BUCKET",
            "s3_access_key": "S3_ACCESS_KEY",
            "s3_secret_key": "S3_SECRET_KEY",
            "lease_s": "LEASE_S",
            "heartbeat_s": "HEARTBEAT_S",
            "hang_timeout_s": "HANG_TIMEOUT_S",
            "stop_grace_s": "STOP_GRACE_S",
        }
        return {f"UNDERSTUDY_{name}": str(vars(self.settings)[field]) for field, name in names.items()}

    def version(self) -> CharacterVersion:
        """The toy character, published."""
        return publish_folder(self.records, self.store, "local", self.character)

    def training(self, **overrides: Any) -> Job:
        """A toy training, queued and nudged."""
        return self.training_of(self.version(), **overrides)

    def training_of(self, version: CharacterVersion, **overrides: Any) -> Job:
        """The same of a version that is known."""
        return submit_training(self.records, self.app, "local", version, self.recipe(**overrides))

    def training_without_message(self) -> Job:
        """A toy training whose nudge was lost."""
        version, recipe = self.version(), self.recipe().to_json()
        return self.records.jobs.add(Job(new_id(), "train", "local", version.character, version.version, recipe))

    def take_messages(self) -> int:
        """Throw away what waits in the broker; returns how many messages that were."""
        with self.app.connection_for_write() as connection, connection.channel() as channel:
            return sum(queue(channel).purge() or 0 for queue in self.app.amqp.queues.values())

    def recipe(self, **overrides: Any) -> Recipe:
        """The toy recipe; `base` is an override as well."""
        changed = {"base": TOY_BASE, **TOY_STEPS, **overrides}
        return Recipe.for_effort(changed.pop("base"), "quick", **changed)

    def worker_context(self, *queues: str) -> WorkerContext:
        """A worker in this process; close it."""
        return WorkerContext(self.settings, queues or ("train",))


def open_deployment(settings: Settings, character: Path) -> Deployment:
    """Open all that the settings name."""
    return Deployment(
        settings, open_records(settings.database_url), open_store(settings), make_app(settings), character
    )


@pytest.fixture
def embedded(tmp_path: Path, toy_character: Path) -> Iterator[Deployment]:
    """On files in a folder, as on a laptop."""
    deployment = open_deployment(Settings(home=tmp_path / "home", **QUICK), toy_character)
    yield deployment
    deployment.records.close()


@pytest.fixture
def served(s3_settings: Settings, redis_url: str, toy_character: Path) -> Iterator[Deployment]:
    """On Redis and SeaweedFS, as in production; records in a file."""
    deployment = open_deployment(replace(s3_settings, broker_url=redis_url, **QUICK), toy_character)
    yield deployment
    deployment.records.close()


@pytest.fixture(params=["embedded", "served"])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """Both of them, one after the other."""
    found: Deployment = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def context(embedded: Deployment) -> Iterator[WorkerContext]:
    """A worker in this process on the embedded deployment."""
    context = embedded.worker_context("train", "reply")
    yield context
    context.close()
