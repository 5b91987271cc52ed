"""A training that is told to stop waits for nothing but the step that is not saved yet."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pipelines.core.events import Event, Report
from pipelines.core.run_folder import TrainerExit, read_exit
from pipelines.train import STOPPED, run_as_process


@pytest.mark.parametrize(
    ("event", "stops_in_between"),
    [
        (Event("prepare", note="reading"), True),
        (Event("sft", 1, 60, {"loss": 1.0}), False),
        (Event("sft", 1, 60, artifacts=("checkpoints/sft-000001",)), True),
        (Event("evaluate", 1, 3, note="base"), True),
        (Event("grpo", 4, 9, {"reward": 0.5}), False),
    ],
)
def test_a_signal_waits_only_for_what_is_not_saved(tmp_path: Path, event: Event, stops_in_between: bool) -> None:
    done = []

    def work(report: Report) -> None:
        report(event)
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("the step")
        report(Event("save", 0, 1))
        done.append("everything")

    assert run_as_process(tmp_path, False, work) == STOPPED and read_exit(tmp_path) == TrainerExit(STOPPED)
    assert done == ([] if stops_in_between else ["the step"])
