"""Practice by flow matching: the gradients that the formulas promise."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from pipelines.models.bagel.flow import euler_step, noise_levels, sde_step
from pipelines.training.flow_loss import clipped_ratio_loss, guarded_ratio_loss, nft_loss, optimality, update_old


def some(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


@pytest.mark.parametrize("beta", [0.1, 1.0, 2.0])
@pytest.mark.parametrize(("advantage", "sign"), [(5.0, -1.0), (9.0, -1.0), (0.0, 0.0), (-5.0, 1.0), (2.5, -0.5)])
def test_nft_pulls_by_the_advantage_whatever_beta(beta: float, advantage: float, sign: float) -> None:
    x0, noise, old = some(3, 4, 8), some(3, 4, 8, seed=1), some(3, 4, 8, seed=2)
    t = torch.tensor([0.2, 0.6, 1.0])
    velocity = old.clone().requires_grad_()
    nft_loss(velocity, old, x0, noise, t, torch.full((3,), advantage), beta).backward()
    # (1 - 2 r) t dl/dx0, with l the squared error over its own size.
    level = t[:, None, None]
    error = (1 - level) * x0 + level * noise - level * old - x0
    slope = 2 * error / 32 / error.abs().flatten(1).mean(1)[:, None, None]
    assert 1 - 2 * optimality(torch.tensor(advantage)).item() == pytest.approx(sign)
    torch.testing.assert_close(velocity.grad, 5 * sign * level * slope / 3, atol=1e-6, rtol=1e-4)


def test_nft_without_advantage_pulls_back_to_the_old_copy() -> None:
    x0, noise, old = some(1, 4, 8), some(1, 4, 8, seed=1), some(1, 4, 8, seed=2)
    velocity = (old + 0.3 * some(1, 4, 8, seed=3)).requires_grad_()
    nft_loss(velocity, old, x0, noise, torch.tensor([0.5]), torch.zeros(1)).backward()
    moved = velocity.detach() - velocity.grad
    assert (moved - old).norm() < (velocity.detach() - old).norm()


def test_the_old_copy_follows() -> None:
    old, new = torch.zeros(3), torch.ones(3)
    update_old([old], [new], 0)
    assert torch.equal(old, new)
    for step, kept in ((100, 0.1), (500, 0.5), (9000, 0.5)):
        old = torch.zeros(3)
        update_old([old], [new], step)
        torch.testing.assert_close(old, torch.full((3,), 1 - kept))


def test_a_stochastic_step_without_noise_is_eulers() -> None:
    x, velocity, levels = some(2, 4, 8), some(2, 4, 8, seed=1), noise_levels(6, 3.0).tolist()
    for t, t_next in pairwise(levels):
        step = sde_step(x, velocity, t, t_next, 0.0, levels[1])
        torch.testing.assert_close(step.mean, euler_step(x, velocity, t, t_next), atol=1e-6, rtol=0)
        assert step.std == 0


def test_probabilities_of_steps_are_a_gaussians_mean_over_all_numbers() -> None:
    x, velocity = some(2, 4, 8), some(2, 4, 8, seed=1)
    for t in (1.0, 0.8):
        step = sde_step(x, velocity, t, 0.5, 0.7, 0.9)
        assert step.std == pytest.approx(0.7 * math.sqrt(t / (1 - (0.9 if t == 1 else t))) * math.sqrt(t - 0.5))
        x_next = step.mean + step.std * some(2, 4, 8, seed=2)
        wanted = torch.distributions.Normal(step.mean, step.std).log_prob(x_next).flatten(1).mean(1)
        torch.testing.assert_close(step.log_prob(x_next), wanted)


def test_stochastic_steps_keep_the_distribution() -> None:
    # One-dimensional data N(0, 0.5): the exact velocity is known, so the spread at the end is too.
    levels, spread = noise_levels(400, 3.0).tolist(), 0.5
    generator = torch.Generator().manual_seed(0)
    for eta in (0.0, 0.7):
        x = torch.randn(20000, 1, 1, generator=generator)
        for t, t_next in pairwise(levels):
            variance = (1 - t) ** 2 * spread**2 + t**2
            velocity = x * (t - (1 - t) * spread**2) / variance  # E[noise - x0 | x]
            step = sde_step(x, velocity, t, t_next, eta, levels[1])
            x = step.mean + step.std * torch.randn(x.shape, generator=generator)
        assert x.std().item() == pytest.approx(spread, rel=0.03)


def test_guarded_ratios_do_not_drift_and_weigh_steps_alike() -> None:
    x, velocity, generator = some(64, 8, 16), some(64, 8, 16, seed=1), torch.Generator().manual_seed(0)
    for t, t_next in ((1.0, 0.92), (0.6, 0.4)):
        old = sde_step(x, velocity, t, t_next, 1.0, 0.92)
        x_next = old.mean + old.std * torch.randn(x.shape, generator=generator)
        old_logps = old.log_prob(x_next)
        for moved in (0.0, 2.0):
            weight = torch.tensor(moved, requires_grad=True)
            new = sde_step(x, velocity + weight * some(64, 8, 16, seed=2), t, t_next, 1.0, 0.92)
            drift = (new.mean - old.mean).square().flatten(1).mean(1) / (2 * old.std**2)
            logps = new.log_prob(x_next)
            chance = 3 * (2 * drift.mean() / x.numel()) ** 0.5  # three deviations of the mean
            assert (logps - old_logps + drift).mean().abs() <= chance + 1e-6
            if moved:
                assert (logps - old_logps).mean() < -0.5 * drift.mean() < -chance  # too low without the drift
                continue
            advantages = torch.ones(64)
            loss = guarded_ratio_loss(logps, old_logps, drift, new.std, t - t_next, advantages, 2e-6)
            wanted = torch.autograd.grad(-logps.mean(), weight, retain_graph=True)[0] * new.std / (t - t_next)
            torch.testing.assert_close(torch.autograd.grad(loss, weight)[0], wanted)


def test_the_ratios_gradient_at_one_is_the_policy_gradient() -> None:
    logps = some(4, seed=3).requires_grad_()
    advantages = torch.tensor([1.0, -2.0, 0.5, 9.0])
    loss = clipped_ratio_loss(logps, logps.detach(), advantages, 1e-5)
    loss.backward()
    torch.testing.assert_close(logps.grad, -advantages.clamp(max=5) / 4)
    far = (logps.detach() + 1e-3).requires_grad_()
    clipped_ratio_loss(far, logps.detach(), advantages, 1e-5).backward()
    assert far.grad[[0, 2, 3]].eq(0).all() and far.grad[1] > 0  # only what became likelier and should not is moved
