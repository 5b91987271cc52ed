"""Steps that are made in parts to fit a small memory: the numbers of the whole step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipelines.core.character.character import Character
from pipelines.core.jobs.memory_plan import StepStrategy
from pipelines.core.jobs.recipe import Recipe
from pipelines.data.samples import grpo_prompts
from pipelines.models.interface import Scores
from pipelines.models.presets import load
from pipelines.rewards.judge import load_judge
from pipelines.training.micro_batches import micro_batches
from pipelines.training.rollout import sample_rollouts
from pipelines.training.sft import run_sft

RECIPE = Recipe(
    base="janus-toy",
    sft_steps=3,
    sft_save_every=3,
    sft_learning_rate=2e-2,
    sft_row_max_tokens=1400,
    sft_row_max_images=3,
)


@pytest.mark.parametrize("learning", [True, False])
def test_rows_in_parts_give_the_values_and_gradients_of_all_together(learning: bool) -> None:
    weight = torch.tensor(2.0, requires_grad=True)
    given = torch.arange(10.0).view(5, 2)

    def score(values: torch.Tensor, extra: int) -> Scores:
        return Scores(logps=values * weight**extra, entropies=values.detach())

    with torch.set_grad_enabled(learning):
        whole, parts = score(given, extra=3), micro_batches(score, 2)(values=given, extra=3)
    assert torch.equal(whole.logps, parts.logps) and torch.equal(whole.entropies, parts.entropies)
    if learning:
        one, other = (torch.autograd.grad(found.logps.sum(), weight)[0] for found in (whole, parts))
        assert torch.allclose(one, other)


def test_a_step_of_two_rows_and_activations_computed_again(new_run_dir, mira: Character) -> None:
    found = {}
    for again in (False, True):
        run_dir: Path = new_run_dir()
        torch.manual_seed(0)
        model, tokenizer = load("janus-toy")
        result = run_sft(model, tokenizer, mira, RECIPE, run_dir, lambda event: None, strategy=StepStrategy(again, 2))
        assert result.steps == 3 and len(result.losses) == 3
        found[again] = load_file(run_dir / "checkpoints" / "sft-000003" / "adapter_model.safetensors"), result.losses
    assert found[False][1] == pytest.approx(found[True][1], abs=1e-5)
    assert all(torch.allclose(found[False][0][name], found[True][0][name], atol=1e-5) for name in found[True][0])


def test_samples_drawn_in_parts_are_whole_replies(mira: Character) -> None:
    model, tokenizer = load("janus-toy")
    recipe = Recipe(base="janus-toy", max_new_tokens=12, grpo_group_size=3)
    prompts = grpo_prompts(mira, 2, 0)
    for parts in (1, 2, 4):
        generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
        made = sample_rollouts(model, tokenizer, load_judge("janus-toy"), prompts, 3, recipe, generators, parts)
        assert len(made.texts) == 6 and made.group == [0, 0, 0, 1, 1, 1]
        for ids, logps, features in zip(made.completion_ids, made.logprobs, made.image_features, strict=True):
            assert len(ids) == len(logps)
            codes = sum(token >= model.spec.text_vocab for token in ids)
            assert codes == (0 if features is None else model.spec.image_tokens)
