"""Losses of practice for models that draw by flow matching: DiffusionNFT, and the clipped ratio of stochastic steps.

DiffusionNFT (arXiv 2509.16117) needs neither trajectories nor probabilities: images of any sampler are noised again,
and the velocity is pulled towards the better ones and away from the worse. Flow-GRPO (arXiv 2505.05470) needs the
probabilities of steps of `sde_step`, best with the ratios of GRPO-Guard (arXiv 2510.22319). Everything here is float32.

Dimension letters: B images, N tokens of one, W numbers of a token.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

ADVANTAGE_LIMIT = 5.0
"""Advantages are cut to plus and minus this."""
LEAST_ERROR = 1e-5
"""Below it the error that a loss is divided by counts as this."""
DECAY_STEP, DECAY_LIMIT = 0.001, 0.5
"""How much of the old copy stays after an update: rises by the first with each step, up to the second."""


def optimality(advantages: torch.Tensor) -> torch.Tensor:
    """Advantages (B,) to [0, 1]: 1 for what is to be drawn more, 0 for less, a half for neither."""
    return 0.5 + 0.5 * (advantages.float() / ADVANTAGE_LIMIT).clamp(-1, 1)


def nft_loss(
    velocity: torch.Tensor,
    old_velocity: torch.Tensor,
    x0: torch.Tensor,
    noise: torch.Tensor,
    t: torch.Tensor,
    advantages: torch.Tensor,
    beta: float = 1.0,
) -> torch.Tensor:
    """DiffusionNFT's loss, a number.

    velocity, old_velocity (B, N, W): of x0 noised with `noise` at t (B,), by the model that learns and by the slow copy
    that the images x0 (B, N, W) were sampled with. advantages (B,). At velocity = old_velocity the gradient does not
    depend on beta.
    """
    level, old = t.float()[:, None, None], old_velocity.detach().float()
    noised = (1 - level) * x0 + level * noise
    better = (1 - beta) * old + beta * velocity.float()
    worse = (1 + beta) * old - beta * velocity.float()
    towards, away = (_relative_error(noised - level * one, x0) for one in (better, worse))
    weight = optimality(advantages)
    return ADVANTAGE_LIMIT * ((weight * towards + (1 - weight) * away) / beta).mean()


def _relative_error(estimate: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
    """(B,) squared error, divided by the size of the error itself."""
    error = estimate - x0
    size = error.detach().abs().flatten(1).mean(1).clamp(min=LEAST_ERROR)
    return error.square().flatten(1).mean(1) / size


def update_old(old: Iterable[torch.Tensor], new: Iterable[torch.Tensor], step: int) -> None:
    """Move the sampling copy towards the weights that learn, after update `step` (from 0)."""
    kept = min(DECAY_STEP * step, DECAY_LIMIT)
    with torch.no_grad():
        for before, after in zip(old, new, strict=True):
            before.lerp_(after.to(before.dtype), 1 - kept)


def clipped_ratio_loss(
    logps: torch.Tensor, old_logps: torch.Tensor, advantages: torch.Tensor, clip: float
) -> torch.Tensor:
    """GRPO's loss of stochastic steps, a number; all (B,). Log-probabilities are means over an image's numbers, so
    `clip` is small (1e-5)."""
    return _clipped((logps - old_logps).exp(), advantages, clip)


def guarded_ratio_loss(
    logps: torch.Tensor,
    old_logps: torch.Tensor,
    drift: torch.Tensor,
    std: float,
    dt: float,
    advantages: torch.Tensor,
    clip: float,
) -> torch.Tensor:
    """GRPO-Guard's loss of one stochastic step, a number: the ratio's mean stays 1, and steps weigh alike.

    logps, old_logps, advantages (B,). drift (B,): mean squared distance of the step's mean from the one that was
    sampled from, over 2 std^2, by which the log-ratio is too low on average. std: of the step; dt: its length.
    """
    return _clipped(((logps - old_logps + drift) * std).exp(), advantages, clip) / dt


def _clipped(ratio: torch.Tensor, advantages: torch.Tensor, clip: float) -> torch.Tensor:
    limited = advantages.clamp(-ADVANTAGE_LIMIT, ADVANTAGE_LIMIT)
    return torch.maximum(-limited * ratio, -limited * ratio.clamp(1 - clip, 1 + clip)).mean()
