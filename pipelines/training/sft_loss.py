"""Stage 1 without its trainer: which linears learn, the rows that are read, and the loss. Needs no trl.

The plan of rows depends on character and recipe alone, so a resumed run reads what an uninterrupted one would, and so
do the processes of one run. Letters: B rows, T positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from peft import LoraConfig
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character
from pipelines.core.jobs.recipe import Recipe
from pipelines.data.packing import ImageBank, PackedRow, pack_rows, render_samples, tokens_after_prefix
from pipelines.data.samples import sample_order, training_samples
from pipelines.models.interface import ModelSpec, UnifiedModel

PICTURE_LOSS_WEIGHT = 1.0
"""Weight of the codes' mean cross-entropy beside the words' (the paper: 1.0 beside 0.25)."""


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
        target_modules=f"(?:{model.language_targets})|(?:{model.image_targets})",
    )


def packed_sft_rows(
    character: Character,
    recipe: Recipe,
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    pictures: ImageBank,
    rows: int,
    row_tokens: int = 0,
) -> list[PackedRow]:
    """The first `rows` rows of the stage, a function of these arguments alone.

    row_tokens: positions of a row if not `sft_row_max_tokens`; a single longer sample is given the room it needs.
    """
    samples = [sample for sample in training_samples(character, recipe.seed) if recipe.task_shares.get(sample.task, 0)]
    if not samples:
        raise ValueError("nothing to learn from: the character has no interactions, facts or images in task_shares")
    weights = {"fact": recipe.fact_loss_weight, "text_to_image": recipe.scene_loss_weight}
    rendered = render_samples(samples, spec, tokenizer, pictures, recipe.sft_row_max_tokens, weights)
    order = sample_order(samples, tokens_after_prefix(rendered, spec), recipe.task_shares, recipe.seed)
    room = max(row_tokens or recipe.sft_row_max_tokens, *(len(item.ids) for item in rendered))
    return pack_rows(rendered, order, spec, room, recipe.sft_row_max_images, rows)
