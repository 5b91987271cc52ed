"""The two training stages of a prepared run folder without the scorecard; `test_fsdp.py` starts it twice.

With the word `sharded` behind the folder the memory plan spreads the base model over the processes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch.distributed.tensor import DTensor

from pipelines.core.character.character_folder import read_character
from pipelines.core.jobs.memory_plan import MemoryPlan
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import CHARACTER_FOLDER, read_json
from pipelines.models import device_memory
from pipelines.train import _grpo, _sft, recorder
from pipelines.training import grpo, sft


def spread(plan: MemoryPlan) -> MemoryPlan:
    """The same plan with both stages sharded."""
    return replace(plan, sft=replace(plan.sft, sharded=True), grpo=replace(plan.grpo, sharded=True))


def noting_shares(run_dir: Path, shard: Callable[[Any], None]) -> Callable[[Any], None]:
    """`shard`, which also writes down how many frozen weights are whole here, and how many are shares."""

    def sharded(model: Any) -> None:
        shard(model)
        shares = [weight for weight in model.parameters() if isinstance(weight, DTensor)]
        held = sum(weight.to_local().numel() for weight in shares), sum(weight.numel() for weight in shares)
        trained = sum(isinstance(weight, DTensor) for weight in model.parameters() if weight.requires_grad)
        with (run_dir / f"shares-{os.environ['RANK']}.txt").open("a", encoding="utf-8") as file:
            file.write(f"{held[0]} {held[1]} {trained}\n")

    return sharded


def main(run_dir: Path, sharded: bool) -> None:
    """As `pipelines.train.train` does it."""
    if sharded:
        plan_for_this_device = device_memory.plan_for_this_device
        device_memory.plan_for_this_device = lambda *given: spread(plan_for_this_device(*given))
        sft.shard = grpo.shard = noting_shares(run_dir, sft.shard)
    recipe = Recipe.from_json(read_json(run_dir / "run.json")["recipe"])
    first = os.environ["RANK"] == "0"
    report = recorder(run_dir, lambda event: None) if first else lambda event: None
    character = read_character(run_dir / CHARACTER_FOLDER)
    _sft(run_dir, character, recipe, report)
    _grpo(run_dir, character, recipe, report)


if __name__ == "__main__":
    main(Path(sys.argv[1]), "sharded" in sys.argv[2:])
