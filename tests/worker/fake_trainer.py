"""A trainer that ends badly on purpose: `python fake_trainer.py RUN HOW`, run as the real subprocess.

It speaks as `pipelines.train` does, so that what the worker makes of each ending can be seen in a second.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def say(number: int, stage: str, **more: object) -> None:
    """One event."""
    event = {
        "stage": stage,
        "step": 0,
        "total": 0,
        "metrics": {},
        "note": "",
        "artifacts": [],
        "job": "",
        "sequence": number,
        "time": f"2026-01-01T00:00:{number:02d}.000000+00:00",
        **more,
    }
    print(json.dumps(event), flush=True)


def note_exit(run_dir: Path, status: int, reason: str = "") -> None:
    """What `pipelines.train` leaves in the run folder."""
    (run_dir / "exit.json").write_text(json.dumps({"status": status, "reason": reason}), encoding="utf-8")


def main() -> int:
    """End as the second argument says."""
    run_dir, how = Path(sys.argv[1]), sys.argv[2]
    say(0, "prepare")
    print("half a line of a library without an end", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if how == "quick":
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0.2")))
        base = run_dir / "checkpoints" / "base"
        base.mkdir(parents=True, exist_ok=True)
        (base / "scores.json").write_text('{"scores": {"reply_perplexity": 9.0}}', encoding="utf-8")
        (run_dir / "result.json").write_text('{"best": "base"}', encoding="utf-8")
        with (run_dir / "ran").open("a", encoding="utf-8") as file:  # a line for each time it ran to its end
            file.write(f"{os.getpid()}\n")
    if how == "memory":
        print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.", file=sys.stderr)
        return 1
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "disk":
        print("OSError: [Errno 28] No space left on device: 'optimizer.pt'", file=sys.stderr)
        return 1
    if how == "missing":
        note_exit(run_dir, 1, "The base model is not there. Weights are missing; install again.")
        return 1
    if how == "error":
        print("Traceback (most recent call last):\n  File x\nValueError: a sample does not fit", file=sys.stderr)
        return 1
    if how == "own":
        note_exit(run_dir, 1, "RUN/run.json cannot be read; restore it")
        return 1
    if how == "lies":
        return 0
    if how in ("hangs", "deaf"):
        if how == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    if how in ("polite", "launched"):

        def leave(*_: object) -> None:
            note_exit(run_dir, 3)
            sys.exit(1 if how == "launched" else 3)  # `accelerate launch` knows no status but 1

        signal.signal(signal.SIGTERM, leave)
        for number in range(1, 600):
            say(number, "sft", step=number, total=600)
            (run_dir / "beat").write_text(str(time.monotonic()), encoding="utf-8")
            time.sleep(0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
