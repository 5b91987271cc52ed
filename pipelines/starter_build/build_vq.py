"""The part of the build that trains the picture tokenizer.

The time budget is the schedule: the learning rate follows a cosine over it. The first twentieth paints from unrounded
latents; then the codebook is set by k-means and follows the latents as running averages, unused codes being moved to
where latents are. Faces, clothes and fine detail weigh more than the rest; what a critic sees may weigh too.
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
from pipelines.starter_build.build_config import BuildSize
from pipelines.starter_build.build_loop import Budget, BuildPart, Progress, cosine, keep_scores, summary, train_for
from pipelines.starter_build.dataset import DrawnDataset, to_pixels

WARM_SHARE = 0.05
"""Share of the budget before rounding to codes starts."""
DECAY = 0.98
"""Of the running averages that move the codes."""


def train_tokenizer(
    drawn: DrawnDataset,
    held_out: DrawnDataset,
    out: Path,
    budget: Budget,
    size: BuildSize,
    seed: int = 0,
    device: str = "cpu",
    decoder_only: bool = False,
    critic: StarterCritic | None = None,
    perceptual: float = 0.0,
) -> dict[str, float]:
    """Train on `drawn`, resuming from `out`, and save the tokenizer in bf16 to `out`/tokenizer.

    perceptual: weight of the distance between what `critic` sees in the original and in what is painted (0: none).
    Returns `held_out_scores` with steps and seconds. With `decoder_only`, a run that already rounds to codes goes on
    without moving encoder and codebook: the codes of every picture stay, so what was trained on them stays valid.
    """
    torch.manual_seed(seed)
    model = ImageTokenizer(ImageTokenizerConfig(px=size.px, **size.tokenizer))
    model = model.to(device, memory_format=torch.channels_last)
    model.encoder.requires_grad_(not decoder_only)
    weight = _weights(size.px).to(device)
    rows = drawn.batches(size.batches["tokenizer"], seed)

    def loss_of(progress: Progress) -> torch.Tensor:
        drawn.refresh()
        progress.more["place"] = drawn.place
        if progress.share >= WARM_SHARE and not progress.more.get("rounding"):
            progress.more |= _start_codebook(model, drawn, seed, device)
        x = to_pixels(drawn.pixels[np.sort(next(rows))], device)
        loss, painted = _loss(model, progress, x, weight)
        return loss if critic is None or not perceptual else loss + perceptual * seen_apart(critic, painted, x)

    def after(progress: Progress) -> None:
        if progress.more.get("rounding") and not decoder_only:
            _move_codes(model, progress)
        progress.more.pop("latents", None)

    def check() -> str:
        sheet(model, held_out.pixels[::25][:48]).save(out / "sheet.png")
        return str(held_out_scores(model, held_out, step=8))

    progress = train_for(
        BuildPart(
            "tokenizer",
            {"model": model},
            loss_of,
            out / "state.pt",
            size.rates["tokenizer"],
            cosine,
            weight_decay=0.01,
            after=after,
            check=check,
        ),
        budget,
    )
    model.to(torch.bfloat16).save_pretrained(out / "tokenizer")
    model.to(torch.float32)
    sheet(model, held_out.pixels[::25][:48]).save(out / "sheet.png")
    return keep_scores(out / "scores.json", held_out_scores(model, held_out) | summary(progress))


def held_out_scores(model: ImageTokenizer, held_out: DrawnDataset, step: int = 1) -> dict[str, float]:
    """PSNR in dB by family (mean over pictures) after codes, and the share of the codebook used; every `step`th row."""
    found: dict[str, list[float]] = {}
    used: set[int] = set()
    chosen = list(range(0, len(held_out), step))
    for start in range(0, len(chosen), 50):
        rows = chosen[start : start + 50]
        x = to_pixels(held_out.pixels[rows], model.device)
        codes = model.encode(x)
        used.update(codes.unique().tolist())
        for row, value in zip(rows, _psnr(model.decode(codes), x), strict=True):
            family = held_out.figure(row).family
            found.setdefault({"person": "people"}.get(family, f"{family}s"), []).append(value)
    scores = {f"psnr_{family}": round(float(np.mean(values)), 3) for family, values in sorted(found.items())}
    return scores | {"codebook_used": round(len(used) / model.config.codebook_size, 4)}


def sheet(model: ImageTokenizer, pixels: np.ndarray, columns: int = 12) -> Image.Image:
    """Originals above their reconstructions, in rows of `columns`."""
    x = to_pixels(pixels, model.device)
    both = torch.stack([x, model.decode(model.encode(x))])  # 2, N, 3, px, px
    image = ((both.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 1, 3, 4, 2).cpu().numpy()
    rows = [
        np.concatenate([np.concatenate(list(image[kind, start : start + columns]), axis=1) for kind in (0, 1)])
        for start in range(0, len(pixels), columns)
    ]
    return Image.fromarray(np.concatenate(rows))


def _psnr(painted: torch.Tensor, x: torch.Tensor) -> list[float]:
    """dB for each picture; the range of values is 2."""
    error = (painted.detach().clamp(-1, 1) - x).square().mean((1, 2, 3))
    return (10 * torch.log10(4 / error.clamp_min(1e-8))).tolist()


def _weights(px: int) -> torch.Tensor:
    """(1, 1, px, px): 1 at the sides and the top, up to 3 where faces and clothes are."""
    line = torch.linspace(-1, 1, px)
    hill = torch.exp(-((line[:, None] - 0.2) / 0.85).pow(4) - (line[None] / 0.5).pow(4))
    return (1 + 2 * hill)[None, None]


def _edges(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]


def _picture_loss(painted: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """L1 and L2 with weight on faces and on fine detail, and edges at three scales."""
    detail = (x - F.avg_pool2d(x, 5, stride=1, padding=2, count_include_pad=False)).abs().mean(1, keepdim=True)
    heavy = weight * (1 + 3 * detail)
    error = painted - x
    loss = (heavy * (error.abs() + error.square())).mean()
    for scale in range(3):
        for drawn, wanted in zip(_edges(painted), _edges(x), strict=True):
            w = weight[..., : wanted.shape[-2], : wanted.shape[-1]]
            loss = loss + 0.5 * (w * (drawn - wanted).abs()).mean()
        if scale < 2:
            painted, x, weight = (F.avg_pool2d(item, 2) for item in (painted, x, weight))
    return loss


def seen_apart(critic: StarterCritic, painted: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Mean relative distance of the critic's maps of two batches of pixels, over the stages of its picture tower."""
    size = (critic.config.px, critic.config.px)
    first, second = (F.interpolate(item, size=size, mode="bilinear", antialias=True) for item in (painted, x))
    apart, stages = torch.zeros((), device=x.device), 0
    for layer in critic.eye:
        first = layer(first)
        with torch.no_grad():
            second = layer(second)
        if isinstance(layer, Block):
            apart, stages = apart + (first - second).abs().mean() / second.abs().mean().clamp_min(1e-6), stages + 1
    return apart / stages


def _loss(
    model: ImageTokenizer, progress: Progress, x: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss, what was painted) of pixels (N, 3, px, px); while rounding, latents and codes are left in `progress`."""
    if not progress.more.get("rounding"):
        latents = model.latents(x)
        noise = torch.randn_like(latents) * 0.1  # so that the decoder bears the coming rounding
        painted = model.paint(latents + noise).float()
        return _picture_loss(painted, x, weight), painted
    painted, latents, codes = model(x)
    progress.more["latents"] = (latents.detach().flatten(0, 2), codes.flatten())
    commitment = (latents - model.code_vectors[codes]).square().sum(-1).mean()
    painted = painted.float()
    return _picture_loss(painted, x, weight) + 0.25 * commitment, painted


@torch.no_grad()
def _move_codes(model: ImageTokenizer, progress: Progress) -> None:
    """Running averages; every 25 steps, codes that nobody uses jump onto latents of this batch."""
    (latents, codes), counts, sums = (progress.more[name] for name in ("latents", "counts", "sums"))
    counts.mul_(DECAY).add_(torch.bincount(codes, minlength=len(counts)).float(), alpha=1 - DECAY)
    sums.mul_(DECAY).add_(torch.zeros_like(sums).index_add_(0, codes, latents), alpha=1 - DECAY)
    if progress.step % 25 == 0:
        dead = (counts < 0.02).nonzero().flatten()
        chosen = latents[torch.randint(len(latents), (len(dead),), device=latents.device)]
        sums[dead] = chosen * 0.2
        counts[dead] = 0.2
    model.code_vectors.copy_(F.normalize(sums, dim=-1))


@torch.no_grad()
def _start_codebook(model: ImageTokenizer, drawn: DrawnDataset, seed: int, device: str) -> dict[str, Any]:
    """Spherical k-means over the latents of some pictures; returns what is remembered from then on."""
    model.eval()
    rng, size = np.random.default_rng(seed), model.config.codebook_size
    count = min(len(drawn), max(32, size * 20 // model.config.side**2))
    indices = np.sort(rng.choice(len(drawn), count, replace=False))
    parts = [model.latents(to_pixels(drawn.pixels[indices[at : at + 32]], device)) for at in range(0, count, 32)]
    latents = torch.cat(parts).flatten(0, 2)
    chosen = torch.from_numpy(rng.choice(len(latents), size, replace=len(latents) < size)).to(device)
    model.code_vectors.copy_(latents[chosen])
    for _ in range(8):
        codes = model.nearest(latents)
        sums = torch.zeros_like(model.code_vectors).index_add_(0, codes, latents)
        kept = torch.bincount(codes, minlength=size) > 0
        model.code_vectors[kept] = F.normalize(sums[kept], dim=-1)
    model.train()
    return {"rounding": True, "counts": torch.ones(size, device=device), "sums": model.code_vectors.clone()}
