"""The build's one loop: budget and schedule, stopping and going on, states of other ages; and what a folder keeps."""

from __future__ import annotations

import math

import pytest
import torch

from pipelines.starter_build.build_config import SIZES, BuildConfig, build_config
from pipelines.starter_build.build_loop import (
    Budget,
    BuildPart,
    Progress,
    cosine_decay,
    hold_half_then_decay,
    hold_then_decay,
    linear_decay,
    read_state,
    shuffled_batches,
    train_for,
)


@pytest.fixture
def part(tmp_path):
    """A line to be found: y = 2x."""
    torch.manual_seed(0)
    line = torch.nn.Linear(1, 1)

    def compute_loss(progress: Progress) -> torch.Tensor:
        x = torch.randn(8, 1)
        progress.part_state["seen"] = progress.part_state.get("seen", 0) + 8
        return (line(x) - 2 * x).square().mean()

    return BuildPart("line", {"line": line}, compute_loss, tmp_path / "deep" / "state.pt", 0.1)


def test_budget_is_spent_and_a_larger_one_goes_on(part) -> None:
    first = train_for(part, Budget(0.3))
    assert first.seconds >= 0.3 and first.fraction == 1 and first.step > 3
    kept = read_state(part.state_file)
    assert set(kept) == {"line", "optimiser", "step", "spent", "mean", "more"}
    assert kept["more"]["seen"] == 8 * first.step
    with torch.no_grad():
        part.modules["line"].weight.zero_()  # what is restored comes from the state
    again = train_for(part, Budget(0.6))
    assert again.step > first.step and again.part_state["seen"] == 8 * again.step
    assert part.modules["line"].weight.item() == pytest.approx(2, abs=0.2)
    assert train_for(part, Budget(0.6)).step == again.step  # nothing left to spend


def test_one_call_may_stop_earlier_while_the_schedule_looks_at_the_whole_budget(part) -> None:
    stopped = train_for(part, Budget(20, stop_after=0.2))
    assert 0.2 <= stopped.seconds < 2 and stopped.fraction == pytest.approx(stopped.seconds / 20)


def test_a_state_that_travelled_has_no_optimiser_and_half_precision(part) -> None:
    done = train_for(part, Budget(0.2))
    state = read_state(part.state_file)
    del state["optimiser"]
    state["line"] = {name: value.bfloat16() for name, value in state["line"].items()}
    torch.save(state, part.state_file)
    assert train_for(part, Budget(0.4)).step > done.step
    assert part.modules["line"].weight.dtype == torch.float32


def test_a_module_that_a_state_does_not_know_starts_anew(part) -> None:
    done = train_for(part, Budget(0.2))
    part.modules["second"] = torch.nn.Linear(1, 1)
    again = train_for(part, Budget(0.4))
    assert again.step > done.step and "second" in read_state(part.state_file)


def test_states_of_the_tokenizers_own_loop_are_read(tmp_path) -> None:
    old = {"step": 7, "elapsed": 3.5, "rounding": True, "counts": torch.ones(2), "sums": torch.ones(2, 1)}
    torch.save({"model": {}, "optimizer": {"state": {}}, "state": old}, tmp_path / "state.pt")
    state = read_state(tmp_path / "state.pt")
    assert (state["step"], state["spent"], state["more"]["rounding"]) == (7, 3.5, True)
    assert "optimiser" in state and read_state(tmp_path / "none.pt") == {}


def test_checks_are_told_and_not_counted(part, monkeypatch, capsys) -> None:
    monkeypatch.setattr("pipelines.starter_build.build_loop.SAVE_EVERY_S", 0.05)
    part.evaluate = lambda: "fine"
    train_for(part, Budget(0.2))
    assert "line check fine" in capsys.readouterr().out


@pytest.mark.parametrize("schedule", [linear_decay, cosine_decay, hold_then_decay, hold_half_then_decay])
def test_rates_fall_from_one_to_almost_nothing(schedule) -> None:
    values = [schedule(tenth / 10) for tenth in range(11)]
    assert values[0] == 1 and 0.01 <= values[-1] <= 0.05
    assert values == sorted(values, reverse=True)


def test_an_epoch_has_every_row_once() -> None:
    batches = shuffled_batches(10, 4, seed=0)
    rows = [row for _ in range(2) for row in next(batches).tolist()]
    assert len(set(rows)) == 8
    assert sorted(next(shuffled_batches(3, 4, seed=0)).tolist()) == [0, 1, 2]


def test_a_folder_keeps_what_it_was_begun_with(tmp_path) -> None:
    assert build_config(tmp_path) == BuildConfig() and not (tmp_path / "build.json").exists()
    assert build_config(tmp_path, size="gpu") == BuildConfig("gpu", "wide", True, 4)
    assert build_config(tmp_path) == BuildConfig("gpu", "wide", True)
    assert build_config(tmp_path, stream=False).stream is False
    with pytest.raises(ValueError, match="begun with --size gpu, not cpu"):
        build_config(tmp_path, size="cpu")
    assert build_config(tmp_path).domain.styles[0] == "avataaars"
    # As the folder of the shipped weights, which learned up to two references.
    (tmp_path / "build.json").write_text('{"size": "gpu", "styles": "wide", "stream": true}', encoding="utf-8")
    assert build_config(tmp_path).build_size.references["max_images"] == 2


def test_the_large_size_fits_its_weights_into_66_mb() -> None:
    from pipelines.evaluation.attribute_classifier import AttributeClassifier, AttributeClassifierConfig
    from pipelines.models.starter.config import StarterConfig
    from pipelines.models.starter.model import StarterModel, own_settings
    from pipelines.models.starter.vq import ImageTokenizerConfig
    from pipelines.rewards.starter_critic import StarterCritic, StarterCriticConfig

    size = SIZES["gpu"]
    vq = ImageTokenizerConfig(px=size.px, **size.tokenizer)
    words = {
        "vocab_size": 64,
        "hidden_size": 576,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 9,
        "tie_word_embeddings": True,
    }
    image_expert = size.image_expert | {
        "vocab_size": vq.codebook_size,
        "max_position_embeddings": 512,
        "pad_token_id": None,
    }
    with torch.device("meta"):
        model = StarterModel(
            StarterConfig(words, image_expert, own_settings(vq), size.vision_tower, size.references, context_layer=1)
        )
        critic = StarterCritic(StarterCriticConfig(**size.critic))
        AttributeClassifier(AttributeClassifierConfig(**size.classifier))
    parts = [model.vq, model.eyes, model.picture, critic]
    total = 2 * sum(math.prod(value.shape) for part in parts for value in part.parameters())
    assert model.spec.image_tokens == 256 and total < 66e6


def test_the_command_line_refuses_in_plain_words(tmp_path, capsys) -> None:
    from pipelines.starter_build.build import main

    build_config(tmp_path, size="toy")
    with pytest.raises(SystemExit) as refused:
        main(["pictures", "--out", str(tmp_path), "--size", "cpu"])
    assert refused.value.code == 2 and "begun with --size toy, not cpu" in capsys.readouterr().err
    assert main(["pictures", "--out", str(tmp_path), "--stream", "--count", "400", "--processes", "1"]) == 0
    assert '"pictures": 20' in capsys.readouterr().out
    assert (tmp_path / "pictures" / "held_out" / "pictures.npy").exists()
    assert not (tmp_path / "pictures" / "pictures.npy").exists()
