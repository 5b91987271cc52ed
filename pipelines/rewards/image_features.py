"""What a judge sees in images: embeddings, made once per image and then compared with captions and other images.

Both judges return these; the pretrained one adds what its VQA model needs (`pretrained_judges.py`).
Dimension letters: N images, D the judge's embedding width, E the width of `embedding()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class ImageFeatures:
    """Embeddings of N images, each (N, D) and of unit length."""

    caption: torch.Tensor
    """To compare with text embeddings of the same judge: what the image shows."""
    identity: torch.Tensor
    """To compare with other images: who it is, whatever they wear."""

    def __getitem__(self, index: Any) -> ImageFeatures:
        """The same for some of the images; an int gives the features of one, without the first dimension."""
        return ImageFeatures(self.caption[index], self.identity[index])

    @classmethod
    def stack(cls, single: Sequence[ImageFeatures]) -> ImageFeatures:
        """Features of single images as one batch."""
        return cls(torch.stack([one.caption for one in single]), torch.stack([one.identity for one in single]))

    def embedding(self) -> torch.Tensor:
        """(N, E) one unit vector per image, on the CPU, for distances between images.

        Here E = 2D: what the image shows and who it is count equally.
        """
        return torch.cat([self.caption, self.identity], 1).float().cpu() / 2**0.5
