"""Flow matching: noise levels, noising, guidance, and one step of a sampler, as formulas on tensors.

A noise level t runs from 1 (noise) to 0 (image); x_t = (1 - t) x_0 + t noise, and the velocity noise - x_0 points from
the image to the noise. All in float32: in bf16 the probabilities of steps would be systematically too low.

Dimension letters: B images, N tokens of one, W numbers of a token (64), n noise levels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

EPSILON = 1e-8
"""Added to norms that are divided by."""


@dataclass(frozen=True)
class FlowSampling:
    """How images are drawn; defaults are the authors' for drawing from words."""

    points: int = 50
    """Noise levels, both ends counted: one step less."""
    shift: float = 3.0
    """Above 1 more of the steps are near noise."""
    text_guidance: float = 4.0
    """How far to go from the velocity without the last text towards the one with it; 1 or less switches all guidance
    off, as in the authors' program."""
    image_guidance: float = 1.0
    """The same from the velocity without input images; 1 or less switches it off."""
    interval: tuple[float, float] = (0.4, 1.0)
    """Guidance where first < t <= second."""
    renorm: str = "global"
    """What guidance may not make longer: `global` the velocity of an image, `channel` that of each token,
    `text_channel` of each token before the image guidance, and nothing after it."""
    renorm_min: float = 0.0
    """The least factor of that; 1 switches it off."""

    def __post_init__(self) -> None:
        if self.points < 2:
            raise ValueError(f"points is {self.points}: drawing needs two noise levels at least")
        if self.renorm not in ("global", "channel", "text_channel"):
            raise ValueError(f"renorm is {self.renorm!r}; choose global, channel or text_channel")

    def guided_at(self, t: float) -> bool:
        """Whether this step needs further branches."""
        return self.text_guidance > 1 and self.interval[0] < t <= self.interval[1]


EDITING = FlowSampling(image_guidance=2.0, interval=(0.0, 1.0), renorm="text_channel")
"""As the authors edit images."""
PREVIEW = FlowSampling(points=9, text_guidance=1.0)
"""Eight steps in one branch, to see where a training stands."""


def shifted(t: torch.Tensor, shift: float) -> torch.Tensor:
    """Noise levels moved towards noise; 1 leaves them."""
    return shift * t / (1 + (shift - 1) * t)


def noise_levels(points: int, shift: float) -> torch.Tensor:
    """(n,) float32 from 1 to 0: `points` of them, so one step less."""
    return shifted(torch.linspace(1, 0, points), shift)


def noised(x0: torch.Tensor, noise: torch.Tensor, t: torch.Tensor | float) -> torch.Tensor:
    """x0 at noise level t."""
    return (1 - t) * x0 + t * noise


def velocity_target(x0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """What the model is to predict, at every t."""
    return noise - x0


def euler_step(x: torch.Tensor, velocity: torch.Tensor, t: float, t_next: float) -> torch.Tensor:
    """x at the next, lower noise level."""
    return x - velocity * (t - t_next)


def guide(
    velocity: torch.Tensor,
    without_text: torch.Tensor,
    without_images: torch.Tensor | None,
    sampling: FlowSampling,
) -> torch.Tensor:
    """Guided velocities (B, N, W) of images, each renormed by itself; without_images: None without image guidance."""
    guided = without_text + sampling.text_guidance * (velocity - without_text)
    if sampling.renorm == "text_channel":
        guided = _renormed(guided, velocity, (-1,), sampling.renorm_min)
    if without_images is not None:
        guided = without_images + sampling.image_guidance * (guided - without_images)
    if sampling.renorm == "text_channel":
        return guided
    return _renormed(guided, velocity, (-2, -1) if sampling.renorm == "global" else (-1,), sampling.renorm_min)


def _renormed(guided: torch.Tensor, plain: torch.Tensor, over: tuple[int, ...], least: float) -> torch.Tensor:
    norm = plain.norm(dim=over, keepdim=True) / (guided.norm(dim=over, keepdim=True) + EPSILON)
    return guided * norm.clamp(least, 1.0)


@dataclass(frozen=True)
class StepDistribution:
    """Of a stochastic step to the next noise level: a Gaussian with one deviation for all numbers."""

    mean: torch.Tensor
    """(B, N, W)."""
    std: float

    def log_prob(self, x_next: torch.Tensor) -> torch.Tensor:
        """(B,) mean over all numbers of an image, not the sum: clip ranges of 1e-6 to 1e-4 belong to it."""
        scaled = (x_next - self.mean) / self.std
        return (-0.5 * scaled**2 - math.log(self.std) - 0.5 * math.log(2 * math.pi)).flatten(1).mean(1)


def sde_step(
    x: torch.Tensor, velocity: torch.Tensor, t: float, t_next: float, eta: float, first_t: float
) -> StepDistribution:
    """Flow-SDE: the same marginals as Euler's step with noise of strength eta; at eta 0 its mean is that step.

    first_t: the second noise level, which stands for t in the denominator where t is 1.
    """
    dt = t_next - t  # negative
    strength = eta * math.sqrt(t / (1 - (t if t < 1 else first_t)))
    kept = 1 + strength**2 * dt / (2 * t)
    moved = (1 + strength**2 * (1 - t) / (2 * t)) * dt
    return StepDistribution(x * kept + velocity * moved, strength * math.sqrt(-dt))
