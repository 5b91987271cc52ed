"""Train the starter's picture expert behind the frozen language expert.

It learns from drawn pictures and their captions, to draw codes from the hidden states of the caption; one in ten
contexts is emptied, for guidance. The language expert's own weights are never touched, so its language is kept to the
bit and plain chat needs no replay. The codes of a stored set are kept in a file; those of a stream are computed as its
pictures come.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerFast

from pipelines.models.starter.model import EncodedText, StarterModel
from pipelines.starter_build.build_config import BuildSize
from pipelines.starter_build.build_loop import Budget, BuildPart, Progress, summary, train_for
from pipelines.starter_build.dataset import DrawnDataset, to_pixels

DROP = 0.1
"""Share of contexts emptied, for classifier-free guidance."""
FIGURE_WEIGHT = 3.0
"""Weight of a code where faces and clothes are, beside one of the place behind them."""
LEAD_INS = (
    "Here I am.",
    "Look at this!",
    "Of course, one moment.",
    "This is me today.",
    "You asked for a picture.",
    "Well then.",
    "I was thinking of you.",
    "It is lovely here.",
    "Can you see me?",
    "That made me smile.",
    "I have had a long day.",
)
"""Words before the scene in some contexts, so that a reply in front of it does not disturb the drawing."""


def context_ids(tokenizer: PreTrainedTokenizerFast, caption: str, boi_id: int, rng: random.Random) -> list[int]:
    """Ids of the text before a picture, as a character's turn ends: words, scene line, begin-of-picture."""
    lead = rng.choice(LEAD_INS) if rng.random() < 0.4 else ""
    text = f"<|im_start|>assistant\n{lead}\n[scene] {caption}"
    return [*tokenizer(text, add_special_tokens=False).input_ids, boi_id]


def pad_right(rows: list[list[int]], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and bool mask (B, T)."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
    mask = torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in rows], device=device)
    return ids, mask


@torch.no_grad()
def read_contexts(
    model: StarterModel, tokenizer: PreTrainedTokenizerFast, texts: list[str], rng: random.Random
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states (N, K, E) and mask (N, K) of captions, through the first layers of the language expert."""
    rows = [context_ids(tokenizer, text, model.spec.boi_id, rng) for text in texts]
    ids, mask = pad_right(rows, str(model.device))
    places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    words = EncodedText(ids, mask, None, places, places)
    _, middle = model.read(words, None, need_words=False)
    return model.gather_context(words, middle, torch.arange(len(rows), device=ids.device), mask.sum(1) - 1)


def picture_loss(
    model: StarterModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: list[str],
    codes: torch.Tensor,
    rng: random.Random,
    drop: float = DROP,
    figure_weight: float = 1.0,
) -> torch.Tensor:
    """Weighted mean cross-entropy per code (nats) of codes (N, C) given their captions."""
    hidden, mask = read_contexts(model, tokenizer, texts, rng)
    empty = torch.tensor([rng.random() < drop for _ in texts], device=codes.device)
    context, mask = model.picture.context(hidden, mask, empty)
    logits = model.picture.head(model.picture(context, mask, codes))  # (N, C, codebook)
    losses = F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none").view_as(codes)
    weights = figure_weights(codes.shape[1], figure_weight).to(losses)
    return (losses * weights).mean() / weights.mean()


def figure_weights(count: int, weight: float) -> torch.Tensor:
    """(count,) `weight` for the middle columns of a square picture below its top quarter, 1 elsewhere.

    Codes in reading order. Faces stand in the middle and clothes below them; places were drawn right without it.
    """
    side = math.isqrt(count)
    figure = torch.ones(side, side)
    figure[side // 4 :, side // 4 : side - side // 4] = weight
    return figure.flatten()


@torch.no_grad()
def encode_all(model: StarterModel, drawn: DrawnDataset, cache: Path | None = None) -> torch.Tensor:
    """Codes (N, C) of every drawn picture; those of a stored set are kept in `cache` because they never change."""
    if cache is not None and cache.exists():
        codes = torch.from_numpy(np.load(cache).astype(np.int64))
        if codes.shape == (len(drawn), model.spec.image_tokens):
            return codes
    codes = encode(model, drawn, np.arange(len(drawn))).cpu()
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.save(cache, codes.numpy().astype(np.int16))
    return codes


def encode(model: StarterModel, drawn: DrawnDataset, rows: np.ndarray) -> torch.Tensor:
    """Codes (len(rows), C) of some pictures, on the model's device."""
    parts = [
        model.encode_images(to_pixels(drawn.pixels[rows[i : i + 128]], model.device)) for i in range(0, len(rows), 128)
    ]
    return torch.cat(parts)


def train_image_expert(
    model: StarterModel,
    tokenizer: PreTrainedTokenizerFast,
    drawn: DrawnDataset,
    held_out: DrawnDataset,
    out: Path,
    budget: Budget,
    size: BuildSize,
    seed: int = 0,
    stored: bool = True,
) -> dict[str, float]:
    """Train the picture expert; returns steps, seconds, the running loss and the held-out loss (nats a code).

    stored: whether `drawn` is the same set each time, so that its codes may be kept.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    codes = encode_all(model, drawn, out / "codes_train.npy" if stored else None).to(model.device)
    held_codes = encode_all(model, held_out, out / "codes_held_out.npy").to(model.device)
    model.requires_grad_(False)
    model.picture.requires_grad_(True)
    model.picture.train()
    rows = drawn.batches(size.batches["picture"], seed)

    def loss_of(progress: Progress) -> torch.Tensor:
        fresh = drawn.refresh(size.fresh)
        if len(fresh):
            codes[torch.from_numpy(fresh)] = encode(model, drawn, fresh)
        progress.more["place"] = drawn.place
        batch = next(rows)
        texts = [drawn.caption(row, rng) for row in batch]
        return picture_loss(model, tokenizer, texts, codes[torch.from_numpy(batch)], rng, figure_weight=FIGURE_WEIGHT)

    def held_out_loss() -> float:
        quiet, total = random.Random(5), []
        some = list(range(0, len(held_codes), max(1, len(held_codes) // 96)))[:96]
        with torch.no_grad():
            for start in range(0, len(some), 32):
                batch = some[start : start + 32]
                texts = [held_out.caption(row, quiet) for row in batch]
                total.append(picture_loss(model, tokenizer, texts, held_codes[batch], quiet, drop=0.0).item())
        return sum(total) / len(total)

    progress = train_for(
        BuildPart(
            "picture",
            {"picture": model.picture},
            loss_of,
            out / "picture.pt",
            size.rates["picture"],
            check=lambda: f"held-out loss {held_out_loss():.4f}",
        ),
        budget,
    )
    return summary(progress) | {"held_out_loss": held_out_loss()}
