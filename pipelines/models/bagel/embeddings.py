"""What takes image tokens into the decoder: noise level, position tables, and the connector of the vision tower.

Dimension letters: N tokens, D width of the decoder.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from transformers.activations import ACT2FN

from pipelines.models.bagel.patches import position_table

TIME_FREQUENCIES = 128
SLOWEST = 10000.0
"""Ratio of the fastest to the slowest frequency."""
CONNECTOR_ACTIVATION = "gelu_pytorch_tanh"


def time_features(t: torch.Tensor) -> torch.Tensor:
    """Noise levels (N,) in [0, 1] to (N, 256) float32: cosines first. The level itself is the angle, not 1000 of it."""
    steps = torch.arange(TIME_FREQUENCIES, dtype=torch.float32, device=t.device) / TIME_FREQUENCIES
    angles = t.float()[:, None] * torch.exp(-math.log(SLOWEST) * steps)
    return torch.cat([angles.cos(), angles.sin()], 1)


class TimeEmbedder(nn.Module):
    """A noise level as a vector that is added to every latent token, the clean ones (level 0) too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * TIME_FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        """(N,) to (N, D)."""
        return self.mlp(time_features(t).to(self.mlp[0].weight.dtype))


class PositionTable(nn.Module):
    """A frozen table of places in a square grid, kept with the weights."""

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.empty(side * side, width), requires_grad=False)
        if self.pos_embed.device.type != "meta":
            self.pos_embed.data.copy_(position_table(side, width))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(N,) to (N, D)."""
        return self.pos_embed[ids]


class Connector(nn.Module):
    """From the width of the vision tower to that of the decoder."""

    def __init__(self, vision_width: int, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(vision_width, width)
        self.activation = ACT2FN[CONNECTOR_ACTIVATION]
        self.fc2 = nn.Linear(width, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, width of the tower) to (N, D)."""
        return self.fc2(self.activation(self.fc1(features)))
