"""Train the starter's image expert behind the frozen language expert.

It learns, from rendered images and their captions, to generate image codes from the hidden states of the caption. One
in ten contexts is emptied, for classifier-free guidance. The language expert's weights are not trained, so its language
stays SmolLM2's to the bit and no replay of plain chat is needed. The codes of a stored set are kept in a file; those of
a stream are computed as its images arrive.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerFast

from pipelines.models.starter.encoded_text import EncodedText
from pipelines.models.starter.model import StarterModel
from pipelines.starter_build.build_config import BuildSize
from pipelines.starter_build.build_loop import (
    STREAM_POSITION,
    Budget,
    BuildPart,
    Progress,
    progress_scores,
    train_for,
)
from pipelines.starter_build.dataset import DrawnDataset, to_pixels

CONTEXT_DROPOUT = 0.1
"""Probability that a context is emptied, for classifier-free guidance."""
FOREGROUND_WEIGHT = 3.0
"""Loss weight of a code where faces and clothes are, relative to one of the background."""
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
"""Text before the scene line in some contexts, so that a reply in front of it does not change the image."""


def context_ids(tokenizer: PreTrainedTokenizerFast, caption: str, boi_id: int, rng: random.Random) -> list[int]:
    """Ids of the text before an image as a character's turn ends: reply, scene line, begin-of-image."""
    lead_in = rng.choice(LEAD_INS) if rng.random() < 0.4 else ""
    text = f"<|im_start|>assistant\n{lead_in}\n[scene] {caption}"
    return [*tokenizer(text, add_special_tokens=False).input_ids, boi_id]


def pad_right(rows: list[list[int]], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and bool mask (B, T)."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
    mask = torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in rows], device=device)
    return ids, mask


@torch.no_grad()
def encode_contexts(
    model: StarterModel, tokenizer: PreTrainedTokenizerFast, captions: list[str], rng: random.Random
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states (N, K, E) and mask (N, K) of captions, after the first layers of the language expert."""
    rows = [context_ids(tokenizer, caption, model.spec.boi_id, rng) for caption in captions]
    ids, mask = pad_right(rows, str(model.device))
    positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)  # rows are padded on the right
    encoded = EncodedText(ids, mask, None, positions, positions)
    # Only up to the layer in which the image expert reads its context; the later layers are for text alone.
    _, hidden = model.hidden_states(encoded, None, need_text=False)
    # The context of row n ends at its last token, begin-of-image.
    return model.gather_context(encoded, hidden, torch.arange(len(rows), device=ids.device), mask.sum(1) - 1)


def image_code_loss(
    model: StarterModel,
    tokenizer: PreTrainedTokenizerFast,
    captions: list[str],
    codes: torch.Tensor,
    rng: random.Random,
    context_dropout: float = CONTEXT_DROPOUT,
    foreground_weight: float = 1.0,
) -> torch.Tensor:
    """Weighted mean cross-entropy (nats per code) of codes (N, C) given their captions."""
    hidden, mask = encode_contexts(model, tokenizer, captions, rng)  # (N, K, E), (N, K)
    empty = torch.tensor([rng.random() < context_dropout for _ in captions], device=codes.device)
    context, mask = model.picture.context(hidden, mask, empty)  # (N, K, D): the expert's own width
    logits = model.picture.head(model.picture(context, mask, codes))  # (N, C, codebook)
    losses = F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none").view_as(codes)
    weights = foreground_weights(codes.shape[1], foreground_weight).to(losses)
    return (losses * weights).mean() / weights.mean()  # divided so that the weight does not change the step size


def foreground_weights(count: int, weight: float) -> torch.Tensor:
    """(count,) `weight` for the middle columns of a square image below its top quarter, 1 elsewhere.

    Codes are in raster order. The figure stands there; places were generated right without a weight.
    """
    side = math.isqrt(count)
    weights = torch.ones(side, side)
    weights[side // 4 :, side // 4 : side - side // 4] = weight
    return weights.flatten()


@torch.no_grad()
def cached_codes(model: StarterModel, dataset: DrawnDataset, cache: Path | None = None) -> torch.Tensor:
    """Codes (N, C) of every image; those of a stored set are kept in the file `cache` because they never change."""
    if cache is not None and cache.exists():
        codes = torch.from_numpy(np.load(cache).astype(np.int64))
        if codes.shape == (len(dataset), model.spec.image_tokens):
            return codes
    codes = compute_codes(model, dataset, np.arange(len(dataset))).cpu()
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.save(cache, codes.numpy().astype(np.int16))  # a codebook has at most 4,096 codes
    return codes


def compute_codes(model: StarterModel, dataset: DrawnDataset, rows: np.ndarray) -> torch.Tensor:
    """Codes (len(rows), C) of some images, on the model's device."""
    batches = (rows[i : i + 128] for i in range(0, len(rows), 128))
    return torch.cat([model.encode_images(to_pixels(dataset.pixels[batch], model.device)) for batch in batches])


def train_image_expert(
    model: StarterModel,
    tokenizer: PreTrainedTokenizerFast,
    train_set: DrawnDataset,
    held_out: DrawnDataset,
    out: Path,
    budget: Budget,
    size: BuildSize,
    seed: int = 0,
    stored: bool = True,
) -> dict[str, float]:
    """Train the image expert; returns steps, seconds, the running loss and the held-out loss (nats per code).

    stored: whether `train_set` is the same set in each call, so that its codes may be kept.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    codes = cached_codes(model, train_set, out / "codes_train.npy" if stored else None).to(model.device)
    held_out_codes = cached_codes(model, held_out, out / "codes_held_out.npy").to(model.device)
    model.requires_grad_(False)  # the language expert stays SmolLM2's
    model.picture.requires_grad_(True)
    model.picture.train()
    batches = train_set.batches(size.batch_sizes["picture"], seed)

    def compute_loss(progress: Progress) -> torch.Tensor:
        changed = train_set.refresh(size.max_new_images)
        if len(changed):  # these rows of the stream's window show new images now
            codes[torch.from_numpy(changed)] = compute_codes(model, train_set, changed)
        progress.part_state[STREAM_POSITION] = train_set.position
        rows = next(batches)
        captions = [train_set.caption(row, rng) for row in rows]
        row_codes = codes[torch.from_numpy(rows)]
        return image_code_loss(model, tokenizer, captions, row_codes, rng, foreground_weight=FOREGROUND_WEIGHT)

    def held_out_loss() -> float:
        # 96 images at even distances, the same captions each time.
        fixed_rng, losses = random.Random(5), []
        chosen = list(range(0, len(held_out_codes), max(1, len(held_out_codes) // 96)))[:96]
        with torch.no_grad():
            for start in range(0, len(chosen), 32):
                rows = chosen[start : start + 32]
                captions = [held_out.caption(row, fixed_rng) for row in rows]
                loss = image_code_loss(model, tokenizer, captions, held_out_codes[rows], fixed_rng, context_dropout=0.0)
                losses.append(loss.item())
        return sum(losses) / len(losses)

    progress = train_for(
        BuildPart(
            "picture",
            {"picture": model.picture},
            compute_loss,
            out / "picture.pt",
            size.learning_rates["picture"],
            evaluate=lambda: f"held-out loss {held_out_loss():.4f}",
        ),
        budget,
    )
    return progress_scores(progress) | {"held_out_loss": held_out_loss()}
