"""What every reward is made from: the character, the judge, and the character's own images as the judge sees them.

Kept apart from `rewards.py`, so that a reward may live in a file of its own (`semantic.py`) without an import cycle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from pipelines.core.character.character import Character
from pipelines.rewards.image_features import ImageFeatures
from pipelines.rewards.judge import Judge

Reward = Callable[..., list[float | None]]
"""TRL's signature: columns by keyword, one entry per sample, to one value per sample; None where it does not apply."""


@dataclass(frozen=True)
class RewardContext:
    """Built once per run; see `pipelines.rewards.rewards.REWARDS` for what is made from it."""

    character: Character
    judge: Judge
    references: ImageFeatures
    """(R, D) the character's own images."""

    @classmethod
    def of(cls, character: Character, judge: Judge, pixels: torch.Tensor) -> RewardContext:
        """Encode the reference images (R, 3, px, px) once."""
        with torch.no_grad():
            return cls(character, judge, judge.encode_images(pixels))
