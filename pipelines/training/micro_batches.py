"""A model's forward over the rows of a batch a few at a time, for steps whose activations would not fit together.

Each part is computed again in the backward pass, so only one part's activations are held at any moment; the numbers
are those of the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from pipelines.models.interface import Scores


def micro_batches(score: Callable[..., Scores], rows: int) -> Callable[..., Scores]:
    """`score` called with at most `rows` rows of its tensors at a time; all tensors have the batch first.

    The loss is left out: a mean of parts would not be that of the whole.
    """

    def scored(**batch: Any) -> Scores:
        tensors = {key: value for key, value in batch.items() if isinstance(value, torch.Tensor)}
        others = {key: value for key, value in batch.items() if key not in tensors}
        count = len(next(iter(tensors.values())))
        if count <= rows:
            return score(**batch)

        def part(start: int) -> tuple[torch.Tensor | None, torch.Tensor | None]:
            found = score(**{key: value[start : start + rows] for key, value in tensors.items()}, **others)
            return found.logps, found.entropies

        starts = range(0, count, rows)
        if torch.is_grad_enabled():
            made = [checkpoint(part, start, use_reentrant=False) for start in starts]
        else:
            made = [part(start) for start in starts]
        return Scores(logps=torch.cat([logps for logps, _ in made]), entropies=torch.cat([more for _, more in made]))

    return scored
