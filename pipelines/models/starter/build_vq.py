"""The part of the build that trains the picture tokenizer, on the drawings of the part `pictures`.

The time budget is the schedule: the learning rate follows a cosine over it. The first twentieth paints from unrounded
latents; then the codebook is set by k-means and follows the latents as running averages, unused codes being moved to
where latents are. The state is kept every minute, so a stopped run goes on where it was.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from pipelines.models.starter.pictures import read_pictures
from pipelines.models.starter.vq import PictureTokenizer, PictureTokenizerConfig

WARM_SHARE = 0.05
"""Share of the budget before rounding to codes starts."""
DECAY = 0.98
"""Of the running averages that move the codes."""
SAVE_EVERY = 60.0
"""Seconds between two saved states."""


@dataclass
class _State:
    """Everything that goes on after a stop, beside the model and the optimizer."""

    step: int = 0
    elapsed: float = 0.0
    """Seconds trained, stops left out."""
    rounding: bool = False
    counts: torch.Tensor = field(default_factory=lambda: torch.zeros(0))
    """Running number of latents of each code, (codebook,)."""
    sums: torch.Tensor = field(default_factory=lambda: torch.zeros(0))
    """Running sum of the latents of each code, (codebook, latent)."""


def train_tokenizer(
    out: Path,
    seconds: float,
    seed: int = 0,
    device: str = "cpu",
    pictures: Path | None = None,
    config: PictureTokenizerConfig | None = None,
    batch: int = 16,
    lr: float = 2e-3,
    decoder_only: bool = False,
) -> dict[str, float]:
    """Train for `seconds` in all, resuming from `out`, and save the tokenizer in bf16 to `out/tokenizer`.

    `pictures` is the folder of the part `pictures` (beside `out` when not given) with its `held_out` inside. Returns
    `held_out_scores` with steps and seconds. With `decoder_only`, a run that already rounds to codes goes on without
    moving encoder and codebook: the codes of every picture stay, so what was trained on them stays valid.
    """
    torch.set_flush_denormal(True)  # tiny second moments of Adam would crawl otherwise
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    folder = pictures or out.parent / "pictures"
    pixels, _ = read_pictures(folder)
    test_pixels, test_records = read_pictures(folder / "held_out")
    model = PictureTokenizer(config or PictureTokenizerConfig()).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.01)
    state = _restore(out / "state.pt", model, optimizer, device)
    model.encoder.requires_grad_(not decoder_only)
    rng = np.random.default_rng([seed, state.step])
    weight = _weights(model.config.px).to(device)
    saved = logged = time.monotonic()
    began = saved - state.elapsed
    while state.elapsed < seconds:
        share = state.elapsed / seconds
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (state.step + 1) / 100) * (0.02 + 0.98 * (1 + math.cos(math.pi * share)) / 2)
        x = _batch(pixels, rng.integers(0, len(pixels), batch), device)
        if share >= WARM_SHARE and not state.rounding:
            _start_codebook(model, state, pixels, rng, device)
        loss, psnr = _step(model, state, x, weight, optimizer)
        now = time.monotonic()
        state.step += 1
        state.elapsed = now - began
        if now - logged > 15 or state.step == 1:
            used = int((state.counts > 0.05).sum()) if state.rounding else 0
            print(f"step {state.step} {state.elapsed:.0f} s loss {loss:.4f} psnr {psnr:.2f} codes {used}", flush=True)
            logged = now
        if now - saved > SAVE_EVERY:
            _keep(out, model, optimizer, state)
            print(json.dumps(held_out_scores(model, test_pixels[::8], test_records[::8])), flush=True)
            sheet(model, test_pixels[::25][:48]).save(out / "sheet.png")
            saved = time.monotonic()
            began += saved - now  # scores and saving do not count as training
    _keep(out, model, optimizer, state)
    model.to(torch.bfloat16).save_pretrained(out / "tokenizer")
    model.to(torch.float32)
    sheet(model, test_pixels[::25][:48]).save(out / "sheet.png")
    scores = held_out_scores(model, test_pixels, test_records) | {"steps": state.step, "seconds": state.elapsed}
    (out / "scores.json").write_text(json.dumps(scores, indent=1), encoding="utf-8")
    return scores


def held_out_scores(model: PictureTokenizer, pixels: np.ndarray, records: list[dict[str, object]]) -> dict[str, float]:
    """PSNR in dB of people and of creatures (mean over pictures) after codes, share of the codebook used."""
    device = str(model.device)
    found, used = [], set()
    for start in range(0, len(pixels), 50):
        x = _batch(pixels, np.arange(start, min(start + 50, len(pixels))), device)
        codes = model.encode(x)
        used.update(codes.unique().tolist())
        found += _psnr(model.decode(codes), x)
    creature = np.array([record["style"] == "critters" for record in records])
    values = np.array(found)
    return {
        "psnr_people": round(float(values[~creature].mean()), 3),
        "psnr_creatures": round(float(values[creature].mean()), 3),
        "codebook_used": round(len(used) / model.config.codebook_size, 4),
    }


def sheet(model: PictureTokenizer, pixels: np.ndarray, columns: int = 12) -> Image.Image:
    """Originals above their reconstructions, in rows of `columns`."""
    x = _batch(pixels, np.arange(len(pixels)), str(model.device))
    both = torch.stack([x, model.decode(model.encode(x))])  # 2, N, 3, px, px
    image = ((both.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 1, 3, 4, 2).cpu().numpy()
    rows = [
        np.concatenate([np.concatenate(list(image[kind, start : start + columns]), axis=1) for kind in (0, 1)])
        for start in range(0, len(pixels), columns)
    ]
    return Image.fromarray(np.concatenate(rows))


def _batch(pixels: np.ndarray, indices: np.ndarray, device: str) -> torch.Tensor:
    """(N, 3, px, px) floats in -1..1, channels last in memory."""
    chosen = torch.from_numpy(np.ascontiguousarray(pixels[np.sort(indices)]))
    return chosen.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def _psnr(painted: torch.Tensor, x: torch.Tensor) -> list[float]:
    """dB for each picture; the range of values is 2."""
    error = (painted.detach().clamp(-1, 1) - x).square().mean((1, 2, 3))
    return (10 * torch.log10(4 / error.clamp_min(1e-8))).tolist()


def _weights(px: int) -> torch.Tensor:
    """(1, 1, px, px): 1 at the border, up to 3 where faces are."""
    line = torch.linspace(-1, 1, px)
    hill = torch.exp(-((line[:, None] + 0.1) / 0.55).pow(4) - (line[None] / 0.5).pow(4))
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


def _step(
    model: PictureTokenizer, state: _State, x: torch.Tensor, weight: torch.Tensor, optimizer: torch.optim.Optimizer
) -> tuple[float, float]:
    """One update; returns the loss and the batch's PSNR in dB."""
    if state.rounding:
        painted, latents, codes = model(x)
        commitment = (latents - model.code_vectors[codes]).square().sum(-1).mean()
    else:
        latents = model.latents(x)
        noise = torch.randn_like(latents) * 0.1  # so that the decoder bears the coming rounding
        painted, codes, commitment = model.paint(latents + noise), None, torch.zeros((), device=x.device)
    loss = _picture_loss(painted, x, weight) + 0.25 * commitment
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if codes is not None and latents.requires_grad:
        _move_codes(model, state, latents.detach().flatten(0, 2), codes.flatten())
    return float(loss.detach()), float(np.mean(_psnr(painted, x)))


@torch.no_grad()
def _move_codes(model: PictureTokenizer, state: _State, latents: torch.Tensor, codes: torch.Tensor) -> None:
    """Running averages; every 25 steps, codes that nobody uses jump onto latents of this batch."""
    size = model.config.codebook_size
    state.counts.mul_(DECAY).add_(torch.bincount(codes, minlength=size).float(), alpha=1 - DECAY)
    state.sums.mul_(DECAY).add_(torch.zeros_like(state.sums).index_add_(0, codes, latents), alpha=1 - DECAY)
    if state.step % 25 == 0:
        dead = (state.counts < 0.02).nonzero().flatten()
        chosen = latents[torch.randint(len(latents), (len(dead),), device=latents.device)]
        state.sums[dead] = chosen * 0.2
        state.counts[dead] = 0.2
    model.code_vectors.copy_(F.normalize(state.sums, dim=-1))


@torch.no_grad()
def _start_codebook(
    model: PictureTokenizer, state: _State, pixels: np.ndarray, rng: np.random.Generator, device: str
) -> None:
    """Spherical k-means over the latents of some pictures."""
    model.eval()
    size = model.config.codebook_size
    count = min(len(pixels), max(32, size * 20 // model.config.side**2))
    indices = rng.choice(len(pixels), count, replace=False)
    parts = [model.latents(_batch(pixels, indices[at : at + 32], device)) for at in range(0, count, 32)]
    latents = torch.cat(parts).flatten(0, 2)
    chosen = torch.from_numpy(rng.choice(len(latents), size, replace=len(latents) < size)).to(device)
    model.code_vectors.copy_(latents[chosen])
    for _ in range(8):
        codes = model.nearest(latents)
        sums = torch.zeros_like(model.code_vectors).index_add_(0, codes, latents)
        kept = torch.bincount(codes, minlength=size) > 0
        model.code_vectors[kept] = F.normalize(sums[kept], dim=-1)
    state.counts = torch.ones(size, device=device)
    state.sums = model.code_vectors.clone()
    state.rounding = True
    model.train()


def _keep(out: Path, model: PictureTokenizer, optimizer: torch.optim.Optimizer, state: _State) -> None:
    """Write the state; the old one stays until the new one is whole."""
    part = out / "state.part.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "state": vars(state)}, part)
    part.replace(out / "state.pt")


def _restore(path: Path, model: PictureTokenizer, optimizer: torch.optim.Optimizer, device: str) -> _State:
    """The kept state, loaded into model and optimizer, or a fresh one."""
    if not path.exists():
        return _State()
    kept = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    return _State(**kept["state"])
