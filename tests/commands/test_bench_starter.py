"""`understudy bench starter` on the command line; what it measures is tested in tests/starter_build/bench."""

from __future__ import annotations

import pytest

from pipelines.cli import main
from pipelines.commands.bench import STARTER_PARTS
from pipelines.starter_build.bench.run_bench import PARTS


def test_every_part_can_be_named() -> None:
    assert tuple(PARTS) == STARTER_PARTS


def test_it_measures_the_starter_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "starter", "--part", "beauty"]) == 2
    assert main(["bench", "starter", "--base", "janus-toy"]) == 2
    assert "measures the starter" in capsys.readouterr().err
