"""How well the picture expert draws what is asked, read by the critic and by a plain attribute classifier.

Every prompt is an identity that training never saw with a combination of expression, clothes and place it never saw.
Both judges saw real drawings alone; beside each share stands the same reading of the real drawings, which is as high
as the drawn ones can come.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from pipelines.evaluation.attribute_classifier import shares_right
from pipelines.inference.generate import CHAT_SAMPLING
from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, EXTRAS, KINDS, PLACES, WIDE_PLACES
from pipelines.rewards.starter_critic import ImageFeatures, StarterCritic
from pipelines.starter_build.build_experts import context_ids
from pipelines.starter_build.dataset import to_pixels
from pipelines.starter_build.drawings.attributes import Attributes, Domain, Identity
from pipelines.starter_build.drawings.caption_templates import made_up_name
from pipelines.starter_build.drawings.render_svg import render_image

if TYPE_CHECKING:
    from pipelines.starter_build.measure import BuildScores

BATCH = 16
SHEET_PICTURES = 32
ImageRequest = list[tuple[Identity, Attributes]]


def unseen(domain: Domain, count: int, seed: int = 0) -> ImageRequest:
    """Held-out identities, each in a combination that training never showed."""
    rng = random.Random(seed)
    identities = [domain.identity(20 * (1 + place)) for place in range(count)]  # every twentieth is held out
    return [(identity, domain.look(rng, identity, held_out=True)) for identity in identities]


def prompts_of(asked: ImageRequest, seed: int = 0) -> list[str]:
    """A caption for each: a made-up name, the figure in words, the look."""
    rng = random.Random(seed)
    return [f"{made_up_name(rng)}, {identity.words}, {look.description}" for identity, look in asked]


@torch.no_grad()
def drawn_by(what: BuildScores, texts: list[str], guidance: float, seed: int = 0) -> torch.Tensor:
    """(N, 3, px, px) in [-1, 1] on the CPU: one picture a caption, at the temperature that people get."""
    generator = torch.Generator(what.model.device).manual_seed(seed)
    rng, parts = random.Random(seed), []
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        prompts = [context_ids(what.tokenizer, text, what.model.spec.boi_id, rng) for text in batch]
        codes = what.model.sample_images(
            prompts, replace(CHAT_SAMPLING, guidance_scale=guidance), generator=generator
        ).codes
        parts.append(what.model.decode_images(codes).float().cpu())
    return torch.cat(parts)


def measure_images(what: BuildScores, count: int, guidance: float, sheet: Path | None = None) -> dict[str, float]:
    """Shares right on `count` unseen combinations, drawn and real, and the seconds for one picture and for eight."""
    asked = unseen(what.held_out.domain, count)
    texts = prompts_of(asked)
    px = what.model.spec.image_px
    real = np.stack([np.asarray(render_image(identity, look, px)) for identity, look in asked])
    drawn = drawn_by(what, texts, guidance)
    scores = {"pictures": float(count), "guidance": guidance}
    for name, pixels in (("drawn", drawn), ("real", to_pixels(real))):
        scores |= {f"{key}_{name}": value for key, value in both_read(what, pixels, asked, texts).items()}
    with torch.no_grad():
        pairs = what.critic.likeness(seen(what.critic, drawn), seen(what.critic, to_pixels(real)))
    scores["likeness_to_real"] = pairs.diagonal().mean().item()
    for pictures in (1, 8):
        drawn_by(what, texts[:pictures], guidance)  # once to warm up
        began = time.perf_counter()
        drawn_by(what, texts[:pictures], guidance)
        scores[f"seconds_for_{pictures}"] = time.perf_counter() - began
    if sheet is not None:
        save_sheet(sheet, real[:SHEET_PICTURES], to_images(drawn)[:SHEET_PICTURES])
    return scores


def sweep_guidance(what: BuildScores, count: int, strengths: tuple[float, ...]) -> dict[str, float]:
    """The critic's readings for each strength of guidance on the same unseen combinations."""
    asked = unseen(what.held_out.domain, count, seed=1)
    texts = prompts_of(asked, seed=1)
    scores: dict[str, float] = {}
    for strength in strengths:
        read = both_read(what, drawn_by(what, texts, strength, seed=1), asked, texts)
        kept = ("critic_expression", "critic_clothes_colour", "critic_clothes_kind", "critic_place", "caption_match")
        scores |= {f"{name}_at_{strength:g}": read[name] for name in kept if name in read}
    return scores


def both_read(what: BuildScores, pixels: torch.Tensor, asked: ImageRequest, texts: list[str]) -> dict[str, float]:
    """Shares of pictures that critic and classifier read as asked, and the mean caption match."""
    sight = seen(what.critic, pixels)
    shares = {f"critic_{name}": share for name, share in attribute_shares(what.critic, sight, asked).items()}
    if what.reader is not None:
        right = shares_right(what.reader.read(pixels), asked)
        shares |= {f"classifier_{name}": share for name, share in right.items()}
    with torch.no_grad():
        return shares | {"caption_match": what.critic.match(sight, texts).mean().item()}


@torch.no_grad()
def seen(critic: StarterCritic, pixels: torch.Tensor) -> ImageFeatures:
    """Sights of any number of pictures, a hundred at a time."""
    parts = [critic.look(pixels[i : i + 100].to(critic.device)) for i in range(0, len(pixels), 100)]
    return ImageFeatures(torch.cat([part.caption for part in parts]), torch.cat([part.identity for part in parts]))


@torch.no_grad()
def attributes_right(critic: StarterCritic, sight: ImageFeatures, asked: ImageRequest) -> dict[str, list[bool | None]]:
    """Whether the critic reads each picture's attributes as asked, chosen among all; None where nothing was asked.

    The colour of clothes is chosen with their kind given, the kind with the colour given.
    """
    looks = [look for _, look in asked]
    places = PLACES if all(look.place in PLACES for look in looks) else WIDE_PLACES
    found: dict[str, list[bool | None]] = {"clothes_colour": [], "clothes_kind": []}
    for kind, options, words in (
        ("expression", EXPRESSIONS, [look.expression for look in looks]),
        ("place", places, [look.place for look in looks]),
        ("extra", EXTRAS, [look.extra for look in looks]),
    ):
        if any(words):
            best = critic.choose(sight, list(options)).argmax(1).tolist()
            found[kind] = [options[at] == word if word else None for at, word in zip(best, words, strict=True)]
    for row, (identity, look) in enumerate(asked):
        if not look.clothes:
            found["clothes_colour"].append(None)
            found["clothes_kind"].append(None)
            continue
        same_kind = [f"wearing {look.clothes.replace(look.colour, colour)}" for colour in COLOURS]
        colour = list(COLOURS)[int(critic.choose(sight[row : row + 1], same_kind).argmax())]
        others = [kind for kind in KINDS[identity.style] if kind]
        same_colour = [f"wearing {look.clothes.replace(look.kind, kind)}" for kind in others]
        kind = others[int(critic.choose(sight[row : row + 1], same_colour).argmax())]
        found["clothes_colour"].append(colour == look.colour)
        found["clothes_kind"].append(kind == look.kind)
    return found


def attribute_shares(critic: StarterCritic, sight: ImageFeatures, asked: ImageRequest) -> dict[str, float]:
    """The share right of each attribute that anybody was asked for."""
    shares = {}
    for kind, rows in attributes_right(critic, sight, asked).items():
        known = [right for right in rows if right is not None]
        if known:
            shares[kind] = sum(known) / len(known)
    return shares


def to_images(pixels: torch.Tensor) -> np.ndarray:
    """(N, 3, h, w) in [-1, 1] to (N, h, w, 3) uint8."""
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def save_sheet(path: Path, real: np.ndarray, drawn: np.ndarray, across: int = 8) -> None:
    """A PNG with rows of real drawings and, below each, the starter's for the same captions."""
    blank = np.full_like(real[:1], 255)
    rows = []
    for start in range(0, len(real), across):
        for pictures in (real[start : start + across], drawn[start : start + across]):
            padded = [*pictures, *[blank[0]] * (across - len(pictures))]
            rows.append(np.concatenate(padded, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows, 0)).save(path, optimize=True)
