"""The adversarial loss of the image tokenizer: a discriminator of patches, as in VQGAN (Esser et al. 2021).

A decoder trained on pixel errors alone gives the mean of what it is unsure about, which looks blurred; a discriminator
that tells patches of reconstructions from patches of drawings makes it decide. Its strength follows from the gradients
on the decoder's last layer, so that it never outweighs the pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

RAMP = 0.2
"""Of the adversarial phase: in its first half only the discriminator learns, in its second the weight grows."""
LARGEST_WEIGHT = 0.1
"""Of the adversarial loss, whatever the gradients say."""


class PatchDiscriminator(nn.Module):
    """Pixels to one logit for each patch of 46 pixels, positive for drawings and negative for reconstructions."""

    def __init__(self, channels: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in channels:
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1)]
            layers += [] if before == 3 else [nn.GroupNorm(8, width)]  # the first sees the colours as they are
            layers += [nn.LeakyReLU(0.2)]
            before = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, 1, 4, padding=1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, px, px) in [-1, 1] to (N, 1, h, w)."""
        logits: torch.Tensor = self.layers(pixels)
        return logits


def discriminator_loss(discriminator: PatchDiscriminator, images: torch.Tensor, fakes: torch.Tensor) -> torch.Tensor:
    """Hinge loss of telling drawings from reconstructions, both (N, 3, px, px); has no gradient to the latter."""
    return (F.relu(1 - discriminator(images)).mean() + F.relu(1 + discriminator(fakes.detach())).mean()) / 2


def adversarial_term(
    discriminator: PatchDiscriminator,
    fakes: torch.Tensor,
    other_loss: torch.Tensor,
    last_weight: torch.Tensor,
    strength: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(term to add to the tokenizer's loss, its weight): how far the reconstructions are from passing as drawings.

    last_weight: of the decoder's last layer. Where the term's gradient there is as long as that of `other_loss`, its
    weight is `strength`. The discriminator itself gets no gradient.
    """
    discriminator.requires_grad_(False)
    fooled = -discriminator(fakes).mean()
    discriminator.requires_grad_(True)
    of_other = torch.autograd.grad(other_loss, last_weight, retain_graph=True)[0].norm()
    of_fooled = torch.autograd.grad(fooled, last_weight, retain_graph=True)[0].norm()
    weight = (strength * of_other / of_fooled.clamp_min(1e-6)).clamp(max=LARGEST_WEIGHT).detach()
    return weight * fooled, weight


def ramp(fraction: float, start: float) -> float:
    """Factor of the strength at `fraction` of the budget, in a phase that begins at `start`: 0, then up to 1."""
    passed = (fraction - start) / max(1e-9, 1 - start)  # of the phase
    return min(1.0, max(0.0, 2 * passed / RAMP - 1))
