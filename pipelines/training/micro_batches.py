"""A model's forward over a batch in micro-batches, for steps whose activations would not fit together.

Each micro-batch is a segment of activation checkpointing: its forward runs again in the backward pass, so only one
micro-batch's activations are in memory at any moment. The numbers are those of the whole batch.
https://docs.pytorch.org/docs/stable/checkpoint.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from pipelines.models.interface import Scores


def micro_batches(score: Callable[..., Scores], rows: int) -> Callable[..., Scores]:
    """`score` called with at most `rows` rows of its tensors at a time; all tensors have the batch dimension first.

    `Scores.loss` is left out: the mean of the micro-batches' means is not the mean of the whole.
    """

    def scored(**batch: Any) -> Scores:
        tensors = {key: value for key, value in batch.items() if isinstance(value, torch.Tensor)}
        others = {key: value for key, value in batch.items() if key not in tensors}
        count = len(next(iter(tensors.values())))
        if count <= rows:
            return score(**batch)

        def micro_batch(start: int) -> tuple[torch.Tensor | None, torch.Tensor | None]:
            scores = score(**{key: value[start : start + rows] for key, value in tensors.items()}, **others)
            return scores.logps, scores.entropies

        starts = range(0, count, rows)
        if torch.is_grad_enabled():
            # Non-reentrant: the reentrant kind needs an input that requires a gradient, and ids have none.
            parts = [checkpoint(micro_batch, start, use_reentrant=False) for start in starts]
        else:
            parts = [micro_batch(start) for start in starts]
        logps, entropies = zip(*parts, strict=True)
        return Scores(logps=torch.cat(logps), entropies=torch.cat(entropies))

    return scored
