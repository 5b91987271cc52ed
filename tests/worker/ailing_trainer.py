"""The real trainer with one ailment: `python -m tests.worker.ailing_trainer HOW RUN`, run as the worker's subprocess.

kill-once-3      SIGKILL behind step 3 of stage 1, the first time
kill-always-3    the same every time
full-3           fills the small disk AILING_DISK but for AILING_LEAVE bytes behind step 3, the first time
memory           torch's own error in stage 1 for as long as a step is one batch
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from pipelines.training.trainer_mixin import RunTrainerMixin
from tests.small_disk import SmallDisk


def main() -> int:
    """Fall ill, then train."""
    from pipelines import train
    from pipelines.training import sft

    how, run_dir = sys.argv[1], Path(sys.argv[2])
    report = RunTrainerMixin.report_metrics

    def die(trainer: Any, *arguments: Any, **named: Any) -> None:
        report(trainer, *arguments, **named)
        marker = run_dir / "was-killed"
        here = trainer.stage == "sft" and trainer.state.global_step == int(how[-1])
        if here and ("always" in how or not marker.exists()):
            marker.touch()
            if how.startswith("full"):
                SmallDisk(Path(os.environ["AILING_DISK"])).fill(int(os.environ["AILING_LEAVE"]))
            else:
                os.kill(os.getpid(), signal.SIGKILL)

    run_sft = sft.run_sft

    def run_out(*arguments: Any, **named: Any) -> Any:
        if arguments[7].parts == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return run_sft(*arguments, **named)

    if how == "memory":
        sft.run_sft = run_out
    else:
        RunTrainerMixin.report_metrics = die  # type: ignore[method-assign]
    return train.main([str(run_dir), "--events"])


if __name__ == "__main__":
    sys.exit(main())
