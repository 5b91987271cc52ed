"""Stage 1, Unified-SFT: one LoRA adapter learns the character's words and pictures together, on `trl.SFTTrainer`.

`run_sft` is the stage: samples -> rendered once -> packed rows -> one row is one optimiser step -> checkpoints.
Ours are the data (pipelines/data.py, pipelines/packing.py), the loss and the checkpoint folder; optimiser, schedule,
clipping, PEFT, accelerate and resuming are the library's.
Departures from UniCharacter's stage 1: a LoRA of all linears instead of full fine-tuning; samples are mixed by share
(the paper weighs picture and word groups 20000:1); whole conversations instead of single turns; codes and words both
by cross-entropy, each averaged over its own positions, so that 144 codes a picture cannot drown ten words; a word
of a fact's answer counts several times, since answers are three words long and conversations thirty.
The plan of rows depends on character and recipe alone, so a resumed run reads what an uninterrupted one would.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl import SFTConfig, SFTTrainer

from pipelines.checkpoints import RunTrainer, card, quiet_libraries
from pipelines.core.characters import Character
from pipelines.core.events import Report
from pipelines.core.jobs import Recipe
from pipelines.core.runs import CHARACTER_FOLDER, CHECKPOINTS
from pipelines.data import sample_order, training_samples
from pipelines.models.family import Shape, UnifiedModel
from pipelines.packing import PackedRow, Pictures, collate, encode_images, own_tokens, pack_rows, render_samples

PICTURE_LOSS_WEIGHT = 1.0
"""Weight of the codes' mean cross-entropy beside the words' (the paper: 1.0 beside 0.25)."""


@dataclass(frozen=True)
class SftResult:
    """What stage 1 leaves behind."""

    model: PeftModel
    checkpoints: tuple[str, ...]
    """Names of the checkpoints written by this call, oldest first."""
    steps: int
    """Steps done in all, those before a resume included."""
    tokens: int
    """Learned positions (words and codes) of this call."""
    seconds: float
    """Wall clock of this call's training."""
    losses: tuple[float, ...]
    """Loss of each step of this call."""


@dataclass(frozen=True)
class SftLoss:
    """The loss of one batch."""

    loss: torch.Tensor
    """Scalar with gradient."""
    words: float
    """Weighted mean of -log p over learned text ids, nats; 0 when there are none."""
    codes: float
    """The same over picture codes."""
    tokens: int
    """Learned positions."""


def sft_loss(
    logps: torch.Tensor, labels: torch.Tensor, text_vocab: int, weights: torch.Tensor | None = None
) -> SftLoss:
    """Words' weighted mean plus PICTURE_LOSS_WEIGHT times codes' mean cross-entropy.

    logps (B, T), 0 where labels (B, T) are -100; ids at or above `text_vocab` are codes; weights (B, T) of words.
    """
    is_code = labels >= text_vocab
    is_word = (labels >= 0) & ~is_code
    counted = is_word.float() if weights is None else is_word * weights
    words = -(logps * counted).sum() / counted.sum().clamp(min=1)
    codes = -(logps * is_code).sum() / is_code.sum().clamp(min=1)
    return SftLoss(words + PICTURE_LOSS_WEIGHT * codes, words.item(), codes.item(), int((labels >= 0).sum()))


def lora_config(model: UnifiedModel, recipe: Recipe) -> LoraConfig:
    """LoRA on the linears of words and pictures alike; fp32 whatever the base model is kept in."""
    return LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=0.0,
        target_modules=f"(?:{model.language_targets})|(?:{model.picture_targets})",
    )


def planned_rows(
    character: Character,
    recipe: Recipe,
    shape: Shape,
    tokenizer: PreTrainedTokenizerBase,
    pictures: Pictures,
    rows: int,
    row_tokens: int = 0,
) -> list[PackedRow]:
    """The first `rows` rows of the stage, a function of these arguments alone.

    row_tokens: positions of a row if not `sft_step_tokens`; a single longer sample is given the room it needs.
    """
    samples = [sample for sample in training_samples(character, recipe.seed) if recipe.task_shares.get(sample.task, 0)]
    if not samples:
        raise ValueError("nothing to learn from: the character has no interactions, facts or images in task_shares")
    rendered = render_samples(
        samples, shape, tokenizer, pictures, recipe.sft_step_tokens, recipe.fact_loss_weight
    )
    order = sample_order(samples, own_tokens(rendered, shape), recipe.task_shares, recipe.seed)
    room = max(row_tokens or recipe.sft_step_tokens, *(len(item.ids) for item in rendered))
    return pack_rows(rendered, order, shape, room, recipe.sft_step_pictures, rows)


class PackedTrainer(RunTrainer, SFTTrainer):
    """`SFTTrainer` with our loss; `RunTrainer` gives it our checkpoint folders and events."""

    stage = "sft"

    def __init__(self, *, shape: Shape, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shape = shape
        self.losses: list[float] = []
        self.tokens = 0
        self.last: SftLoss | None = None
        self.last_time = time.perf_counter()
        self.add_callback(_AfterStep(self))

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Our forward and `sft_loss`; the parameters are the library's."""
        weights = inputs.pop("loss_weights", None)
        scores = model(**inputs)
        self.last = sft_loss(scores.logps, inputs["labels"], self.shape.text_vocab, weights)
        return (self.last.loss, scores) if return_outputs else self.last.loss

    def after_step(self) -> None:
        """Count and report the step that just ended."""
        last, now = self.last, time.perf_counter()
        if last is None:
            raise RuntimeError("a step ended before any loss was computed")
        seconds, self.last_time = now - self.last_time, now
        self.tokens += last.tokens
        self.losses.append(last.loss.item())
        metrics = {"loss": self.losses[-1], "loss_words": last.words, "loss_codes": last.codes}
        self.tell({**metrics, "tokens": last.tokens, "seconds": seconds, "tokens_per_second": last.tokens / seconds})


class _AfterStep(TrainerCallback):
    # The library's hook at the end of an optimiser step.
    def __init__(self, trainer: PackedTrainer) -> None:
        self.trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.after_step()


def sft_arguments(recipe: Recipe, scratch: Path, batch_rows: int = 1) -> SFTConfig:
    """The library's settings for this recipe: AdamW, 5 % linear warm-up, cosine, no logs, no reports, rows in order."""
    return SFTConfig(
        output_dir=str(scratch),
        max_steps=recipe.sft_steps,
        per_device_train_batch_size=batch_rows,
        learning_rate=recipe.sft_learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, round(0.05 * recipe.sft_steps)),
        weight_decay=0.0,
        max_grad_norm=1.0,
        seed=recipe.seed,
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        use_cpu=not torch.cuda.is_available(),
        activation_checkpointing=False,
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
) -> SftResult:
    """Train a fresh adapter on `model` (which is wrapped in place) and save checkpoints under `run_dir`.

    The pictures are those of `run_dir`/character/images. resume_from: a checkpoint folder of this run; the result is
    that of a run without the break.
    Raises Stopped after saving when `report` does; ValueError when a sample does not fit.
    """
    pictures = encode_images(model, character, run_dir / CHARACTER_FOLDER)
    arguments = sft_arguments(recipe, run_dir / CHECKPOINTS)
    rows = planned_rows(character, recipe, model.shape, tokenizer, pictures, recipe.sft_steps * arguments.world_size)
    started = time.perf_counter()
    with quiet_libraries():
        trainer = PackedTrainer(
            shape=model.shape,
            run_dir=run_dir,
            report=report,
            card=card(character, recipe, "Unified-SFT"),
            model=model,
            args=arguments,
            data_collator=lambda items: collate([rows[item["row"]] for item in items], model.shape, pictures.pixels),
            train_dataset=Dataset.from_dict({"row": list(range(len(rows)))}),
            processing_class=tokenizer,
            peft_config=lora_config(model, recipe),
        )
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
