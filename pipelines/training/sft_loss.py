"""Stage 1 without its trainer: which linears get a LoRA, the packed rows, and the loss. Needs no trl.

Which samples a row holds depends on character and recipe alone, so a resumed run reads the rows that an uninterrupted
one would, and so do the processes of one run. Dimension letters: B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import LoraConfig
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character
from pipelines.core.jobs.recipe import Recipe
from pipelines.data.chat_template import subject_of
from pipelines.data.image_rows import ImageRows
from pipelines.data.packing import ImageBank, PackedRow, pack_rows, render_samples, shared_prefix, tokens_after_prefix
from pipelines.data.samples import Sample, sample_order, training_samples
from pipelines.models.interface import ModelSpec, ReplayFigure, Scores, UnifiedModel

LONGEST_SAMPLE = 2048
"""Most positions of a conversation that is learned; rows are made longer to hold it (`pipelines.core.character.checks`
warns of longer ones)."""
SHORTEST_ROOM = 192
"""Positions behind the prefix of a row at least, however few conversations there are."""
IMAGE_LOSS_WEIGHT = 1.0
"""Weight of the images' mean loss beside the text's (UniCharacter, arXiv 2605.08129: 1.0 beside 0.25)."""


@dataclass(frozen=True)
class SftLoss:
    """The loss of one batch."""

    loss: torch.Tensor
    """Scalar with gradient."""
    words: float
    """Weighted mean of -log p over supervised text ids, nats; 0 when there are none."""
    codes: float
    """The same over image codes, unweighted; of latents the mean squared error of their velocity."""
    tokens: int
    """Supervised positions."""


def sft_loss(scores: Scores, labels: torch.Tensor, text_vocab: int, weights: torch.Tensor | None = None) -> SftLoss:
    """Weighted mean cross-entropy of text plus IMAGE_LOSS_WEIGHT times that of codes, or the error of latents.

    scores: of a forward with these labels (B, T); ids at or above `text_vocab` are codes; weights (B, T) of text ids.
    Text and codes are averaged apart: one image's 144 to 576 codes would drown the ten words of a reply.
    """
    logps = scores.logps
    is_code = labels >= text_vocab
    is_word = (labels >= 0) & ~is_code
    counted = is_word.float() if weights is None else is_word * weights  # (B, T)
    words = -(logps * counted).sum() / counted.sum().clamp(min=1)
    if scores.flow is None:
        codes = -(logps * is_code).sum() / is_code.sum().clamp(min=1)
    else:
        codes = scores.flow.sum() / max(1, len(scores.flow))
    return SftLoss(words + IMAGE_LOSS_WEIGHT * codes, words.item(), codes.item(), int((labels >= 0).sum()))


def lora_config(model: UnifiedModel, recipe: Recipe) -> LoraConfig:
    """LoRA on the linears that write text and on those that draw; PEFT keeps it in fp32 whatever the base's dtype."""
    patterns: dict[str, Any] = {}
    if recipe.image_lora_rank != recipe.lora_rank:
        alpha = round(recipe.lora_alpha * recipe.image_lora_rank / recipe.lora_rank)
        patterns = {
            "rank_pattern": {model.image_targets: recipe.image_lora_rank},
            "alpha_pattern": {model.image_targets: alpha},
        }
    return LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        **patterns,
        lora_dropout=0.0,
        revision=model.identity.revision or None,
        target_modules=f"(?:{model.language_targets})|(?:{model.image_targets})",
    )


def packed_sft_rows(
    character: Character,
    recipe: Recipe,
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    images: ImageBank,
    rows: int,
    row_tokens: int = 0,
    figures: Sequence[ReplayFigure] = (),
) -> list[PackedRow]:
    """The first `rows` rows of the stage, a function of these arguments alone.

    Each row of conversations is followed by `sft_image_rows` of drawings alone; with 0 its images are drawn in it.
    figures: who is drawn beside the character, `sft_replay_images` in a row of `sft_row_max_tokens`.
    row_tokens: positions of a row if not `sft_row_max_tokens`; a row may be longer to hold a single longer sample.
    """
    samples = [sample for sample in training_samples(character, recipe.seed) if recipe.task_shares.get(sample.task, 0)]
    if not samples:
        raise ValueError("nothing to learn from: the character has no interactions, facts or images in task_shares")
    weights = {"fact": recipe.fact_loss_weight, "text_to_image": recipe.scene_loss_weight}
    subject = subject_of(character, tokenizer)
    most = max(recipe.sft_row_max_tokens, LONGEST_SAMPLE)
    rendered = render_samples(samples, spec, tokenizer, images, most, weights, subject)
    if recipe.sft_image_rows:  # images are drawn in rows of their own; here they are only announced
        rendered = [replace(item, image_ids=(), image_turn_length=0, drawn_image="") for item in rendered]
    costs = tokens_after_prefix(rendered, spec)
    order = sample_order(samples, costs, recipe.task_shares, recipe.seed)
    longest = max(len(item.ids) + len(item.image_ids) for item in rendered)
    max_tokens = max(row_tokens or recipe.sft_row_max_tokens, longest)
    part = max_tokens / recipe.sft_row_max_tokens
    every = 1 + (recipe.sft_image_rows if images.codes else 0)  # one of so many rows has conversations
    text_rows = -(-rows // every)
    if recipe.sft_max_epochs:
        room = shared_prefix(rendered, spec) + _room_for_epochs(samples, costs, recipe, text_rows)
        max_tokens = max(longest, min(max_tokens, room))
    packed = pack_rows(rendered, order, spec, max_tokens, recipe.sft_row_max_images, text_rows)
    image_rows = ImageRows(character, images, figures, spec, tokenizer, recipe.seed)
    own, replayed = max(1, round(recipe.sft_row_images * part)), round(recipe.sft_replay_images * part)
    return [
        image_rows.complete(packed[number // every], number, 0 if recipe.sft_image_rows else replayed)
        if number % every == 0
        else image_rows.images_only(number, own, replayed)
        for number in range(rows)
    ]


def _room_for_epochs(samples: Sequence[Sample], costs: Sequence[int], recipe: Recipe, rows: int) -> int:
    # Positions behind the prefix of each of `rows` rows in which the conversations come `sft_max_epochs` times.
    once: dict[str, int] = {}
    for sample, cost in zip(samples, costs, strict=True):
        once[sample.task] = once.get(sample.task, 0) + cost
    if "dialogue" not in once:
        return recipe.sft_row_max_tokens
    share = recipe.task_shares["dialogue"] / sum(recipe.task_shares[task] for task in once)
    return max(SHORTEST_ROOM, round(recipe.sft_max_epochs * once["dialogue"] / (share * rows)))
