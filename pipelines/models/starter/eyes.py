"""The starter's eyes: a small vision tower and aligner into the language expert.

A picture becomes `look_tokens` vectors in the space of the language expert's word embeddings. Each of them is a
learned query that reads the patches; in pre-training it is asked to name the word at its place of a
canonical caption, so that the language expert meets near-words it can already read.
"""

from __future__ import annotations

import torch
from torch import nn


class Eyes(nn.Module):
    """Patches and queries through a transformer encoder, then a linear aligner.

    Shapes: N pictures, K patches, Q queries (look tokens), D width, E width of the language expert.
    """

    def __init__(
        self, px: int, patch_px: int, width: int, layers: int, heads: int, look_tokens: int, language_width: int
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch_px, patch_px)
        self.places = nn.Parameter(torch.randn(1, (px // patch_px) ** 2, width) * 0.02)
        self.queries = nn.Parameter(torch.randn(1, look_tokens, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.tower = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.aligner = nn.Linear(width, language_width)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, px, px) in [-1, 1] to (N, Q, E)."""
        patches = self.patches(pixels).flatten(2).transpose(1, 2) + self.places  # (N, K, D)
        queries = self.queries.expand(len(pixels), -1, -1)
        seen = self.tower(torch.cat([patches, queries], 1))[:, -queries.shape[1] :]
        return self.aligner(self.norm(seen))
