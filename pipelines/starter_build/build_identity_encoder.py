"""Train the second identity encoder (`pipelines.evaluation.identity_encoder`) on the broad domain.

Each batch holds a few pictures of many subjects, figures, emoji and icons, some turned in hue; the loss is supervised
contrastive. Run by `build.py identity`. Nothing of the critic is used.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from pipelines.evaluation.identity_encoder import IdentityEncoder, IdentityEncoderConfig
from pipelines.starter_build.broad_domain import BroadDomain, SubjectJob, render_subject
from pipelines.starter_build.build_config import BuildSize
from pipelines.starter_build.build_critic import equal_error, identity_loss, shrunk
from pipelines.starter_build.build_loop import (
    STREAM_POSITION,
    Budget,
    BuildPart,
    Progress,
    linear_decay,
    progress_scores,
    train_for,
)
from pipelines.starter_build.dataset import to_pixels
from pipelines.starter_build.streaming_dataset import BroadStream

GALLERY = 7
"""Pictures of a subject that its others are compared with, of ten."""


def train_identity_encoder(
    train_set: BroadStream,
    domain: BroadDomain,
    out: Path,
    budget: Budget,
    size: BuildSize,
    seed: int = 0,
    device: str = "cpu",
    held_out_subjects: int = 64,
) -> dict[str, float]:
    """Train, calibrate on held-out subjects and save in bf16 to `out`/model; returns the held-out scores."""
    subjects, shown = size.batch_sizes["subjects"], size.batch_sizes["images_per_subject"]
    if train_set.groups < subjects:
        raise ValueError(f"a batch shows {subjects} subjects, the window holds {train_set.groups}: make it larger")
    torch.manual_seed(seed)
    rng = random.Random(seed)
    model = IdentityEncoder(IdentityEncoderConfig(**size.identity_encoder))
    model = model.to(device, memory_format=torch.channels_last).train()

    def compute_loss(progress: Progress) -> torch.Tensor:
        train_set.refresh()
        progress.part_state[STREAM_POSITION] = train_set.position
        rows = train_set.sample_rows(rng, subjects, shown)
        pixels = augment(shrunk(to_pixels(train_set.pixels[rows], device), model.config.px))
        numbers = torch.arange(subjects, device=device).repeat_interleave(shown)
        return identity_loss(model(pixels.to(memory_format=torch.channels_last)), numbers)

    rate = size.learning_rates["identity"]
    part = BuildPart("identity", {"model": model}, compute_loss, out / "state.pt", rate, linear_decay)
    progress = train_for(part, budget)
    model.eval()
    scores = calibrate_and_score(model, domain, size.px, seed, held_out_subjects)
    model.to(torch.bfloat16).save_pretrained(out / "model")
    return scores | progress_scores(progress)


def augment(pixels: torch.Tensor) -> torch.Tensor:
    """Each picture (N, 3, px, px) moved, scaled, mirrored, its contrast changed; half of them blurred.

    Generated pictures are blurred by the tokenizer, and a character may stand anywhere and look either way.
    """
    count, device = len(pixels), pixels.device
    scale = torch.empty(count, device=device).uniform_(0.75, 1.1)
    mirrored = torch.where(torch.rand(count, device=device) < 0.3, -1.0, 1.0)
    theta = torch.zeros(count, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = scale * mirrored, scale
    theta[:, :, 2] = torch.empty(count, 2, device=device).uniform_(-0.12, 0.12)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    blurred = F.avg_pool2d(moved, 3, stride=1, padding=1, count_include_pad=False)
    strength = torch.rand(count, 1, 1, 1, device=device) * (torch.rand(count, 1, 1, 1, device=device) < 0.5)
    moved = torch.lerp(moved, blurred, strength)
    contrast = torch.empty(count, 1, 1, 1, device=device).uniform_(0.9, 1.1)
    return (moved * contrast + torch.empty(count, 1, 1, 1, device=device).uniform_(-0.08, 0.08)).clamp(-1, 1)


@torch.no_grad()
def calibrate_and_score(
    model: IdentityEncoder, domain: BroadDomain, px: int, seed: int, subjects: int
) -> dict[str, float]:
    """Set slope and threshold, and measure on held-out subjects of each kind who is recognised among all of that kind.

    `among_N_figures` and so on: share of pictures nearest to their own subject's gallery; `verification`: balanced
    accuracy of "the same figure?" at the threshold.
    """
    plain = replace(domain, art=0.0, symbols=0.0, turned_figures=0.0)
    kinds = {"figures": plain, "turned_figures": replace(plain, turned_figures=1.0)}
    if domain.symbols_file is not None:
        kinds["symbols"] = replace(plain, symbols=1.0)
    scores: dict[str, float] = {}
    positives, negatives = [], []
    for name, of_kind in kinds.items():
        drawn = [render_subject(SubjectJob(of_kind, position, seed, px, True)) for position in range(subjects)]
        vectors = torch.stack([model.embed(to_pixels(one.pixels)) for one in drawn])  # (subjects, 10, D)
        galleries = list(vectors[:, :GALLERY].unbind(0))
        found = model.nearest_gallery(vectors[:, GALLERY:].flatten(0, 1), galleries).unflatten(0, (subjects, -1))
        right = found == torch.arange(subjects, device=found.device)[:, None]
        scores[f"among_{subjects}_{name}"] = round(right.float().mean().item(), 4)
        cosine = vectors[:, 0] @ vectors[:, 1].T
        positives.append(cosine.diagonal().cpu())
        negatives.append(cosine[~torch.eye(subjects, dtype=torch.bool, device=cosine.device)].cpu())
    positive, negative = torch.cat(positives), torch.cat(negatives)
    model.config.slope, model.config.threshold = equal_error(positive, negative)
    accepted, refused = positive >= model.config.threshold, negative < model.config.threshold
    scores["verification"] = round((accepted.float().mean() + refused.float().mean()).item() / 2, 4)
    return scores
