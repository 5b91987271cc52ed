"""When a stage ends before its last step, and which weights it ends with.

Two things end it: gradients that are not numbers, which one optimizer step would write into every weight of the
adapter (the last weights that gave numbers are put back), and a reward that collapses in stage 2 (the weights at the
end of its best steps are put back).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import fmean
from typing import Literal

import torch
from torch import nn
from torch.distributed.tensor import DTensor

WINDOW = 5
"""Steps whose mean reward is compared: one step's mean is noise of a few prompts."""
LEFT_SHARE = 0.5
"""A window below this share of the best one before it has collapsed."""


def trained_weights(model: nn.Module) -> list[nn.Parameter]:
    """The weights that an optimizer changes, in the order of the model."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def has_finite_gradients(weights: Iterable[nn.Parameter]) -> bool:
    """Whether all gradients that there are hold numbers alone."""
    return all(bool(torch.isfinite(weight.grad).all()) for weight in weights if weight.grad is not None)


class KeptWeights:
    """A copy of trained weights to go back to, on the CPU: `memory_plan` has no room for it on a GPU.

    `weights` is asked for anew in each call, since sharding replaces parameters; each process keeps its own shards.
    """

    def __init__(self) -> None:
        self._kept: list[torch.Tensor] = []

    def keep(self, weights: list[nn.Parameter]) -> None:
        """Copy the weights as they are now, in place of the copy before."""
        if not self._kept:
            self._kept = [torch.empty_like(_local(weight), device="cpu") for weight in weights]
        for copy, weight in zip(self._kept, weights, strict=True):
            copy.copy_(_local(weight))

    def put_back(self, weights: list[nn.Parameter]) -> None:
        """Give the model the weights that were kept last; without any it stays as it is."""
        if not self._kept:
            return
        for copy, weight in zip(self._kept, weights, strict=True):
            _local(weight).copy_(copy)


def _local(weight: nn.Parameter) -> torch.Tensor:
    """This process's part of a weight, outside the graph."""
    held = weight.detach()
    return held.to_local() if isinstance(held, DTensor) else held


class RewardWatch:
    """Mean rewards of stage 2's steps: which WINDOW of them was the best, and whether the last has collapsed."""

    def __init__(self) -> None:
        self.best = 0.0
        self._last: deque[float] = deque(maxlen=WINDOW)

    def add(self, reward: float) -> Literal["best", "collapsed", ""]:
        """What one more step's mean reward makes of the last WINDOW steps: the best so far, below LEFT_SHARE of it.

        Rewards of zero or less are no measure of a share: before the first window above zero nothing collapses.
        """
        self._last.append(reward)
        if len(self._last) < WINDOW:
            return ""
        mean = fmean(self._last)
        if mean > self.best:
            self.best = mean
            return "best"
        return "collapsed" if self.best > 0 and mean < LEFT_SHARE * self.best else ""
