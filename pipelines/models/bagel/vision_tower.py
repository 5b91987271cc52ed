"""BAGEL's vision tower: transformers' SigLIP encoder over patches of images of any size.

Patches enter through a linear layer and get the learned position of their row and column in a table of the largest
image, so nothing is interpolated. Images with equally many patches are one batch, since none sees another.

Dimension letters: N patches of all images, n of one image, W width of the tower.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import nn
from transformers import SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import SiglipEncoder


class PatchEmbeddings(nn.Module):
    """Patches and their places."""

    def __init__(self, config: SiglipVisionConfig) -> None:
        super().__init__()
        self.patch_embedding = nn.Linear(config.num_channels * config.patch_size**2, config.hidden_size)
        self.position_embedding = nn.Embedding((config.image_size // config.patch_size) ** 2, config.hidden_size)

    def forward(self, patches: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Patches (N, 588) and places (N,) to (N, W)."""
        return self.patch_embedding(patches.to(self.patch_embedding.weight.dtype)) + self.position_embedding(ids)


class VisionTransformer(nn.Module):
    """Embeddings, encoder and last norm; no pooling."""

    def __init__(self, config: SiglipVisionConfig) -> None:
        super().__init__()
        self.embeddings = PatchEmbeddings(config)
        self.encoder = SiglipEncoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class VisionTower(nn.Module):
    """The tower under its published names (`vit_model.vision_model.`)."""

    def __init__(self, config: SiglipVisionConfig) -> None:
        super().__init__()
        self.vision_model = VisionTransformer(config)

    def forward(self, patches: torch.Tensor, ids: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        """Patches (N, 588) of images with `lengths` patches each, one after another, to (N, W)."""
        tower = self.vision_model
        embedded = tower.embeddings(patches, ids).split(lengths)  # one (n, W) for each image
        same_length: dict[int, list[int]] = defaultdict(list)
        for image, length in enumerate(lengths):
            same_length[length].append(image)
        encoded: dict[int, torch.Tensor] = {}
        for images in same_length.values():
            batch = tower.encoder(torch.stack([embedded[image] for image in images])).last_hidden_state
            encoded |= dict(zip(images, batch, strict=True))
        return tower.post_layernorm(torch.cat([encoded[image] for image in range(len(lengths))]))
