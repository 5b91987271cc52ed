"""A worker whose trainings are `fake_trainer.py quick`: the same tasks, claims and leases, a second each.

`celery -A tests.worker.fake_tasks`, for the tests of the queue. FAKE_TRAINING in the environment names how it ends.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from celery.signals import task_postrun, worker_init

from tests.worker.processes import DEALT_WITH
from worker import job_loop, tasks
from worker.runner import run_training

app = tasks.app
HOW = os.environ.get("FAKE_TRAINING", "quick")


def _command(run_dir: Path, gpus: int) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("fake_trainer.py")), str(run_dir), HOW]


@task_postrun.connect
def _say(**_: Any) -> None:
    print(DEALT_WITH, file=sys.__stderr__, flush=True)


@worker_init.connect
def _train_with_the_fake(**_: Any) -> None:
    # Not at import: whoever only reads a name of this module would train with the fake as well.
    job_loop.RUNNERS = {**job_loop.RUNNERS, "train": lambda *arguments: run_training(*arguments, command=_command)}
