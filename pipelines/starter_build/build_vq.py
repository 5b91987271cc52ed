"""Train the image tokenizer (VQ).

For the first twentieth of the budget the decoder reconstructs from continuous latents; then the codebook is initialised
by k-means and follows the latents as an exponential moving average, unused codes being moved to where latents are.
Faces, clothes and fine detail weigh more in the reconstruction loss; features of a critic are added as a perceptual
loss, and from `ADVERSARIAL_FROM` of the budget on a patch discriminator. Run by `build.py tokenizer`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from pipelines.models.starter.vq import ImageTokenizer, ImageTokenizerConfig
from pipelines.rewards.starter_critic import Block, StarterCritic
from pipelines.starter_build.adversarial import PatchDiscriminator, adversarial_term, discriminator_loss, ramp
from pipelines.starter_build.build_config import BuildSize
from pipelines.starter_build.build_loop import (
    STREAM_POSITION,
    Budget,
    BuildPart,
    Progress,
    cosine_decay,
    progress_scores,
    train_for,
    write_scores,
)
from pipelines.starter_build.dataset import DrawnDataset, to_pixels
from pipelines.starter_build.streaming_dataset import BroadStream

CONTINUOUS_FRACTION = 0.05
"""Fraction of the budget before quantisation starts."""
CODEBOOK_DECAY = 0.98
"""Of the moving averages that the codes follow."""
ADVERSARIAL_FROM = 0.4
"""Fraction of the budget from which a discriminator learns and, soon after, is listened to."""


def train_tokenizer(
    train_set: DrawnDataset | BroadStream,
    held_out: DrawnDataset,
    out: Path,
    budget: Budget,
    size: BuildSize,
    seed: int = 0,
    device: str = "cpu",
    decoder_only: bool = False,
    critic: StarterCritic | None = None,
) -> dict[str, float]:
    """Train on `train_set`, resuming from `out`, and save the tokenizer in bf16 to `out`/tokenizer.

    critic: of the perceptual loss, whose weight is `size.perceptual`; None leaves that out. decoder_only: resume a run
    that already quantises with encoder and codebook frozen; the codes of every image stay, so what was trained on them
    stays valid. Returns `tokenizer_scores` with steps and seconds.
    """
    torch.manual_seed(seed)
    model = ImageTokenizer(ImageTokenizerConfig(px=size.px, **size.tokenizer))
    model = model.to(device, memory_format=torch.channels_last)
    model.encoder.requires_grad_(not decoder_only)
    discriminator = PatchDiscriminator().to(device, memory_format=torch.channels_last) if size.adversarial else None
    losses = _Losses(model, _pixel_weights(size.px).to(device), critic, discriminator, size)
    batches = train_set.batches(size.batch_sizes["tokenizer"], seed)

    def compute_loss(progress: Progress) -> torch.Tensor:
        train_set.refresh()
        progress.part_state[STREAM_POSITION] = train_set.position
        if progress.fraction >= CONTINUOUS_FRACTION and not progress.part_state.get("rounding"):
            progress.part_state |= _init_codebook(model, train_set, seed, device)
        # Sorted rows read the memory-mapped file in one direction.
        return losses(progress, to_pixels(train_set.pixels[np.sort(next(batches))], device))

    def after_step(progress: Progress) -> None:
        if progress.part_state.get("rounding") and not decoder_only:
            _update_codebook(model, progress)
        progress.part_state.pop("latents", None)  # of this batch alone; not for the state file

    def evaluate() -> str:
        reconstruction_sheet(model, held_out.pixels[::25][:48]).save(out / "sheet.png")
        return f"{tokenizer_scores(model, held_out, step=8)}{losses.figures()}"

    modules = {"model": model} | ({"discriminator": discriminator} if discriminator is not None else {})
    rate = size.learning_rates["tokenizer"]
    part = BuildPart("tokenizer", modules, compute_loss, out / "state.pt", rate, cosine_decay, weight_decay=0.01)
    part.after_step, part.evaluate = after_step, evaluate
    progress = train_for(part, budget)
    model.to(torch.bfloat16).save_pretrained(out / "tokenizer")
    model.to(torch.float32)
    reconstruction_sheet(model, held_out.pixels[::25][:48]).save(out / "sheet.png")
    return write_scores(out / "scores.json", tokenizer_scores(model, held_out) | progress_scores(progress))


class _Losses:
    """The sum of a batch's losses, which of them there are depending on the phase."""

    def __init__(
        self,
        model: ImageTokenizer,
        weights: torch.Tensor,
        critic: StarterCritic | None,
        discriminator: PatchDiscriminator | None,
        size: BuildSize,
    ) -> None:
        """weights: (1, 1, px, px) of the reconstruction loss."""
        self.model, self.weights, self.critic = model, weights, critic if size.perceptual else None
        self.discriminator, self.size = discriminator, size
        self.last: dict[str, torch.Tensor] = {}
        """Of the last adversarial step: the discriminator's loss and the weight of the term."""

    def __call__(self, progress: Progress, images: torch.Tensor) -> torch.Tensor:
        """The loss of images (N, 3, px, px)."""
        loss, reconstruction = _batch_loss(self.model, progress, images, self.weights)
        if self.critic is not None:
            loss = loss + self.size.perceptual * perceptual_distance(self.critic, reconstruction, images)
        if (
            self.discriminator is None
            or progress.fraction < ADVERSARIAL_FROM
            or not progress.part_state.get("rounding")
        ):
            return loss
        judged = discriminator_loss(self.discriminator, images, reconstruction)
        self.last["judge"] = judged.detach()
        strength = self.size.adversarial * ramp(progress.fraction, ADVERSARIAL_FROM)
        if not strength:  # the discriminator learns first
            return loss + judged
        last_weight = self.model.decoder.layers[-2].weight  # behind it, pixels are only shuffled
        term, self.last["weight"] = adversarial_term(self.discriminator, reconstruction, loss, last_weight, strength)
        # One optimiser for both: neither loss has a gradient to the other's parameters.
        return loss + term + judged

    def figures(self) -> str:
        """What the last adversarial step gave, for the log."""
        return "".join(f", {name} {value.item():.3f}" for name, value in self.last.items())


def tokenizer_scores(model: ImageTokenizer, held_out: DrawnDataset, step: int = 1) -> dict[str, float]:
    """Mean PSNR (dB) of reconstructions by family, and the share of the codebook used; every `step`th row."""
    found: dict[str, list[float]] = {}
    used: set[int] = set()
    chosen = list(range(0, len(held_out), step))
    for start in range(0, len(chosen), 50):
        rows = chosen[start : start + 50]
        images = to_pixels(held_out.pixels[rows], model.device)
        codes = model.encode(images)
        used.update(codes.unique().tolist())
        for row, value in zip(rows, psnr(model.decode(codes).clamp(-1, 1), images).tolist(), strict=True):
            family = held_out.identity(row).family
            found.setdefault({"person": "people"}.get(family, f"{family}s"), []).append(value)
    scores = {f"psnr_{family}": round(float(np.mean(values)), 3) for family, values in sorted(found.items())}
    return scores | {"codebook_used": round(len(used) / model.config.codebook_size, 4)}


def reconstruction_sheet(model: ImageTokenizer, pixels: np.ndarray, columns: int = 12) -> Image.Image:
    """Originals above their reconstructions, `columns` to a row; the rest of the last row stays white."""
    blank = -len(pixels) % columns
    pixels = np.concatenate([pixels, np.full((blank, *pixels.shape[1:]), 255, np.uint8)])
    images = to_pixels(pixels, model.device)
    both = torch.stack([images, model.decode(model.encode(images))])  # 2, N, 3, px, px
    array = ((both.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 1, 3, 4, 2).cpu().numpy()
    rows = [
        np.concatenate([np.concatenate(list(array[kind, start : start + columns]), axis=1) for kind in (0, 1)])
        for start in range(0, len(pixels), columns)
    ]
    return Image.fromarray(np.concatenate(rows))


def psnr(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(N,) dB of images (N, 3, h, w) in [-1, 1], a range of 2."""
    error = (first - second).square().mean((1, 2, 3))
    return 10 * torch.log10(4 / error.clamp_min(1e-8))


def _pixel_weights(px: int) -> torch.Tensor:
    """(1, 1, px, px) loss weights: 1 at the sides and the top, up to 3 where faces and clothes are."""
    line = torch.linspace(-1, 1, px)
    # A flat-topped hill: below the middle for clothes, wide in height, narrow in width.
    hill = torch.exp(-((line[:, None] - 0.2) / 0.85).pow(4) - (line[None] / 0.5).pow(4))
    return (1 + 2 * hill)[None, None]


def _gradients(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Differences of neighbouring pixels, down and across."""
    return images[..., 1:, :] - images[..., :-1, :], images[..., 1:] - images[..., :-1]


def _reconstruction_loss(reconstruction: torch.Tensor, images: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """L1 and L2 weighted towards faces and fine detail, and L1 of image gradients at three scales."""
    detail = (
        (images - F.avg_pool2d(images, 5, stride=1, padding=2, count_include_pad=False)).abs().mean(1, keepdim=True)
    )
    error = reconstruction - images
    loss = (weights * (1 + 3 * detail) * (error.abs() + error.square())).mean()
    for scale in range(3):
        for found, target in zip(_gradients(reconstruction), _gradients(images), strict=True):
            cropped = weights[..., : target.shape[-2], : target.shape[-1]]
            loss = loss + 0.5 * (cropped * (found - target).abs()).mean()
        if scale < 2:
            reconstruction, images, weights = (F.avg_pool2d(item, 2) for item in (reconstruction, images, weights))
    return loss


def perceptual_distance(critic: StarterCritic, reconstruction: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Mean relative L1 distance between the critic's feature maps of two batches (N, 3, px, px), over its stages."""
    size = (critic.config.px, critic.config.px)
    first, second = (
        F.interpolate(item, size=size, mode="bilinear", antialias=True) for item in (reconstruction, images)
    )
    distance, stages = torch.zeros((), device=images.device), 0
    for layer in critic.eye:
        first = layer(first)
        with torch.no_grad():
            second = layer(second)
        if isinstance(layer, Block):  # a stage ends with a residual block
            distance = distance + (first - second).abs().mean() / second.abs().mean().clamp_min(1e-6)
            stages += 1
    return distance / stages


def _batch_loss(
    model: ImageTokenizer, progress: Progress, images: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss, reconstruction) of images (N, 3, px, px); when quantising, leaves latents and codes in `progress`."""
    if not progress.part_state.get("rounding"):
        latents = model.latents(images)
        noise = torch.randn_like(latents) * 0.1  # prepares the decoder for quantisation
        reconstruction = model.decode_latents(latents + noise).float()
        return _reconstruction_loss(reconstruction, images, weights), reconstruction
    reconstruction, latents, codes = model(images)
    progress.part_state["latents"] = (latents.detach().flatten(0, 2), codes.flatten())
    # The codebook itself has no gradient (`_update_codebook`); this keeps the encoder's latents close to it.
    commitment = (latents - model.code_vectors[codes]).square().sum(-1).mean()
    reconstruction = reconstruction.float()
    return _reconstruction_loss(reconstruction, images, weights) + 0.25 * commitment, reconstruction


@torch.no_grad()
def _update_codebook(model: ImageTokenizer, progress: Progress) -> None:
    """Exponential moving averages (van den Oord et al. 2017, appendix A.1) of counts (V,) and latent sums (V, D).

    Every 25 steps, unused codes restart at random latents of the batch.
    """
    (latents, codes), counts, sums = (progress.part_state[name] for name in ("latents", "counts", "sums"))
    counts.mul_(CODEBOOK_DECAY).add_(torch.bincount(codes, minlength=len(counts)).float(), alpha=1 - CODEBOOK_DECAY)
    sums.mul_(CODEBOOK_DECAY).add_(torch.zeros_like(sums).index_add_(0, codes, latents), alpha=1 - CODEBOOK_DECAY)
    if progress.step % 25 == 0:
        # Counts are latents per step, averaged: below 0.02 a code was used less than once in fifty steps.
        dead = (counts < 0.02).nonzero().flatten()
        restarts = latents[torch.randint(len(latents), (len(dead),), device=latents.device)]
        sums[dead] = restarts * 0.2
        counts[dead] = 0.2
    model.code_vectors.copy_(F.normalize(sums, dim=-1))  # latents are unit vectors, so the mean's length is dropped


@torch.no_grad()
def _init_codebook(
    model: ImageTokenizer, train_set: DrawnDataset | BroadStream, seed: int, device: str
) -> dict[str, Any]:
    """Spherical k-means over the latents of some images; returns the moving averages to keep in the state."""
    model.eval()
    rng, size = np.random.default_rng(seed), model.config.codebook_size
    count = min(len(train_set), max(32, size * 20 // model.config.side**2))  # images: 20 latents for each code
    indices = np.sort(rng.choice(len(train_set), count, replace=False))
    parts = [model.latents(to_pixels(train_set.pixels[indices[i : i + 32]], device)) for i in range(0, count, 32)]
    latents = torch.cat(parts).flatten(0, 2)
    chosen = torch.from_numpy(rng.choice(len(latents), size, replace=len(latents) < size)).to(device)
    model.code_vectors.copy_(latents[chosen])
    for _ in range(8):  # iterations of k-means; a code without latents stays where it is
        codes = model.nearest(latents)
        sums = torch.zeros_like(model.code_vectors).index_add_(0, codes, latents)
        kept = torch.bincount(codes, minlength=size) > 0
        model.code_vectors[kept] = F.normalize(sums[kept], dim=-1)
    model.train()
    return {"rounding": True, "counts": torch.ones(size, device=device), "sums": model.code_vectors.clone()}
