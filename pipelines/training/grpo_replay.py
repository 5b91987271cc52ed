"""Stage 1's loss on replayed data, which every step of stage 2 adds against forgetting.

GRPO alone forgets what its rewards do not ask for: the way of speaking, and chat in general (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character
from pipelines.core.jobs.recipe import Recipe
from pipelines.data.packing import ImageBank, PackedRow, collate
from pipelines.data.replay_chat import general_replay_rows
from pipelines.models.interface import ModelSpec
from pipelines.models.presets import load_replay_figures
from pipelines.training.sft_loss import packed_sft_rows, sft_loss

GENERAL_CHAT_WEIGHT = 0.1
"""Weight of general chat beside stage 1's own samples in `ReplayLoss`. At 1 the model learned to chat in general, and
drew less (docs/log.md)."""


@dataclass(frozen=True)
class ReplayLoss:
    """Stage 1's loss on replayed data, added to every step against forgetting.

    `rows` are packed rows of stage 1's samples, one per step and process; `general_rows` chat without the character.
    """

    rows: list[PackedRow]
    general_rows: list[PackedRow]
    """Taken in turn."""
    images: ImageBank

    @classmethod
    def of(
        cls,
        character: Character,
        recipe: Recipe,
        spec: ModelSpec,
        tokenizer: PreTrainedTokenizerBase,
        images: ImageBank,
        count: int,
    ) -> ReplayLoss:
        """`count` rows of half of stage 1's size, in an order that stage 1 did not see."""
        reordered = replace(recipe, seed=recipe.seed + 1)
        half, figures = recipe.sft_row_max_tokens // 2, load_replay_figures(recipe.base)
        rows = packed_sft_rows(character, reordered, spec, tokenizer, images, count, half, figures)
        return cls(rows, general_replay_rows(spec, tokenizer), images)

    def losses(self, model: PeftModel, number: int, spec: ModelSpec, device: torch.device) -> Iterator[torch.Tensor]:
        """The loss on row `number`, then GENERAL_CHAT_WEIGHT times that on a row of general chat.

        One after the other, so that the caller's backward pass frees the activations of the first before the second.
        """
        general = self.general_rows[number % len(self.general_rows)]
        for row, weight in ((self.rows[number], 1.0), (general, GENERAL_CHAT_WEIGHT)):
            batch = collate([row], spec, self.images)
            batch = {key: value.to(device) for key, value in batch.items()}
            weights = batch.pop("loss_weights", None)
            yield weight * sft_loss(model(**batch), batch["labels"], spec.text_vocab, weights).loss
