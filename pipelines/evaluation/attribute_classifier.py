"""A plain attribute classifier: the second opinion, besides the critic's, on what an image shows.

A small convolutional network with one softmax head per question and no text encoder, so it shares no errors with the
critic. It is trained by the starter's build (`build.py classifier`) on rendered images only and is used for measuring
only: no reward comes from it, so no model can have been optimised against it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, EXTRAS, GLASSES, HAIR_COLOURS, KINDS, WIDE_PLACES
from pipelines.rewards.starter_critic import Block

ANSWERS = {
    "expression": EXPRESSIONS,
    "hair_colour": tuple(HAIR_COLOURS),
    "clothes_kind": tuple(sorted({kind for kinds in KINDS.values() for kind in kinds})),
    "clothes_colour": tuple(COLOURS),
    "accessory": ("", *GLASSES, "earrings"),
    "place": WIDE_PLACES,
    "extra": ("", *EXTRAS),
}
"""Attribute -> its possible answers; "" is nothing. Accessories are glasses and earrings; extras are what is held.

The order is that of the trained heads' outputs: changing it makes saved classifiers give wrong answers.
"""


class AttributeClassifierConfig(PretrainedConfig):
    """Sizes of the classifier."""

    model_type = "understudy_attributes"
    has_no_defaults_at_init = True

    def __init__(self, px: int = 64, channels: tuple[int, ...] = (24, 48, 96, 128), **kwargs: Any) -> None:
        """px: side images are resized to. channels: of each convolutional stage."""
        self.px = px
        self.channels = list(channels)
        super().__init__(**kwargs)


class AttributeClassifier(PreTrainedModel):
    """Pixels to one distribution per attribute."""

    config_class = AttributeClassifierConfig
    config: AttributeClassifierConfig

    def __init__(self, config: AttributeClassifierConfig) -> None:
        super().__init__(config)
        stages: list[nn.Module] = []
        before = 3
        for channels in config.channels:  # each stage halves the side
            stages += [
                nn.Conv2d(before, channels, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                Block(channels),
            ]
            before = channels
        self.eye = nn.Sequential(*stages)
        positions = (config.px // 2 ** len(config.channels)) ** 2  # of the last feature map
        self.squeeze = nn.Conv2d(before, 32, 1)
        width = before + 32 * positions
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(words)) for name, words in ANSWERS.items()})
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        # Layers keep PyTorch's own initialisation.
        return

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """(N, 3, any, any) in [-1, 1] to attribute -> logits (N, answers)."""
        size = (self.config.px, self.config.px)
        if pixels.shape[-2:] != size:
            pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
        feature_map = self.eye(pixels)  # (N, channels[-1], h, w)
        # Pooled for what is there, flattened (in few channels) for where it is.
        features = torch.cat([feature_map.mean((2, 3)), self.squeeze(feature_map).flatten(1)], 1)
        return {name: head(features) for name, head in self.heads.items()}

    @torch.no_grad()
    def classify(self, pixels: torch.Tensor) -> dict[str, list[str]]:
        """(N, 3, any, any) in [-1, 1] to attribute -> the most likely answer for each image."""
        parts = [self(pixels[i : i + 100].to(self.device)) for i in range(0, len(pixels), 100)]
        return {
            name: [words[best] for part in parts for best in part[name].argmax(1).tolist()]
            for name, words in ANSWERS.items()
        }
