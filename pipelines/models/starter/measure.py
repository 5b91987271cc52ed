"""How well the starter draws what is asked: attribute shares by the critic, beside the same for real drawings.

Every prompt is an identity that training never saw with a combination of expression, clothes and place it never saw.
The critic only judges (it was trained on real drawings alone); the ceiling says how often it reads the real drawing
right.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedTokenizerFast

from pipelines.models.starter.build_experts import context_ids
from pipelines.models.starter.critic import Critic, Sight
from pipelines.models.starter.draw import draw
from pipelines.models.starter.drawn import to_pixels
from pipelines.models.starter.looks import COLOURS, EXPRESSIONS, KINDS, PLACES, Look, identity_for, random_look
from pipelines.models.starter.model import StarterModel
from pipelines.models.starter.wording import made_up_name

BATCH = 16
SHEET_PICTURES = 32


def to_images(pixels: torch.Tensor) -> np.ndarray:
    """(N, 3, h, w) in [-1, 1] to (N, h, w, 3) uint8."""
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def measure_starter(
    model: StarterModel, tokenizer: PreTrainedTokenizerFast, critic: Critic, sheet: Path | None = None, count: int = 96,
    guidance: float = 2.0, seed: int = 0,
) -> dict[str, float]:
    """Shares right on `count` unseen combinations, drawn and real, and pictures a second; `sheet` gets a sample sheet.

    The sheet has real drawings in odd rows and the starter's for the same captions below them.
    """
    rng = random.Random(seed)
    numbers = [20 * (1 + place) for place in range(count)]  # every twentieth identity is held out
    looks = [random_look(rng, identity_for(number), held_out=True) for number in numbers]
    texts = [f"{made_up_name(rng)}, {identity_for(number).words}, {look.description}"
             for number, look in zip(numbers, looks, strict=True)]
    real = np.stack([np.asarray(draw(identity_for(n), look, model.shape.picture_px))
                     for n, look in zip(numbers, looks, strict=True)])
    generator = torch.Generator(model.device).manual_seed(seed)
    parts, began = [], time.perf_counter()
    for start in range(0, count, BATCH):
        prompts = [context_ids(tokenizer, text, model.shape.boi_id, rng) for text in texts[start : start + BATCH]]
        codes = model.sample_pictures(prompts, guidance=guidance, generator=generator).codes
        parts.append(model.decode_pictures(codes))
    seconds = time.perf_counter() - began
    drawn = torch.cat(parts)
    scores = {"pictures": float(count), "guidance": guidance, "pictures_per_second": count / seconds}
    for name, pixels in (("drawn", drawn), ("real", to_pixels(real))):
        with torch.no_grad():
            sight = critic.look(pixels.cpu())
            shares = attribute_shares(critic, sight, numbers, looks)
            scores |= {f"{kind}_{name}": share for kind, share in shares.items()}
            scores[f"caption_match_{name}"] = critic.match(sight, texts).mean().item()
    with torch.no_grad():
        likeness = critic.likeness(critic.look(drawn.cpu()), critic.look(to_pixels(real))).diagonal()
    scores["likeness_to_real"] = likeness.mean().item()
    if sheet is not None:
        save_sheet(sheet, real[:SHEET_PICTURES], to_images(drawn)[:SHEET_PICTURES])
    return {name: round(value, 4) for name, value in scores.items()}


def attribute_shares(critic: Critic, sight: Sight, numbers: list[int], looks: list[Look]) -> dict[str, float]:
    """Share of pictures whose expression, clothes, colour of clothes and place the critic reads as asked."""
    shares: dict[str, float] = {}
    for kind, options, words in (
        ("expression", list(EXPRESSIONS), [look.expression for look in looks]),
        ("place", list(PLACES), [look.place for look in looks]),
    ):
        found = critic.choose(sight, options).argmax(1).tolist()
        shares[kind] = sum(options[best] == word for best, word in zip(found, words, strict=True)) / len(words)
    colours, kinds, dressed = 0, 0, 0
    for row, (number, look) in enumerate(zip(numbers, looks, strict=True)):
        if not look.clothes:
            continue
        dressed += 1
        same_kind = [f"wearing {look.clothes.replace(look.colour, colour)}" for colour in COLOURS]
        best = int(critic.choose(sight[row : row + 1], same_kind).argmax())
        colours += list(COLOURS)[best] == look.colour
        others = [kind for kind in KINDS[identity_for(number).style] if kind]
        same_colour = [f"wearing {look.clothes.replace(look.kind, kind)}" for kind in others]
        kinds += others[int(critic.choose(sight[row : row + 1], same_colour).argmax())] == look.kind
    return shares | {"clothes_colour": colours / dressed, "clothes_kind": kinds / dressed}


def save_sheet(path: Path, real: np.ndarray, drawn: np.ndarray, across: int = 8) -> None:
    """A PNG with rows of real drawings and, below each, the starter's for the same captions."""
    rows = []
    for start in range(0, len(real), across):
        rows += [np.concatenate(list(pictures[start : start + across]), 1) for pictures in (real, drawn)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows, 0)).save(path, optimize=True)
