"""Stage 2 at toy size: a recipe, a model with an adapter that draws often, and a whole stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model

from pipelines.core.character.character import Character
from pipelines.core.jobs.recipe import Recipe
from pipelines.data.reply_form import WordsProcessor
from pipelines.models.presets import load
from pipelines.rewards.starter_critic import toy_critic
from pipelines.training.grpo import GrpoResult, make_trainer, run_grpo
from pipelines.training.sft_loss import lora_config

RECIPE = Recipe(
    base="starter-toy",
    grpo_steps=4,
    grpo_save_every=2,
    grpo_prompts_per_step=2,
    grpo_group_size=4,
    grpo_learning_rate=1e-2,
    grpo_beta=0.05,
    max_new_tokens=24,
    lora_rank=2,
    lora_alpha=4,
)

BIAS = 5.0
"""Added to the logit of the id that announces an image: of some 260, it is then chosen in a third of all replies."""


def eager_to_draw(preset: str, ending: float = 0.0) -> tuple[Any, Any]:
    """A toy whose random head picks the id that announces an image often, so that rollouts have some.

    ending: added to the logit that ends a turn, since an image only comes behind words that have ended.
    """
    model, tokenizer = load(preset)
    processor = WordsProcessor(model.spec, tokenizer, ["auto"], RECIPE.max_new_tokens)
    bias = torch.zeros(model.spec.text_vocab)
    bias[processor.mark[processor.decisive]] = BIAS
    bias[model.spec.eot_id] = ending
    model.get_output_embeddings().register_forward_hook(lambda head, given, made: made + bias)
    return model, tokenizer


def adapted(preset: str) -> tuple[PeftModel, Any]:
    """The toy with an adapter that does something, as after stage 1."""
    model, tokenizer = eager_to_draw(preset)
    torch.manual_seed(3)
    adapted_model = get_peft_model(model, lora_config(model, RECIPE))
    with torch.no_grad():
        for name, weight in adapted_model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.02)
    return adapted_model, tokenizer


def train_grpo(
    toy: tuple[PeftModel, Any],
    mira: Character,
    run_dir: Path,
    report: Any,
    resume_from: Path | None = None,
    recipe: Recipe = RECIPE,
) -> GrpoResult:
    model, tokenizer = toy
    return run_grpo(make_trainer(model, tokenizer, mira, recipe, run_dir, toy_critic(0), report), resume_from)
