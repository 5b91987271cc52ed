"""Train the critic: which caption fits an image, what its attributes are, and whose image it is.

Each batch holds several images of the same identities, so the wrong captions of an image are hard negatives: the same
figure with another expression, other clothes, another place. Three losses: contrastive loss of images and captions in
both directions (CLIP), classification of attributes among the batch's phrases, and supervised contrastive loss of
identities. Resumable; run by `build.py critic`.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pipelines.rewards.image_features import ImageFeatures
from pipelines.rewards.starter_critic import StarterCritic, StarterCriticConfig
from pipelines.starter_build.build_config import BuildSize
from pipelines.starter_build.build_loop import (
    STREAM_POSITION,
    Budget,
    BuildPart,
    Progress,
    linear_decay,
    progress_scores,
    train_for,
)
from pipelines.starter_build.dataset import DrawnDataset, to_pixels

PHRASE_FIELDS = ("expression", "clothes", "place", "extra")
"""Attributes whose phrases are the classes of a batch; nobody in the first domain has an extra."""
IDENTITY_TEMPERATURE = 0.1


def train_critic(
    train_set: DrawnDataset,
    held_out: DrawnDataset,
    out: Path,
    words: tuple[Any, torch.Tensor],
    budget: Budget,
    size: BuildSize,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, float]:
    """Train, calibrate on `held_out` and save to `out`/model; returns the held-out scores.

    words: (tokenizer, embedding table) of the language expert.
    """
    require_identities(train_set, size.batch_sizes["identities"])
    torch.manual_seed(seed)
    rng = random.Random(seed)
    critic = StarterCritic(StarterCriticConfig(words_width=words[1].shape[1], **size.critic))
    critic = critic.to(device, memory_format=torch.channels_last)
    critic.attach_words(words[0], words[1].to(device)).train()

    def compute_loss(progress: Progress) -> torch.Tensor:
        train_set.refresh()
        rows = train_set.sample_rows(rng, size.batch_sizes["identities"], size.batch_sizes["images_per_identity"])
        progress.part_state[STREAM_POSITION] = train_set.position
        return batch_loss(critic, train_set, rows, rng, device)[0]

    part = BuildPart(
        "critic",
        {"model": critic},
        compute_loss,
        out / "state.pt",
        size.learning_rates["critic"],
        linear_decay,
        betas=(0.9, 0.98),
        weight_decay=0.02,
    )
    progress = train_for(part, budget)
    critic.eval()
    calibrate(critic, held_out, device)
    scores = critic_scores(critic, held_out, device) | progress_scores(progress)
    critic.to(torch.bfloat16).save_pretrained(out / "model")
    return scores


def require_identities(train_set: DrawnDataset, wanted: int) -> None:
    """Raise ValueError when a batch wants more identities than the set or window ever holds."""
    if len(train_set.rows_by_identity) < wanted:
        raise ValueError(
            f"a batch shows {wanted} identities, but only {len(train_set.rows_by_identity)} are at hand: "
            "render more (--count) or give the stream a larger window (BuildSize.stream_window)"
        )


def shrunk(pixels: torch.Tensor, px: int) -> torch.Tensor:
    """(N, 3, any, any) to (N, 3, px, px), antialiased; before changes that are measured in pixels."""
    if pixels.shape[-1] == px:
        return pixels
    return F.interpolate(pixels, size=(px, px), mode="bilinear", antialias=True, align_corners=False)


def batch_loss(
    critic: StarterCritic, dataset: DrawnDataset, rows: np.ndarray, rng: random.Random, device: str
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The sum of the three losses over a batch of B rows, and its metrics (scalars, still on the device)."""
    pixels = _augment(shrunk(to_pixels(dataset.pixels[rows], device), critic.config.px), rng)
    features = critic.encode_images(pixels.to(memory_format=torch.channels_last))
    scale = critic.scale.exp().clamp(max=50)  # CLIP's learned inverse temperature, bounded as there
    logits = scale * features.caption @ critic.encode_texts([dataset.caption(row, rng) for row in rows]).T  # (B, B)
    target = torch.arange(len(rows), device=device)
    caption_loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    attribute_loss = torch.zeros((), device=device)
    metrics = {"caption": caption_loss.detach()}
    for name in PHRASE_FIELDS:
        phrases = [dataset.phrase(row, name) for row in rows]
        options = sorted(set(phrases) - {""})
        if not options:
            continue
        has_phrase = torch.tensor([phrase != "" for phrase in phrases], device=device)
        answers = torch.tensor([options.index(phrase) for phrase in phrases if phrase], device=device)
        option_logits = (scale * features.caption @ critic.encode_texts(options).T)[
            has_phrase
        ]  # (rows with a phrase, options)
        attribute_loss = attribute_loss + F.cross_entropy(option_logits, answers)
        metrics[name] = (option_logits.argmax(1) == answers).float().mean()
    of_identity = identity_loss(features.identity, torch.tensor(dataset.identity_numbers[rows], device=device))
    metrics["identity"] = of_identity.detach()
    return caption_loss + attribute_loss + of_identity, metrics


def _augment(pixels: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """Changes of contrast, sharpness and position that leave every attribute as it is."""
    if rng.random() < 0.5:
        pixels = (pixels * rng.uniform(0.9, 1.1) + rng.uniform(-0.08, 0.08)).clamp(-1, 1)
    if rng.random() < 0.4:  # the images it will judge are slightly blurred by the image tokenizer
        pixels = F.avg_pool2d(pixels, 3, stride=1, padding=1, count_include_pad=False)
    return torch.roll(pixels, (rng.randint(-3, 3), rng.randint(-3, 3)), (2, 3))


def identity_loss(embeddings: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Supervised contrastive loss (Khosla et al. 2020) of unit embeddings (B, D): the positives share a number."""
    diagonal = torch.eye(len(numbers), dtype=torch.bool, device=numbers.device)
    positives = (numbers[:, None] == numbers[None]) & ~diagonal
    similarity = (embeddings @ embeddings.T / IDENTITY_TEMPERATURE).masked_fill(diagonal, -1e9)
    return -(similarity.log_softmax(1) * positives).sum(1).div(positives.sum(1)).mean()


@torch.no_grad()
def dataset_features(critic: StarterCritic, dataset: DrawnDataset, device: str) -> ImageFeatures:
    """The critic's features of every image, in batches of 100."""
    starts = range(0, len(dataset.pixels), 100)
    parts = [critic.encode_images(to_pixels(dataset.pixels[start : start + 100], device)) for start in starts]
    return ImageFeatures(torch.cat([part.caption for part in parts]), torch.cat([part.identity for part in parts]))


def identity_pairs(dataset: DrawnDataset) -> tuple[torch.Tensor, torch.Tensor]:
    """Bool masks (N, N) over pairs of images, each pair once: of the same identity, and of two identities."""
    numbers = torch.tensor(dataset.identity_numbers)
    equal = numbers[:, None] == numbers[None]
    return equal.triu(1), (~equal).triu(1)


def equal_error(positive: torch.Tensor, negative: torch.Tensor) -> tuple[float, float]:
    """(slope, threshold) of a sigmoid over cosines, from cosines of positive and of negative pairs.

    The threshold is where both error rates are equal; with the slope, the two medians read as about 0.1 and 0.9.
    """
    steps = torch.linspace(-1, 1, 401)  # candidate thresholds over the range of a cosine
    false_negatives = torch.stack([(positive < step).float().mean() for step in steps])
    false_positives = torch.stack([(negative >= step).float().mean() for step in steps])
    threshold = steps[(false_negatives - false_positives).abs().argmin()].item()
    gap = (positive.median() - negative.median()).clamp(min=0.05).item()
    return 2 * 2.2 / gap, threshold  # sigmoid(2.2) = 0.9


@torch.no_grad()
def calibrate(critic: StarterCritic, held_out: DrawnDataset, device: str) -> None:
    """Set the slopes and thresholds of likeness and match so that 0.5 is the equal-error threshold on `held_out`."""
    features, rng = dataset_features(critic, held_out, device), random.Random(1)
    cosine = features.identity @ features.identity.T
    same, different = identity_pairs(held_out)
    slope, threshold = equal_error(cosine[same].cpu(), cosine[different].cpu())
    critic.config.likeness_slope, critic.config.likeness_threshold = slope, threshold
    texts = critic.encode_texts([held_out.caption(row, rng) for row in range(len(held_out))])  # (N, D)
    # The negative caption of an image is that of another image of the same identity.
    shuffled = torch.tensor([held_out.other_row(row, rng) for row in range(len(held_out))])
    positive = (features.caption * texts).sum(-1).cpu()
    negative = (features.caption * texts[shuffled]).sum(-1).cpu()
    critic.config.match_slope, critic.config.match_threshold = equal_error(positive, negative)


@torch.no_grad()
def critic_scores(critic: StarterCritic, held_out: DrawnDataset, device: str) -> dict[str, float]:
    """Attribute accuracy, caption retrieval among 20, identity verification and retrieval on unseen identities."""
    features, rng = dataset_features(critic, held_out, device), random.Random(2)
    scores: dict[str, float] = {}
    for name in PHRASE_FIELDS:
        phrases = [held_out.phrase(row, name) for row in range(len(held_out))]
        options = sorted(set(phrases) - {""})
        if not options:
            continue
        best = critic.caption_probs(features, options).argmax(1).tolist()
        rows = [row for row, phrase in enumerate(phrases) if phrase]
        scores[f"{name}_accuracy"] = sum(options[best[row]] == phrases[row] for row in rows) / len(rows)
    texts = critic.encode_texts([held_out.caption(row, rng) for row in range(len(held_out))])
    hits = 0
    # Each image's own caption among those of 19 others; the scores are cosines, so no threshold is involved.
    for row in range(len(texts)):
        candidates = [row, *(other for other in rng.sample(range(len(texts)), 20) if other != row)][:20]
        hits += int((texts[candidates] @ features.caption[row]).argmax().item() == 0)
    scores["caption_among_20"] = hits / len(texts)
    cosine = features.identity @ features.identity.T
    same, different = identity_pairs(held_out)
    threshold = critic.config.likeness_threshold
    scores["verification_accuracy"] = (
        (cosine[same] >= threshold).float().mean().item() + (cosine[different] < threshold).float().mean().item()
    ) / 2
    # Retrieval: the second image of each of 50 identities is the query, their first images are the gallery.
    numbers = torch.tensor(held_out.identity_numbers)
    pairs = [(numbers == number).nonzero()[:2, 0].tolist() for number in numbers.unique()[:50]]
    gallery, queries = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    nearest = cosine[queries][:, gallery].argmax(1).cpu()
    scores["identity_among_50"] = (nearest == torch.arange(len(gallery))).float().mean().item()
    return scores
