"""The second identity encoder: whose picture is it, in any flat style? For grading alone.

A convolutional network to one unit vector per image; the cosine of two says how alike the figures are, whatever they
wear, do and stand in front of. It is trained apart from the critic and on more (the broad domain: figures, hue turns,
emoji and icons), shares no weights, text encoder or pooling with it, and no reward comes from it, so no model can have
been optimised against it. Trained by `build.py identity`.

Dimension letters: N images, D width of the embedding, G galleries.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel


class IdentityEncoderConfig(PretrainedConfig):
    """Sizes of the encoder and its calibration."""

    model_type = "understudy_identity"
    has_no_defaults_at_init = True

    def __init__(
        self,
        px: int = 96,
        channels: tuple[int, ...] = (32, 64, 128, 192),
        width: int = 128,
        slope: float = 10.0,
        threshold: float = 0.5,
        **kwargs: Any,
    ) -> None:
        """px: side that images are resized to. width: of the embedding.

        slope, threshold: turn a cosine into 0..1 by a logistic curve, 0.5 where false accepts and false rejects of
        held-out subjects are equally common.
        """
        self.px = px
        self.channels = list(channels)
        self.width = width
        self.slope = slope
        self.threshold = threshold
        super().__init__(**kwargs)


class _Stage(nn.Module):
    """Halves the side; then a residual block in the manner of ConvNeXt (Liu et al. 2022): depthwise, then pointwise."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(before, channels, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.norm = nn.GroupNorm(1, channels)
        self.wide = nn.Conv2d(channels, 3 * channels, 1)
        self.narrow = nn.Conv2d(3 * channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, before, h, w) to (N, channels, h/2, w/2)."""
        x = F.gelu(self.down(x))
        mixed: torch.Tensor = self.narrow(F.gelu(self.wide(self.norm(self.depthwise(x)))))
        return x + mixed


class IdentityEncoder(PreTrainedModel):
    """Pixels to one unit vector per image."""

    config_class = IdentityEncoderConfig
    config: IdentityEncoderConfig

    def __init__(self, config: IdentityEncoderConfig) -> None:
        super().__init__(config)
        widths = [3, *config.channels]
        self.stages = nn.Sequential(*(_Stage(*pair) for pair in itertools.pairwise(widths)))
        last = config.channels[-1]
        self.norm = nn.GroupNorm(1, last)
        self.attend = nn.Conv2d(last, 4, 1)
        """Four maps of where to look: what makes somebody who they are stands anywhere in the picture."""
        self.out = nn.Sequential(
            nn.Linear(6 * last, 2 * config.width), nn.GELU(), nn.Linear(2 * config.width, config.width)
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        # Layers keep PyTorch's own initialisation.
        return

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, any, any) in [-1, 1], resized to `px`, to unit vectors (N, D)."""
        size = (self.config.px, self.config.px)
        if pixels.shape[-2:] != size:
            pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
        maps = self.norm(self.stages(pixels)).flatten(2)  # (N, C, P) over the places of the last feature map
        attention = self.attend(maps[..., None]).flatten(2).softmax(-1)  # (N, 4, P)
        looked = (attention @ maps.transpose(1, 2)).flatten(1)  # (N, 4 C)
        pooled = torch.cat([maps.mean(2), maps.amax(2), looked], 1)
        return F.normalize(self.out(pooled).float(), dim=-1)

    @torch.no_grad()
    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """As `forward`, in batches of 100."""
        return torch.cat([self(part.to(self.device, self.dtype)) for part in pixels.split(100)])

    def same_character(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Vectors (N1, D) and (N2, D) to (N1, N2) in 0..1: is it the same figure?"""
        return torch.sigmoid(self.config.slope * (first @ second.T - self.config.threshold))

    def nearest_gallery(self, vectors: torch.Tensor, galleries: list[torch.Tensor]) -> torch.Tensor:
        """(N,) index of the gallery (n, D) whose pictures are most alike on average to each of the vectors (N, D)."""
        means = torch.stack([vectors @ gallery.T.mean(1) for gallery in galleries], 1)  # (N, G)
        return means.argmax(1)
