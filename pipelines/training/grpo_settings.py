"""Stage 2's settings for TRL's trainer, and the random generators of its steps.

Both are functions of the recipe and of where a run stands, so a resumed run goes on as an unbroken one would.
"""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import PartialState
from trl import GRPOConfig

from pipelines.core.jobs.memory_plan import NO_SAVINGS, StepStrategy
from pipelines.core.jobs.recipe import Recipe
from pipelines.models.decoding.sampling import Generators


def step_generators(
    seed: int, step: int, prompt_numbers: list[str], device: torch.device, one_for_all: bool
) -> Generators:
    """Random generators of one step, seeded by step or prompt, so a resumed run samples what an unbroken one would.

    One per prompt makes samples independent of how prompts are spread over processes; one_for_all: one per step.
    """
    if one_for_all:
        return torch.Generator(device).manual_seed((seed * 1_000_003 + step) * 1009)
    return [torch.Generator(device).manual_seed((seed * 1_000_003 + int(number)) * 1009) for number in prompt_numbers]


def grpo_arguments(recipe: Recipe, output_dir: Path, strategy: StepStrategy = NO_SAVINGS) -> GRPOConfig:
    """TRL's settings: one update per rollout, AdamW at a constant rate, prompts in order, no outside reports."""
    per_process = -(-recipe.grpo_prompts_per_step // PartialState().num_processes)  # whole groups on every process
    return GRPOConfig(
        output_dir=str(output_dir),
        max_steps=recipe.grpo_steps,
        per_device_train_batch_size=per_process * recipe.grpo_group_size,
        num_generations=recipe.grpo_group_size,
        steps_per_generation=1,
        max_completion_length=recipe.max_new_tokens,
        learning_rate=recipe.grpo_learning_rate,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=1.0,
        beta=recipe.grpo_beta,
        loss_type="dapo",
        temperature=1.0,
        multi_objective_aggregation="normalize_then_sum",
        shuffle_dataset=False,
        seed=recipe.seed,
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        use_cpu=not torch.cuda.is_available(),
        activation_checkpointing=strategy.checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if strategy.checkpointing else None,
        dataloader_pin_memory=torch.cuda.is_available(),
        save_strategy="steps",
        save_steps=recipe.grpo_save_every,
        logging_strategy="steps",
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
    )
