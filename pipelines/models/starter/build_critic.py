"""Train the critic: which caption fits a picture, what its attributes are, and who it is.

Each batch holds several looks of the same identities, so the wrong captions of a picture are near ones: the same
figure with another face, other clothes, another place. Losses: captions against pictures both ways (CLIP), the
attribute phrases of the batch as classes, and supervised contrast of identities. It can be broken off and gone on
with; called by `build.py critic`.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pipelines.models.starter.critic import Critic, CriticConfig, Sight
from pipelines.models.starter.drawn import Drawn, to_pixels

IDENTITIES, LOOKS = 16, 6
"""A batch is 16 identities x 6 looks."""
LEARNING_RATE = 2e-3
KINDS = ("expression", "clothes", "place")


def train_critic(
    data: Path, out: Path, words: tuple[Any, torch.Tensor], seconds: float, seed: int = 0, device: str = "cpu"
) -> dict[str, float]:
    """Train for `seconds` from `data` (drawn pictures), save to `out`; returns the held-out scores.

    words: (tokenizer, embedding table) of the language expert.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    drawn, held_out = Drawn.load(data, "train"), Drawn.load(data, "held_out")
    critic = Critic(CriticConfig()).to(device, memory_format=torch.channels_last).attach_words(*words)
    optimiser = torch.optim.AdamW(critic.parameters(), LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.02)
    state, step, spent = out / "state.pt", 0, 0.0
    out.mkdir(parents=True, exist_ok=True)
    if state.exists():
        saved = torch.load(state, map_location=device)
        critic.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        step, spent = saved["step"], saved["spent"]
    critic.train()
    began = last_save = time.monotonic()
    start = spent
    while spent < seconds:
        spent = start + time.monotonic() - began
        # Warm up over 100 steps, then fall along the time budget, so that any budget ends with a small rate.
        rate = LEARNING_RATE * min(1.0, (step + 1) / 100) * max(0.02, 1 - spent / seconds)
        for part in optimiser.param_groups:
            part["lr"] = rate
        rows = drawn.rows_by_identity(rng, IDENTITIES, LOOKS)
        loss, metrics = batch_loss(critic, drawn, rows, rng, device)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
        optimiser.step()
        step += 1
        if step % 25 == 0:
            print(f"critic step {step} seconds {spent:.0f} loss {loss.item():.3f} "
                  + " ".join(f"{name} {value:.3f}" for name, value in metrics.items()), flush=True)
        if time.monotonic() - last_save > 60:
            torch.save({"model": critic.state_dict(), "optimiser": optimiser.state_dict(), "step": step,
                        "spent": spent}, state)
            last_save = time.monotonic()
    critic.eval()
    calibrate(critic, held_out, device)
    scores = held_out_scores(critic, held_out, device) | {"steps": step, "seconds": spent}
    critic.to(torch.bfloat16).save_pretrained(out / "model")
    return scores


def batch_loss(
    critic: Critic, drawn: Drawn, rows: np.ndarray, rng: random.Random, device: str
) -> tuple[torch.Tensor, dict[str, float]]:
    """The three losses of one batch of rows; metrics are plain numbers."""
    pixels = to_pixels(drawn.pixels[rows], device)
    if rng.random() < 0.5:  # mild changes that leave every attribute as it is
        pixels = (pixels * rng.uniform(0.9, 1.1) + rng.uniform(-0.08, 0.08)).clamp(-1, 1)
    pixels = torch.roll(pixels, (rng.randint(-3, 3), rng.randint(-3, 3)), (2, 3))
    sight = critic.look(pixels.to(memory_format=torch.channels_last))
    scale = critic.scale.exp().clamp(max=50)
    logits = scale * sight.caption @ critic.read([drawn.caption(row, rng) for row in rows]).T
    target = torch.arange(len(rows), device=device)
    caption = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    attribute = torch.zeros((), device=device)
    metrics = {"caption": caption.item()}
    for kind in KINDS:
        words = [drawn.phrase(row, kind) for row in rows]
        options = sorted(set(words) - {""})
        known = torch.tensor([word != "" for word in words], device=device)
        answers = torch.tensor([options.index(word) for word in words if word], device=device)
        found = (scale * sight.caption @ critic.read(options).T)[known]
        attribute = attribute + F.cross_entropy(found, answers)
        metrics[kind] = (found.argmax(1) == answers).float().mean().item()
    who = torch.tensor(drawn.identity[rows], device=device)
    itself = torch.eye(len(rows), dtype=torch.bool, device=device)
    same = (who[:, None] == who[None]) & ~itself
    near = (sight.identity @ sight.identity.T / 0.1).masked_fill(itself, -1e9)
    identity = -(near.log_softmax(1) * same).sum(1).div(same.sum(1)).mean()
    metrics["identity"] = identity.item()
    return caption + attribute + identity, metrics


@torch.no_grad()
def see_all(critic: Critic, drawn: Drawn, device: str) -> Sight:
    """Sights of every picture, in batches of 100."""
    parts = [critic.look(to_pixels(drawn.pixels[i : i + 100], device)) for i in range(0, len(drawn.pixels), 100)]
    return Sight(torch.cat([part.caption for part in parts]), torch.cat([part.identity for part in parts]))


def equal_error(right: torch.Tensor, wrong: torch.Tensor) -> tuple[float, float]:
    """(slope, threshold): threshold where both errors are equal; slope so that the two medians read as 0.1 and 0.9."""
    steps = torch.linspace(-1, 1, 401)
    missed = (right[:, None] < steps).float().mean(0)
    passed = (wrong[:, None] >= steps).float().mean(0)
    threshold = steps[(missed - passed).abs().argmin()].item()
    gap = (right.median() - wrong.median()).clamp(min=0.05).item()
    return 2 * 2.2 / gap, threshold


@torch.no_grad()
def calibrate(critic: Critic, held_out: Drawn, device: str) -> None:
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
def held_out_scores(critic: Critic, held_out: Drawn, device: str) -> dict[str, float]:
    """Attribute accuracy, caption retrieval among 20, identity verification and retrieval on unseen identities."""
    sight, rng = see_all(critic, held_out, device), random.Random(2)
    scores: dict[str, float] = {}
    for kind in KINDS:
        words = [held_out.phrase(row, kind) for row in range(len(held_out.identity))]
        options = sorted(set(words) - {""})
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
    nearest = cosine[seconds][:, firsts].argmax(1)
    scores["identity_among_50"] = (nearest == torch.arange(len(firsts))).float().mean().item()
    return scores
