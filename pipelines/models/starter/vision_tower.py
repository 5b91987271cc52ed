"""The starter's eyes: a small vision tower and aligner into the language expert.

A picture becomes `image_input_tokens` vectors in the space of the language expert's word embeddings. Each of them is a
learned query that reads the patches; in pre-training it is asked to name the word at its place of a
canonical caption, so that the language expert meets near-words it can already read. A frozen model this small cannot
look answers up among words (docs/log.md), so what was seen is also added to the hidden states in front of its later
layers, at the places of the picture alone (DeepStack, Meng et al. 2024, https://arxiv.org/abs/2406.04334).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any

import torch
from torch import nn


class DeepStackProjection(nn.Linear):
    """What was seen, for one layer of the language expert; begins as nothing, so eyes go on from where they were."""

    def reset_parameters(self) -> None:
        """All zeros."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class VisionTower(nn.Module):
    """Patches and queries through a transformer encoder, then a linear aligner.

    With `stem`, small convolutions cut the patches instead of one large one (Xiao et al., arXiv 2106.14881): from some
    ten thousand pictures the large one learns colours and places, but not faces (docs/log.md).

    Shapes: N pictures, K patches, Q queries (look tokens), D width, E width of the language expert.
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
        """stem: channels of convolutions that halve the side each; what is left of `patch_px` the last one divides by.

        deep: how many layers of the language expert, from the second on, get what was seen once more.

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

    def see(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, px, px) in [-1, 1] to what each query found (N, Q, D)."""
        patches = self.patches(pixels).flatten(2).transpose(1, 2) + self.places  # (N, K, D)
        queries = self.queries.expand(len(pixels), -1, -1)
        return self.norm(self.tower(torch.cat([patches, queries], 1))[:, -queries.shape[1] :])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, px, px) in [-1, 1] to (N, Q, E), in place of word embeddings."""
        return self.aligner(self.see(pixels))


class DeepStackInjector:
    """What is seen at the moment, and where in the rows that are being read; between two readings nothing."""

    def __init__(self, eyes: VisionTower, layers: Sequence[nn.Module]) -> None:
        self.eyes, self.layers = eyes, layers
        self._seen: torch.Tensor | None = None  # (N, Q, D)
        self._places: torch.Tensor | None = None  # (B, T) bool

    def at(self, places: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """Look at (N, 3, px, px) for the rows read next; returns (N * Q, E) for the True of `places` (B, T)."""
        self._seen, self._places = self.eyes.see(pixels), places
        return self.eyes.aligner(self._seen).flatten(0, 1)

    def away(self) -> None:
        """The rows read next show nothing."""
        self._seen = self._places = None

    @contextmanager
    def feeding(self) -> Iterator[None]:
        """Inside, the layers are given what was seen; hooks, since transformers' own forward runs them too."""
        with ExitStack() as stack:
            for layer, deeper in zip(islice(self.layers, 1, None), self.eyes.deeper, strict=False):
                handle = layer.register_forward_pre_hook(self._feeder(deeper), with_kwargs=True)
                stack.callback(handle.remove)
            stack.callback(self.away)
            yield

    def _feeder(self, deeper: nn.Module) -> Callable[..., tuple[tuple[torch.Tensor, ...], dict[str, Any]] | None]:
        def feed(
            _: nn.Module, inputs: tuple[torch.Tensor, ...], more: dict[str, Any]
        ) -> tuple[tuple[torch.Tensor, ...], dict[str, Any]] | None:
            if self._seen is None or self._places is None:
                return None
            hidden = inputs[0]  # (B, T, E)
            found = deeper(self._seen).flatten(0, 1).to(hidden.dtype)
            return (hidden + torch.zeros_like(hidden).masked_scatter(self._places[..., None], found), *inputs[1:]), more

        return feed
