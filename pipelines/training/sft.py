"""Stage 1, Unified-SFT: one LoRA adapter learns the character's text and images together, on `trl.SFTTrainer`.

`run_sft` is the stage: samples -> rendered once -> packed rows, one row per optimizer step -> checkpoints.
Ours are the data (pipelines/data/samples.py, packing.py), the loss and the checkpoint folder; optimizer, schedule,
gradient clipping, PEFT, accelerate and resuming are the library's.
Departures from UniCharacter's stage 1 (arXiv 2605.08129): a LoRA of all linears instead of full fine-tuning; samples
are mixed by share (the paper weighs image and text groups 20000:1); whole conversations instead of single turns; text
and codes both by cross-entropy, each averaged over its own positions, so that 256 codes of an image cannot drown ten
words; a token of a fact's answer counts several times, since answers are three words long and conversations thirty.
Which samples a row holds depends on character and recipe alone, so a resumed run reads what an uninterrupted one would.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from torch import nn
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl import SFTConfig, SFTTrainer

from pipelines.core.character.character import Character
from pipelines.core.events import Report
from pipelines.core.jobs.memory_plan import NO_SAVINGS, StepStrategy
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import CHARACTER_FOLDER, CHECKPOINTS
from pipelines.data.image_rows import with_variants
from pipelines.data.packing import collate, encode_images
from pipelines.models.interface import ModelSpec, Scores, UnifiedModel
from pipelines.models.presets import load_replay_figures
from pipelines.training.fsdp import shard
from pipelines.training.image_rate import image_learning_rate
from pipelines.training.sft_loss import SftLoss, lora_config, packed_sft_rows, sft_loss
from pipelines.training.trainer_mixin import RunTrainerMixin, checkpoint_readme, quiet_libraries


@dataclass(frozen=True)
class SftResult:
    """What stage 1 leaves behind."""

    model: PeftModel
    checkpoints: tuple[str, ...]
    """Names of the checkpoints written by this call, oldest first."""
    steps: int
    """Steps done in all, those before a resume included."""
    tokens: int
    """Supervised positions (text and codes) of this call."""
    seconds: float
    """Wall clock of this call's training."""
    losses: tuple[float, ...]
    """Loss of each step of this call."""


class PackedTrainer(RunTrainerMixin, SFTTrainer):
    """`SFTTrainer` with our loss; `RunTrainerMixin` adds our checkpoint folders and events."""

    stage = "sft"

    def __init__(
        self, *, spec: ModelSpec, image_learning_rate: float = 0.0, image_targets: str = "", **kwargs: Any
    ) -> None:
        """`image_targets`: the Linears (`UnifiedModel.image_targets`) that learn at `image_learning_rate`."""
        super().__init__(**kwargs)
        self.image_learning_rate, self.image_targets = image_learning_rate, image_targets
        self.model_accepts_loss_kwargs = False  # else gradients would be summed over the rows of a step
        self.spec = spec
        self.losses: list[float] = []
        self.tokens = 0
        self.row_losses: list[SftLoss] = []
        self.last_time = time.perf_counter()
        self.add_callback(_AfterStep(self))

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW with a rate of its own for the image side, where the recipe has one."""
        made = self.optimizer is not None
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        if made or not self.image_learning_rate:
            return optimizer
        group = optimizer.param_groups[0]  # the library's second holds weights without decay, of which a LoRA has none
        target = re.compile(rf".*\.(?:{self.image_targets})\..*")
        image_side = {id(weight) for name, weight in self.model.named_parameters() if target.fullmatch(name)}
        own = [weight for weight in group["params"] if id(weight) in image_side]
        group["params"] = [weight for weight in group["params"] if id(weight) not in image_side]
        optimizer.add_param_group({**group, "params": own, "lr": self.image_learning_rate})
        return optimizer

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Scores]:
        """Our forward and `sft_loss`; the parameters are transformers' Trainer's."""
        weights = inputs.pop("loss_weights", None)
        scores: Scores = self.unwrap(model)(**inputs)
        row_loss = sft_loss(scores, inputs["labels"], self.spec.text_vocab, weights)
        self.row_losses.append(row_loss)
        return (row_loss.loss, scores) if return_outputs else row_loss.loss

    def after_step(self) -> None:
        """Count and report the step that just ended."""
        rows, now = self.row_losses, time.perf_counter()
        self.row_losses = []
        if not rows:
            raise RuntimeError("a step ended before any loss was computed")
        seconds, self.last_time = now - self.last_time, now
        tokens = sum(row.tokens for row in rows)
        self.tokens += tokens
        loss, words, codes = (
            sum(float(value) for value in values) / len(rows)
            for values in zip(*((row.loss.detach(), row.words, row.codes) for row in rows), strict=True)
        )
        self.losses.append(loss)
        # A row of conversations may have no codes to learn, and a row of images no words.
        kinds = {name: value for name, value in (("loss_words", words), ("loss_codes", codes)) if value}
        self.report_metrics(
            {"loss": loss, **kinds, "tokens": tokens, "seconds": seconds, "tokens_per_second": tokens / seconds}
        )


class _AfterStep(TrainerCallback):
    # Called at the end of an optimizer step, when all its rows (gradient accumulation) have been through the loss.
    def __init__(self, trainer: PackedTrainer) -> None:
        self.trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.after_step()


def sft_arguments(
    recipe: Recipe, output_dir: Path, batch_rows: int = 1, strategy: StepStrategy = NO_SAVINGS
) -> SFTConfig:
    """TRL's settings for this recipe: AdamW, 5 % linear warm-up, cosine, no logs, no reports, rows in order.

    `strategy`: whether to checkpoint activations, and how many rows are accumulated in a step.
    """
    return SFTConfig(
        output_dir=str(output_dir),
        max_steps=recipe.sft_steps,
        per_device_train_batch_size=batch_rows,
        gradient_accumulation_steps=strategy.parts,
        learning_rate=recipe.sft_learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, round(0.05 * recipe.sft_steps)),
        weight_decay=0.0,
        max_grad_norm=1.0,
        seed=recipe.seed,
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        use_cpu=not torch.cuda.is_available(),
        activation_checkpointing=strategy.checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if strategy.checkpointing else None,
        train_sampling_strategy="sequential",
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        save_strategy="steps",
        save_steps=recipe.sft_save_every,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def run_sft(
    model: UnifiedModel,
    tokenizer: PreTrainedTokenizerBase,
    character: Character,
    recipe: Recipe,
    run_dir: Path,
    report: Report,
    resume_from: Path | None = None,
    strategy: StepStrategy = NO_SAVINGS,
    start: Path | None = None,
) -> SftResult:
    """Train an adapter on `model` (which PEFT wraps in place) and save checkpoints under `run_dir`.

    Images are read from `run_dir`/character/images. resume_from: a checkpoint folder of this run; the result equals
    that of a run without the interruption. strategy: how a step is made to fit (`pipelines.core.jobs.memory_plan`).
    start: folder of an earlier run's adapter to go on from, with optimizer and schedule of its own; else a fresh one.
    Raises Stopped after saving when `report` does; ValueError when a sample does not fit.
    """
    folder = run_dir / CHARACTER_FOLDER
    images = with_variants(encode_images(model, character, folder), model, character, folder, recipe.seed)
    arguments = sft_arguments(recipe, run_dir / CHECKPOINTS, strategy=strategy)
    # A step is one row of sft_row_max_tokens, or `parts` rows as much shorter, accumulated; per process.
    count = recipe.sft_steps * arguments.world_size * strategy.parts
    row_tokens = -(-recipe.sft_row_max_tokens // strategy.parts)
    figures = load_replay_figures(recipe.base)
    rows = packed_sft_rows(character, recipe, model.spec, tokenizer, images, count, row_tokens, figures)
    image_rate = image_learning_rate(model, recipe, rows, images)
    started = time.perf_counter()
    with quiet_libraries():
        trainer = PackedTrainer(
            spec=model.spec,
            image_learning_rate=image_rate,
            image_targets=model.image_targets,
            images=images,
            run_dir=run_dir,
            report=report,
            readme=checkpoint_readme(character, recipe, "Unified-SFT"),
            model=model if start is None else PeftModel.from_pretrained(model, str(start), is_trainable=True),
            args=arguments,
            data_collator=lambda items: collate([rows[item["row"]] for item in items], model.spec, images),
            train_dataset=Dataset.from_dict({"row": list(range(len(rows)))}),
            processing_class=tokenizer,
            peft_config=lora_config(model, recipe) if start is None else None,
        )
        if strategy.sharded:
            shard(trainer.model)
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    if trainer.stopped is not None:
        raise trainer.stopped
    return SftResult(
        model=trainer.model,
        checkpoints=tuple(trainer.saved),
        steps=trainer.state.global_step,
        tokens=trainer.tokens,
        seconds=time.perf_counter() - started,
        losses=tuple(trainer.losses),
    )
