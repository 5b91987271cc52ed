"""One disk that fills under a real training; `python -m tests.benchmarks.bad_days` has all bad days."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.bad_days import broken, disk_case

SHORT = {"sft_steps": 4, "sft_save_every": 2, "grpo_steps": 0}
"""Without practice: the disk fills behind step 3, so the last checkpoint of the basics is not saved."""


def test_a_disk_that_fills_under_a_training_loses_nothing(tmp_path: Path) -> None:
    found = disk_case("runs", 60_000, tmp_path, **SHORT)
    assert broken({"disk": found}) == [], found
    assert found["attempts"] == 2 and found["kept_before"] == ["sft-000002"]
    assert found["said"].startswith(f"The disk of {tmp_path}") and "is full" in found["said"]
