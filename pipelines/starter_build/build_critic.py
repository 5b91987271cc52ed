"""Train the critic: which caption fits a picture, what its attributes are, and who it is.

Each batch holds several looks of the same identities, so the wrong captions of a picture are near ones: the same
figure with another face, other clothes, another place. Losses: captions against pictures both ways (CLIP), the
attribute phrases of the batch as classes, and supervised contrast of identities. It can be broken off and gone on
with; called by `build.py critic`.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pipelines.rewards.starter_critic import ImageFeatures, StarterCritic, StarterCriticConfig
from pipelines.starter_build.build_config import BuildSize
from pipelines.starter_build.build_loop import Budget, BuildPart, Progress, linear, summary, train_for
from pipelines.starter_build.dataset import DrawnDataset, to_pixels

KINDS = ("expression", "clothes", "place", "extra")
"""Attributes whose phrases are classes of a batch; in the first domain nobody has an extra."""


def train_critic(
    drawn: DrawnDataset,
    held_out: DrawnDataset,
    out: Path,
    words: tuple[Any, torch.Tensor],
    budget: Budget,
    size: BuildSize,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, float]:
    """Train on `drawn`, save to `out`/model; returns the held-out scores.

    words: (tokenizer, embedding table) of the language expert.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    critic = StarterCritic(StarterCriticConfig(words_width=words[1].shape[1], **size.critic))
    critic = critic.to(device, memory_format=torch.channels_last)
    critic.attach_words(words[0], words[1].to(device)).train()

    def loss_of(progress: Progress) -> torch.Tensor:
        drawn.refresh()
        rows = drawn.rows_by_identity(rng, size.batches["identities"], size.batches["looks"])
        progress.more["place"] = drawn.place
        return batch_loss(critic, drawn, rows, rng, device)[0]

    state = out / "state.pt"
    part = BuildPart("critic", {"model": critic}, loss_of, state, size.rates["critic"], linear, (0.9, 0.98), 0.02)
    progress = train_for(part, budget)
    critic.eval()
    calibrate(critic, held_out, device)
    scores = held_out_scores(critic, held_out, device) | summary(progress)
    critic.to(torch.bfloat16).save_pretrained(out / "model")
    return scores


def batch_loss(
    critic: StarterCritic, drawn: DrawnDataset, rows: np.ndarray, rng: random.Random, device: str
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The three losses of one batch of rows, and what they are made of (scalars, still on the device)."""
    pixels = to_pixels(drawn.pixels[rows], device)
    if rng.random() < 0.5:  # mild changes that leave every attribute as it is
        pixels = (pixels * rng.uniform(0.9, 1.1) + rng.uniform(-0.08, 0.08)).clamp(-1, 1)
    if rng.random() < 0.4:  # what it will judge is a little blurred by the picture tokenizer
        pixels = F.avg_pool2d(pixels, 3, stride=1, padding=1, count_include_pad=False)
    pixels = torch.roll(pixels, (rng.randint(-3, 3), rng.randint(-3, 3)), (2, 3))
    sight = critic.look(pixels.to(memory_format=torch.channels_last))
    scale = critic.scale.exp().clamp(max=50)
    logits = scale * sight.caption @ critic.read([drawn.caption(row, rng) for row in rows]).T
    target = torch.arange(len(rows), device=device)
    caption = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    attribute = torch.zeros((), device=device)
    metrics = {"caption": caption.detach()}
    for kind in KINDS:
        words = [drawn.phrase(row, kind) for row in rows]
        options = sorted(set(words) - {""})
        if not options:
            continue
        known = torch.tensor([word != "" for word in words], device=device)
        answers = torch.tensor([options.index(word) for word in words if word], device=device)
        found = (scale * sight.caption @ critic.read(options).T)[known]
        attribute = attribute + F.cross_entropy(found, answers)
        metrics[kind] = (found.argmax(1) == answers).float().mean()
    who = torch.tensor(drawn.identity[rows], device=device)
    itself = torch.eye(len(rows), dtype=torch.bool, device=device)
    same = (who[:, None] == who[None]) & ~itself
    near = (sight.identity @ sight.identity.T / 0.1).masked_fill(itself, -1e9)
    identity = -(near.log_softmax(1) * same).sum(1).div(same.sum(1)).mean()
    metrics["identity"] = identity.detach()
    return caption + attribute + identity, metrics


@torch.no_grad()
def see_all(critic: StarterCritic, drawn: DrawnDataset, device: str) -> ImageFeatures:
    """Sights of every picture, in batches of 100."""
    parts = [critic.look(to_pixels(drawn.pixels[i : i + 100], device)) for i in range(0, len(drawn.pixels), 100)]
    return ImageFeatures(torch.cat([part.caption for part in parts]), torch.cat([part.identity for part in parts]))


def equal_error(right: torch.Tensor, wrong: torch.Tensor) -> tuple[float, float]:
    """(slope, threshold): threshold where both errors are equal; slope so that the two medians read as 0.1 and 0.9."""
    steps = torch.linspace(-1, 1, 401)
    missed = torch.stack([(right < step).float().mean() for step in steps])
    passed = torch.stack([(wrong >= step).float().mean() for step in steps])
    threshold = steps[(missed - passed).abs().argmin()].item()
    gap = (right.median() - wrong.median()).clamp(min=0.05).item()
    return 2 * 2.2 / gap, threshold


@torch.no_grad()
def calibrate(critic: StarterCritic, held_out: DrawnDataset, device: str) -> None:
    """Set likeness and match so that 0.5 is the equal-error threshold on held-out identities."""
    sight, rng = see_all(critic, held_out, device), random.Random(1)
    cosine = sight.identity @ sight.identity.T
    who = torch.tensor(held_out.identity)
    same = (who[:, None] == who[None]).triu(1)
    other = (who[:, None] != who[None]).triu(1)
    slope, threshold = equal_error(cosine[same].cpu(), cosine[other].cpu())
    critic.config.likeness_slope, critic.config.likeness_threshold = slope, threshold
    texts = critic.read([held_out.caption(row, rng) for row in range(len(who))])
    shuffled = torch.tensor([held_out.other_look(row, rng) for row in range(len(who))])
    right = (sight.caption * texts).sum(-1).cpu()
    wrong = (sight.caption * texts[shuffled]).sum(-1).cpu()
    critic.config.match_slope, critic.config.match_threshold = equal_error(right, wrong)


@torch.no_grad()
def held_out_scores(critic: StarterCritic, held_out: DrawnDataset, device: str) -> dict[str, float]:
    """Attribute accuracy, caption retrieval among 20, identity verification and retrieval on unseen identities."""
    sight, rng = see_all(critic, held_out, device), random.Random(2)
    scores: dict[str, float] = {}
    for kind in KINDS:
        words = [held_out.phrase(row, kind) for row in range(len(held_out.identity))]
        options = sorted(set(words) - {""})
        if not options:
            continue
        best = critic.choose(sight, options).argmax(1).tolist()
        known = [row for row, word in enumerate(words) if word]
        scores[f"{kind}_accuracy"] = sum(options[best[row]] == words[row] for row in known) / len(known)
    texts = critic.read([held_out.caption(row, rng) for row in range(len(held_out.identity))])
    hits = 0
    for row in range(len(texts)):
        among = [row, *(other for other in rng.sample(range(len(texts)), 20) if other != row)][:20]
        hits += int((texts[among] @ sight.caption[row]).argmax().item() == 0)
    scores["caption_among_20"] = hits / len(texts)
    cosine = sight.identity @ sight.identity.T
    who = torch.tensor(held_out.identity)
    same = (who[:, None] == who[None]).triu(1)
    other = (who[:, None] != who[None]).triu(1)
    threshold = critic.config.likeness_threshold
    scores["verification_accuracy"] = (
        (cosine[same] >= threshold).float().mean().item() + (cosine[other] < threshold).float().mean().item()
    ) / 2
    firsts = [int((who == name).nonzero()[0]) for name in who.unique()[:50]]
    seconds = [int((who == name).nonzero()[1]) for name in who.unique()[:50]]
    nearest = cosine[seconds][:, firsts].argmax(1).cpu()
    scores["identity_among_50"] = (nearest == torch.arange(len(firsts))).float().mean().item()
    return scores
