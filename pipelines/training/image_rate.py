"""Which peak rate the image side of stage 1 learns at: a style that the base model does not know needs a higher one.

How well the model knows the style is the loss of the first rows of drawings before any training. With the starter it is
1.1 to 1.7 nats a code for figures of its own domain and 4.2 to 5.5 for other art (docs/log.md): there is room for one
limit between them. A rate that suits the first leaves the second half learned, and half-learned pictures are worse than
untrained ones; the rate of the second bends faces of the first.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from pipelines.core.jobs.recipe import Recipe
from pipelines.data.packing import ImageBank, PackedRow, collate
from pipelines.models.interface import UnifiedModel
from pipelines.training.sft_loss import sft_loss

FOREIGN_LOSS = 2.75
"""Mean cross-entropy of a code in nats from which on a style counts as foreign; replayed figures are in the mean."""
MEASURED_ROWS = 2
"""Rows of drawings that are looked at: eight pictures of the character."""


def image_learning_rate(model: UnifiedModel, recipe: Recipe, rows: Sequence[PackedRow], images: ImageBank) -> float:
    """The recipe's rate for the character's style; `rows` are those of the stage, `model` has no adapter yet."""
    if not recipe.foreign_image_learning_rate:
        return recipe.image_learning_rate
    loss = untrained_image_loss(model, rows, images)
    return recipe.foreign_image_learning_rate if loss > FOREIGN_LOSS else recipe.image_learning_rate


def untrained_image_loss(model: UnifiedModel, rows: Sequence[PackedRow], images: ImageBank) -> float:
    """Mean loss in nats of a code in the first rows of drawings; 0 where there are none."""
    text_vocab = model.spec.text_vocab
    drawings = (row for row in rows if row.drawn and all(label < 0 or label >= text_vocab for label in row.labels))
    losses = []
    for row in itertools.islice(drawings, MEASURED_ROWS):
        batch = {key: value.to(model.device) for key, value in collate([row], model.spec, images).items()}
        batch.pop("loss_weights", None)
        with torch.inference_mode():
            losses.append(sft_loss(model(**batch), batch["labels"], text_vocab).codes)
    return sum(losses) / len(losses) if losses else 0.0
