"""The memory plan: its numbers are the real classes', its ways fit what they say, larger memory is never slower."""

from __future__ import annotations

import re

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from pipelines.core.jobs.memory_plan import (
    GIB,
    MOST_SAVINGS,
    SFT_PARTS,
    STRATEGIES,
    USABLE,
    StepStrategy,
    base_choices,
    need_of,
    plan_for,
    smaller_plan,
)
from pipelines.core.jobs.model_specs import LARGE
from pipelines.core.jobs.recipe import Recipe
from pipelines.models.bagel.layout import config_7b
from pipelines.models.bagel.unified import UnifiedBagel
from pipelines.models.janus import JanusModel
from pipelines.models.janus_random_weights import SIZES, layout_config

SIZE_OF = {"janus-pro-1b": "1b", "janus-pro-7b": "7b"}
MEMORIES = (8, 12, 16, 24, 40, 80)


@pytest.mark.parametrize("base", list(LARGE))
def test_the_numbers_are_those_of_the_real_class(base: str) -> None:
    known = LARGE[base]
    with torch.device("meta"):
        model = UnifiedBagel(config_7b()) if known.latents else JanusModel(layout_config(SIZES[SIZE_OF[base]]))
        targets = f"(?:{model.language_targets})|(?:{model.image_targets})"
        four_bits = targets if known.latents else model.language_targets
        linears = [m for name, m in model.named_modules() if re.fullmatch(four_bits, name)]
        assert known.weights == sum(weight.numel() for weight in model.parameters())
        assert known.linears == sum(linear.weight.numel() for linear in linears)
        assert all(isinstance(linear, nn.Linear) for linear in linears)
        text = model.config.decoder_config() if known.latents else model.config.text_config
        assert (known.hidden, known.layers, known.inner) == (
            text.hidden_size,
            text.num_hidden_layers,
            text.intermediate_size,
        )
        image_tokens = model.spec.image_tokens if known.latents else SIZES[SIZE_OF[base]].image_tokens
        assert (known.vocab, known.image_tokens) == (text.vocab_size, image_tokens)
        assert known.keys == text.num_key_value_heads * text.head_dim
        adapted = get_peft_model(model, LoraConfig(r=1, target_modules=targets))
        assert known.lora_width == sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)


@pytest.mark.parametrize("effort", ["quick", "standard", "thorough"])
@pytest.mark.parametrize("base", list(LARGE))
def test_more_memory_never_means_a_slower_way(base: str, effort: str) -> None:
    recipe = Recipe.for_effort(base, effort)
    plans = [plan_for(base, recipe, memory * GIB) for memory in MEMORIES]
    slowness = [(not plan.fits, -plan.bits, STRATEGIES.index(plan.sft) + STRATEGIES.index(plan.grpo)) for plan in plans]
    assert slowness == sorted(slowness, reverse=True)
    for memory, plan in zip(MEMORIES, plans, strict=True):
        assert plan.fits == (plan.need.total <= USABLE * memory * GIB)
        assert plan.sft.parts <= SFT_PARTS


def test_what_fits_where_is_what_the_documents_say() -> None:
    choices = {memory: base_choices(memory * GIB, True) for memory in MEMORIES}
    fits = {base: [memory for memory in MEMORIES if choices[memory][base].fits] for base in choices[8]}
    assert fits == {
        "starter": [*MEMORIES],
        "janus-pro-1b": [12, 16, 24, 40, 80],
        "janus-pro-7b": [16, 24, 40, 80],
        "bagel-7b": [24, 40, 80],
    }
    assert [choices[memory]["bagel-7b"].bits for memory in (24, 40, 80)] == [4, 4, 16]
    assert base_choices(48 * GIB, True)["bagel-7b"].bits == 16
    assert choices[16]["janus-pro-7b"].bits == choices[24]["janus-pro-7b"].bits == 4
    assert choices[40]["janus-pro-7b"].bits == 16
    quick = base_choices(8 * GIB, True, "quick")["janus-pro-1b"]
    assert quick.fits and quick.bits == 4
    assert "4-bit base" in quick.words and "GB" in quick.words


def test_a_cpu_keeps_whole_weights_and_replies_need_less() -> None:
    recipe = Recipe.for_effort("janus-pro-1b", "quick")
    there = plan_for("janus-pro-1b", recipe, 32 * GIB, on_gpu=False)
    assert there.fits and there.bits == 16 and there.need.weights == 4 * LARGE["janus-pro-1b"].weights
    assert not plan_for("janus-pro-7b", Recipe.for_effort("janus-pro-7b", "quick"), 32 * GIB, on_gpu=False).fits
    reply = plan_for("janus-pro-1b", recipe, 12 * GIB, replying=True)
    assert reply.fits and reply.need.optimiser == 0 and reply.need.total < there.need.total


def test_several_gpus_share_a_base_that_fits_none_of_them_whole() -> None:
    recipe = Recipe.for_effort("janus-pro-7b", "standard")
    alone, pair = (plan_for("janus-pro-7b", recipe, 24 * GIB, gpus=gpus) for gpus in (1, 2))
    assert alone.bits == 4 and not alone.sft.sharded
    assert pair.fits and pair.bits == 16 and pair.sft.sharded and pair.grpo.sharded
    assert "spread over the GPUs" in pair.words
    size = LARGE["janus-pro-7b"]
    plain, shared = (need_of(size, recipe, "sft", 16, StepStrategy(True, 2, way), gpus=4) for way in (False, True))
    layers = 2 * size.linears
    assert plain.weights - shared.weights == pytest.approx(layers * (3 / 4 - 2 / 30))
    assert shared.total < plain.total
    # Samples are drawn with everything in place.
    drawing = need_of(size, recipe, "grpo", 16, StepStrategy(True, 2, True), gpus=4)
    assert drawing.weights + drawing.cache > plain.weights
    latents = plan_for("bagel-7b", Recipe.for_effort("bagel-7b", "standard"), 24 * GIB, gpus=2)
    assert latents.fits and latents.bits == 4 and not latents.sft.sharded
    # Where it fits whole it is not spread, and an answer never is.
    assert not plan_for("janus-pro-7b", recipe, 40 * GIB, gpus=2).sft.sharded
    assert plan_for("janus-pro-7b", recipe, 12 * GIB, replying=True, gpus=2).bits == 4


def test_the_small_ones_are_taken_as_measured() -> None:
    assert plan_for("starter", Recipe(), 5e9).fits and not plan_for("starter", Recipe(), 3e9).fits
    assert "needs 4.0 GB" in plan_for("starter", Recipe(), 3e9).words
    assert plan_for("something-new", Recipe(), 1e9).fits  # nothing is known, so nothing is refused


def test_a_plan_becomes_smaller_step_by_step() -> None:
    large = plan_for("janus-pro-1b", Recipe.for_effort("janus-pro-1b", "standard"), 800 * GIB)
    ways = [smaller_plan(large, steps).grpo for steps in range(MOST_SAVINGS + 1)]
    assert ways == list(STRATEGIES), "from the fastest way to the smallest"
    assert [smaller_plan(large, steps).sft.parts for steps in range(MOST_SAVINGS + 1)] == [1, 1, 2, 2, 2]
    small = plan_for("starter", Recipe.for_effort("starter", "quick"), 8 * GIB, on_gpu=False)
    assert smaller_plan(small, 0) == small
    first, last = smaller_plan(small, 1), smaller_plan(small, MOST_SAVINGS)
    assert (first.sft, first.grpo) == (StepStrategy(parts=2), StepStrategy(parts=2)), "it cannot compute them again"
    assert (last.sft.parts, last.grpo.parts) == (2, 8)
