"""BAGEL at toy size learns: images and captions by heart, and by practice what a reward asks for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from peft import LoraConfig, get_peft_model

from pipelines.models.bagel.contexts import ContextBatch
from pipelines.models.bagel.flow import PREVIEW, noised
from pipelines.models.bagel.model import BagelModel
from pipelines.models.bagel.patches import to_patches
from pipelines.models.bagel.random_weights import toy_config
from pipelines.models.bagel.rows import Drawn, PackedRow, Text, pack
from pipelines.models.bagel.sampling import draw, drawing_contexts, velocities
from pipelines.training.flow_loss import nft_loss, update_old

GRID = (2, 2)
LEVELS = 6
"""Noised copies of an image in one row."""


def toy() -> BagelModel:
    torch.manual_seed(0)
    return BagelModel(toy_config()).eval()


def test_four_images_and_their_captions_are_learned_and_drawn_again() -> None:
    model, steps = toy(), 200
    generator = torch.Generator().manual_seed(1)
    images = [torch.randn(16, 4, 4, generator=generator).sign() for _ in range(4)]
    captions = [Text(tuple(range(10 * n, 10 * n + 4)), learned=True) for n in range(4)]

    def row(seed: torch.Generator) -> PackedRow:
        times, noise = torch.randn(4, LEVELS, generator=seed).sigmoid(), torch.randn(4, LEVELS, 4, 64, generator=seed)
        copies = [
            [Drawn(image, float(t), one) for t, one in zip(times[n], noise[n], strict=True)]
            for n, image in enumerate(images)
        ]
        return pack([[caption, *some] for caption, some in zip(captions, copies, strict=True)], model.config)

    weights = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-2, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, steps, pct_start=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model.score_row(row(generator)).loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        scores = model.score_row(row(torch.Generator().manual_seed(5)))
    # Of five labels one cannot be known: which of four captions begins.
    assert scores.ce.mean() < 0.3 and scores.mse.mean() < 0.35
    contexts = drawing_contexts(model, [[Text(one.ids)] for one in captions])
    found = draw(model, contexts, GRID, torch.randn(4, 4, 64, generator=generator), PREVIEW)
    wanted = torch.stack([to_patches(image, 2) for image in images])
    assert (found.sign() == wanted).float().mean((1, 2)).min() > 0.95


def copy_into(weights: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        for weight, value in zip(weights, values, strict=True):
            weight.copy_(value)


def test_practice_raises_a_reward() -> None:
    """DiffusionNFT with an adapter of the generation expert; the reward is the mean of all numbers."""
    model, images, generator = toy(), 16, torch.Generator().manual_seed(1)
    adapted = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=BagelModel.image_targets))
    learned = [one for one in adapted.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=1e-2)
    old = [one.detach().clone() for one in learned]
    context = drawing_contexts(model, [[Text((1, 2, 3))]])[0]
    batch = ContextBatch([context.full] * images, 6, 2, model.device)
    rewards = []
    for step in range(30):
        new = [one.detach().clone() for one in learned]
        copy_into(learned, old)  # images and their velocities are the slow copy's
        x0 = draw(model, [context] * images, GRID, torch.randn(images, 4, 64, generator=generator), PREVIEW)
        t = 0.3 + 0.6 * torch.rand((), generator=generator)
        noise = torch.randn(x0.shape, generator=generator)
        x_t = noised(x0, noise, t)
        with torch.no_grad():
            old_velocity = velocities(model, batch, x_t, float(t), GRID)
        copy_into(learned, new)
        reward = x0.mean((1, 2))
        rewards.append(reward.mean())
        advantages = (reward - reward.mean()) / reward.std()
        velocity = velocities(model, batch, x_t, float(t), GRID)
        loss = nft_loss(velocity, old_velocity, x0, noise, t.expand(images), advantages)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update_old(old, learned, step)
    tens = torch.stack(rewards).reshape(3, 10).mean(1)
    assert tens[0] < tens[1] < tens[2] and tens[2] > tens[0] + 0.05
