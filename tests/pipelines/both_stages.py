"""The two training stages of a prepared run folder without the scorecard; `test_processes.py` starts it twice."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pipelines.core.folder import read_character
from pipelines.core.jobs import Recipe
from pipelines.core.runs import CHARACTER_FOLDER, read_json
from pipelines.train import _grpo, _sft, recorder


def main(run_dir: Path) -> None:
    """As `pipelines.train.train` does it."""
    recipe = Recipe.from_json(read_json(run_dir / "run.json")["recipe"])
    first = os.environ["RANK"] == "0"
    report = recorder(run_dir, lambda event: None) if first else lambda event: None
    character = read_character(run_dir / CHARACTER_FOLDER)
    _sft(run_dir, character, recipe, report)
    _grpo(run_dir, character, recipe, report)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
