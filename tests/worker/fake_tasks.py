"""A worker whose trainings are `fake_trainer.py quick`: the same tasks, claims and leases, a second each.

`celery -A tests.worker.fake_tasks`, for the tests of the queue. FAKE_TRAINING in the environment names how it ends.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from worker import tasks, work
from worker.runner import run_training

app = tasks.app
HOW = os.environ.get("FAKE_TRAINING", "quick")


def _command(run_dir: Path, gpus: int) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("fake_trainer.py")), str(run_dir), HOW]


work.RUNS = {**work.RUNS, "train": lambda *arguments: run_training(*arguments, command=_command)}
