"""A few random kills; `python -m tests.benchmarks.kills` makes two hundred."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.kills import VICTIMS, broken, run


def test_nothing_is_lost_by_a_few_kills(tmp_path: Path) -> None:
    found = run(kills=2 * len(VICTIMS), workers=1, seed=3, home=tmp_path / "home", ahead=0, pauses_s=(0.5, 3.0))
    assert found["kills"] == dict.fromkeys(VICTIMS, 2)
    assert found["jobs"] >= 1 and broken(found) == [], found
