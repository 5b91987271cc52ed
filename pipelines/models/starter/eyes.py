"""The starter's eyes: a small vision tower and aligner into the language expert.

A picture becomes `look_tokens` vectors in the space of the language expert's word embeddings. Each of them is a
learned query that reads the patches; in pre-training it is asked to name the word at its place of a
canonical caption, so that the language expert meets near-words it can already read.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Eyes(nn.Module):
    """Patches and queries through a transformer encoder, then a linear aligner.

    With `stem`, small convolutions cut the patches instead of one large one (Xiao et al., arXiv 2106.14881): from some
    ten thousand pictures the large one learns colours and places, but not faces (docs/log.md).

    Shapes: N pictures, K patches, Q queries (look tokens), D width, E width of the language expert.
    """

    def __init__(
        self, px: int, patch_px: int, width: int, layers: int, heads: int, look_tokens: int, language_width: int,
        stem: Sequence[int] = (),
    ) -> None:
        """stem: channels of convolutions that halve the side each; what is left of `patch_px` the last one divides by.

        Raises ValueError when that many halvings do not divide `patch_px`.
        """
        super().__init__()
        rest = patch_px // 2 ** len(stem)
        if rest * 2 ** len(stem) != patch_px:
            raise ValueError(f"patch_px {patch_px} cannot be halved {len(stem)} times")
        cut: list[nn.Module] = []
        before = 3
        for channels in stem:
            # Group and not batch norm: a picture must look the same in training and in chat, alone and among others.
            cut += [nn.Conv2d(before, channels, 3, 2, 1), nn.GroupNorm(8, channels), nn.GELU(),
                    nn.Conv2d(channels, channels, 3, 1, 1), nn.GroupNorm(8, channels), nn.GELU()]  # fmt: skip
            before = channels
        last = nn.Conv2d(before, width, rest, rest)
        self.patches = nn.Sequential(*cut, last) if cut else last
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
