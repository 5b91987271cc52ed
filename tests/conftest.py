"""Fixtures that several parts of the tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.toys import TOY_BASE, TOY_STEPS, write_toy


@pytest.fixture(scope="session")
def toy_character(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole character folder with a held-out split; not to be written to."""
    return write_toy(tmp_path_factory.mktemp("characters") / "ada")


@pytest.fixture(scope="session")
def toy_run(toy_character: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of the toy character on the toy starter; not to be written to."""
    from pipelines.core.jobs import Recipe
    from pipelines.train import prepare_run, train

    run_dir = tmp_path_factory.mktemp("runs") / "ada"
    prepare_run(run_dir, toy_character, Recipe.for_effort(TOY_BASE, "quick", **TOY_STEPS))
    train(run_dir)
    return run_dir
