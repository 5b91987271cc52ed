"""The training benchmark on toys: its fields, and that it measures what it says; ratios of toys mean nothing."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.benchmarks import sft
from pipelines.training.sft import PackedTrainer


@pytest.mark.parametrize("base", ["starter-toy", pytest.param("janus-toy", marks=pytest.mark.slow)])
def test_bench_sft(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sft, "STEPS", 1)
    learned: list[int] = []
    train = PackedTrainer.train

    def counted(trainer: PackedTrainer, *args: Any, **named: Any) -> Any:
        result = train(trainer, *args, **named)
        learned.append(trainer.tokens)
        assert trainer.state.global_step == sft.STEPS
        return result

    monkeypatch.setattr(PackedTrainer, "train", counted)
    answer = sft.bench_sft(base, repeats=1)
    assert answer.keys() == {"name", "ours", "plain", "unit", "ratio_median", "ratios"}
    assert (answer["name"], answer["unit"]) == ("sft", "learned tokens a second")
    assert answer["ours"] > 0 and answer["ratio_median"] == pytest.approx(answer["ours"] / answer["plain"])
    # One of each that is not counted and one pair. Both learn about the same: plain's batch is ours in whole samples.
    ours, plain, *again = learned
    assert again == [ours, plain] and 0.7 < ours / plain < 1.4
