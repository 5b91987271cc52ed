"""Reference images of the starter's image expert: pictures of the character that it reads while it draws.

A reference is given by its codes. Two by two code vectors are merged into one, a transformer layer mixes the places of
one image, and the vectors of all references of a drawing stand before its text context in the expert's sequence. Since
attention is causal, their keys and values depend on nothing else: `encode_references` computes them once for all
drawings with the same references, in training and in sampling.

Dimension letters: N drawings, U different sets of references among them, R references of a set, C codes of an image,
V vectors of a reference (C / merge^2), L latent width of a code, D width of the image expert.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from transformers import DynamicCache, LlamaModel

ABSENT = -1
"""Code that fills the places of a reference that a drawing does not have."""


class ReferenceEncoder(nn.Module):
    """Code vectors of images to vectors of the image expert's width."""

    def __init__(
        self, latent_dim: int, side: int, width: int, merge: int, num_attention_heads: int, intermediate_size: int
    ) -> None:
        """side: codes along a side of an image. merge: how many code vectors along each side become one."""
        super().__init__()
        self.side, self.merge_size = side, merge
        self.merge = nn.Linear(merge**2 * latent_dim, width)
        self.places = nn.Parameter(torch.randn((side // merge) ** 2, width) * 0.02)  # (V, D)
        self.layer = nn.TransformerEncoderLayer(
            width, num_attention_heads, intermediate_size, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, code_vectors: torch.Tensor) -> torch.Tensor:
        """(N, R, C, L) to (N, R * V, D), reference after reference."""
        count, references, _, latent = code_vectors.shape
        size, small = self.merge_size, self.side // self.merge_size
        blocks = code_vectors.reshape(count * references, small, size, small, size, latent)
        merged = blocks.transpose(2, 3).reshape(count * references, small**2, size**2 * latent)
        return self.norm(self.layer(self.merge(merged) + self.places)).reshape(count, -1, self.places.shape[-1])


@dataclass
class EncodedReferences:
    """Keys and values of all references of N drawings."""

    cache: DynamicCache
    """Of every layer of the decoder, R * V positions; rows as in `mask`."""
    mask: torch.Tensor
    """(N, R * V) bool, True where a drawing has the reference."""

    def select(self, rows: torch.Tensor) -> EncodedReferences:
        """The rows with these indices, in that order; an index may come several times."""
        cache = DynamicCache()
        for number, layer in enumerate(self.cache.layers):
            cache.update(layer.keys[rows], layer.values[rows], number)
        return EncodedReferences(cache, self.mask[rows])


def encode_references(
    decoder: LlamaModel, vectors: torch.Tensor, present: torch.Tensor, first_position: int
) -> EncodedReferences:
    """Run the decoder over reference vectors (N, R * V, D), of which `present` (N, R) says which are real.

    first_position: rotary position of the first vector.
    """
    count, length = vectors.shape[:2]
    mask = present.repeat_interleave(length // present.shape[1], 1)  # (N, R * V)
    seen = mask[:, None, :] & torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    # A vector of an absent reference must attend to something, or softmax gives NaN.
    seen = seen | torch.eye(length, dtype=torch.bool, device=mask.device)
    positions = torch.arange(first_position, first_position + length, device=mask.device)[None]
    cache = DynamicCache(config=decoder.config)
    decoder(
        inputs_embeds=vectors,
        attention_mask=seen[:, None],
        position_ids=positions.expand(count, -1),
        cache=cache,
        use_cache=True,
    )
    return EncodedReferences(cache, mask)
