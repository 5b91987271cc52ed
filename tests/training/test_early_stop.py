"""When a stage ends by itself; with the trainers it is in test_sft.py and test_grpo.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pipelines.core.events import Event, Stopped
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import adapters, ends_stage_early, read_events, stage_and_step
from pipelines.train import prepare_run, train
from pipelines.training.early_stop import KeptWeights, RewardWatch
from tests.toys import TOY_BASE, TOY_STEPS


def told(rewards: list[float]) -> list[str]:
    watch = RewardWatch()
    return [watch.add(reward) for reward in rewards]


def test_windows_of_five_steps_are_compared() -> None:
    assert told([0.4] * 5) == ["", "", "", "", "best"]
    assert told([0.4] * 4 + [0.0] + [0.4] * 5) == [""] * 4 + ["best", "", "", "", "", "best"]  # one bad step is noise
    assert told([0.6] * 5 + [0.2] * 4) == [""] * 4 + ["best", "", "", "", "collapsed"]
    assert told([0.6] * 5 + [0.31] * 9) == [""] * 4 + ["best"] + [""] * 9


def test_rewards_below_zero_are_no_measure() -> None:
    assert told([-0.5] * 8) == [""] * 8


def test_kept_weights_come_back_exactly() -> None:
    layer = nn.Linear(3, 2)
    weights, kept = list(layer.parameters()), KeptWeights()
    kept.put_back(weights)  # nothing kept yet
    before = [weight.detach().clone() for weight in weights]
    kept.keep(weights)
    with torch.no_grad():
        layer.weight.fill_(float("nan"))
    kept.put_back(weights)
    assert all(torch.equal(one, other) for one, other in zip(weights, before, strict=True))


def test_a_stage_that_ended_early_is_over_for_a_resumed_run(toy_character: Path, tmp_path: Path) -> None:
    """Stopped after stage 1 ended by itself, the run goes on with stage 2 and measures both."""
    run_dir = tmp_path / "run"
    broken = {**TOY_STEPS, "sft_learning_rate": 1e9, "sft_steps": 8, "sft_save_every": 8}
    prepare_run(run_dir, toy_character, Recipe.for_effort(TOY_BASE, "quick", **broken))

    def stop_when_it_ends(event: Event) -> None:
        if "ended_early" in event.payload:
            raise Stopped

    with pytest.raises(Stopped):
        train(run_dir, stop_when_it_ends)
    (ended,) = adapters(run_dir)
    assert ends_stage_early(run_dir, ended) and stage_and_step(ended)[1] < 8
    result = train(run_dir)
    assert [one["name"] for one in result["checkpoints"]] == ["base", ended, "grpo-000001", "grpo-000002"]
    assert not [
        event for event in read_events(run_dir) if event.stage == "sft" and event.step > stage_and_step(ended)[1]
    ]
