"""Images as latents in training rows: sampled from what the autoencoder says of them, with noise put on them.

Means and deviations are computed once for each image; latents are sampled from them anew for every row, as if the image
had been encoded again. One noise level for each image, the sigmoid of a normal number, as BAGEL's authors train.

Dimension letters: N images, C latents of one, W numbers of one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from pipelines.models.bagel.rows import TEXT_DROPPED


def noised_images(rows: Sequence[tuple[Sequence[torch.Tensor], int]]) -> dict[str, torch.Tensor]:
    """latents, noise (N, C, W) and noise_levels (N,) of all drawn images, as `UnifiedModel.forward` takes them.

    rows: of each row the means and deviations (C, 2 W) of its images, and the seed of what is sampled. Nothing where no
    row draws any.
    """
    latents, noise, levels = [], [], []
    for images, seed in rows:
        generator = torch.Generator().manual_seed(seed)
        for encoded in images:
            mean, deviation = encoded.float().chunk(2, -1)
            latents.append(mean + deviation * torch.randn(mean.shape, generator=generator))
            noise.append(torch.randn(mean.shape, generator=generator))
            levels.append(torch.randn((), generator=generator).sigmoid())
    if not latents:
        return {}
    return {"latents": torch.stack(latents), "noise": torch.stack(noise), "noise_levels": torch.stack(levels)}


def without_texts(
    ids: Sequence[int], segments: Sequence[int], boi_id: int, text_vocab: int, rng: random.Random
) -> list[int]:
    """Which positions of a row stay when a share TEXT_DROPPED of the drawings lose their texts, each by itself.

    A drawing stands in a segment alone, ids of its text before `boi_id`; segments of other kinds stay whole.
    """
    drawn = {segment for segment, token in zip(segments, ids, strict=True) if token >= text_vocab}
    dropped = {segment for segment in sorted(drawn) if rng.random() < TEXT_DROPPED}
    return [
        place
        for place, (segment, token) in enumerate(zip(segments, ids, strict=True))
        if segment not in dropped or token >= text_vocab or token == boi_id
    ]
