"""The starter's vision tower: looked-at images become vectors among the language expert's token embeddings.

An image becomes `image_input_tokens` vectors. Each is a learned query that attends to the patches; in pre-training it
has to name the word at its place of a canonical caption, so that the language expert gets vectors near words it can
already read. A frozen model this small cannot look answers up among words (docs/log.md), so the image features are also
added to the hidden states in front of its later layers, at the image's positions alone (DeepStack, Meng et al. 2024,
https://arxiv.org/abs/2406.04334).

Dimension letters: N images, P patches, Q queries (`image_input_tokens`), D width, E width of the language expert,
B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class DeepStackProjection(nn.Linear):
    """Image features for one layer of the language expert; starts at zero, so at first adding it changes nothing."""

    def reset_parameters(self) -> None:
        """All zeros."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class VisionTower(nn.Module):
    """Patches and queries through a transformer encoder, then a linear aligner.

    With `stem`, small convolutions make the patches instead of one large one (Xiao et al., arXiv 2106.14881). From some
    ten thousand images the large one learns colours and places, but not faces (docs/log.md).
    """

    def __init__(
        self,
        px: int,
        patch_px: int,
        width: int,
        layers: int,
        heads: int,
        image_input_tokens: int,
        language_width: int,
        stem: Sequence[int] = (),
        deep: int = 0,
    ) -> None:
        """px, patch_px: side of an image and of a patch. stem: output channels of the stem's stages, each of which
        halves the side. deep: how many layers of the language expert, from the second on, get the features once more.

        Raises ValueError when that many halvings do not divide `patch_px`.
        """
        super().__init__()
        rest = patch_px // 2 ** len(stem)
        if rest * 2 ** len(stem) != patch_px:
            raise ValueError(f"patch_px {patch_px} cannot be halved {len(stem)} times")
        cut: list[nn.Module] = []
        before = 3
        for channels in stem:
            # Group norm, not batch norm: an image must have the same features in training and in chat, alone or not.
            cut += [
                nn.Conv2d(before, channels, 3, 2, 1),
                nn.GroupNorm(8, channels),
                nn.GELU(),
                nn.Conv2d(channels, channels, 3, 1, 1),
                nn.GroupNorm(8, channels),
                nn.GELU(),
            ]
            before = channels
        last = nn.Conv2d(before, width, rest, rest)
        self.px = px
        self.patches = nn.Sequential(*cut, last) if cut else last
        self.places = nn.Parameter(torch.randn(1, (px // patch_px) ** 2, width) * 0.02)
        self.queries = nn.Parameter(torch.randn(1, image_input_tokens, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.tower = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.aligner = nn.Linear(width, language_width)
        self.deeper = nn.ModuleList(DeepStackProjection(width, language_width) for _ in range(deep))

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, any, any) in [-1, 1], resized to `px`, to what each query found, (N, Q, D)."""
        if pixels.shape[-1] != self.px:
            pixels = F.interpolate(pixels, (self.px, self.px), mode="bilinear", antialias=True)
        patches = self.patches(pixels).flatten(2).transpose(1, 2) + self.places  # (N, P, D)
        queries = self.queries.expand(len(pixels), -1, -1)
        return self.norm(self.tower(torch.cat([patches, queries], 1))[:, -queries.shape[1] :])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, px, px) in [-1, 1] to (N, Q, E), in place of token embeddings."""
        return self.aligner(self.features(pixels))


class DeepStackInjector:
    """Adds image features to the inputs of the language expert's later layers, at the images' positions.

    Holds the features of the rows that are read next; between two forward passes there are none.
    """

    def __init__(self, tower: VisionTower, layers: Sequence[nn.Module]) -> None:
        self.tower, self.layers = tower, layers
        self._features: torch.Tensor | None = None  # (N, Q, D)
        self._positions: torch.Tensor | None = None  # (B, T) bool

    def set_images(self, positions: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """Images (N, 3, px, px) of the rows read next; returns (N * Q, E) for the True of `positions` (B, T)."""
        self._features, self._positions = self.tower.features(pixels), positions
        return self.tower.aligner(self._features).flatten(0, 1)

    def clear(self) -> None:
        """The rows read next show no images."""
        self._features = self._positions = None

    @contextmanager
    def injecting(self) -> Iterator[None]:
        """Inside, the layers get the features; by hooks, since transformers' own forward runs the layers too."""
        with ExitStack() as stack:
            for layer, deeper in zip(islice(self.layers, 1, None), self.tower.deeper, strict=False):
                handle = layer.register_forward_pre_hook(self._hook(deeper), with_kwargs=True)
                stack.callback(handle.remove)
            stack.callback(self.clear)
            yield

    def _hook(self, deeper: nn.Module) -> Callable[..., tuple[tuple[torch.Tensor, ...], dict[str, Any]] | None]:
        def add_features(
            _: nn.Module, inputs: tuple[torch.Tensor, ...], more: dict[str, Any]
        ) -> tuple[tuple[torch.Tensor, ...], dict[str, Any]] | None:
            if self._features is None or self._positions is None:
                return None
            hidden = inputs[0]  # (B, T, E)
            added = deeper(self._features).flatten(0, 1).to(hidden.dtype)
            return (
                hidden + torch.zeros_like(hidden).masked_scatter(self._positions[..., None], added),
                *inputs[1:],
            ), more

        return add_features
