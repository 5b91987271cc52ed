"""How well the image expert draws what is asked for, as read by the critic and by the attribute classifier.

Every prompt is a held-out identity in a held-out combination of expression, clothes and place. Both readers were
trained on rendered images only; beside each accuracy stands theirs on the rendering of the same prompt (`_real`), which
is the ceiling for the generated image (`_drawn`).
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipelines.inference.generate import CHAT_SAMPLING
from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, EXTRAS, KINDS, PLACES, WIDE_PLACES
from pipelines.rewards.image_features import ImageFeatures
from pipelines.rewards.starter_critic import StarterCritic
from pipelines.starter_build.build_classifier import classifier_accuracies
from pipelines.starter_build.dataset import to_pixels
from pipelines.starter_build.drawings.attributes import Attributes, Domain, Identity
from pipelines.starter_build.drawings.caption_templates import made_up_name
from pipelines.starter_build.drawings.render_svg import render_image
from pipelines.starter_build.image_contexts import context_ids
from pipelines.starter_build.measure_context import MeasureContext

BATCH = 16
SHEET_IMAGES = 32
SWEEP_SCORES = ("critic_expression", "critic_clothes_colour", "critic_clothes_kind", "critic_place", "caption_match")
"""What is kept for each guidance scale of the sweep."""
ImageRequest = tuple[Identity, Attributes]
"""What one image is to show."""


def held_out_requests(domain: Domain, count: int, seed: int = 0) -> list[ImageRequest]:
    """Held-out identities, each in a held-out combination of attributes."""
    rng = random.Random(seed)
    identities = [domain.identity(20 * (1 + number)) for number in range(count)]  # every twentieth number is held out
    return [(identity, domain.sample_attributes(rng, identity, held_out=True)) for identity in identities]


def request_captions(requests: list[ImageRequest], seed: int = 0) -> list[str]:
    """A caption for each: a made-up name, the figure in words, the attributes."""
    rng = random.Random(seed)
    return [f"{made_up_name(rng)}, {identity.words}, {attributes.description}" for identity, attributes in requests]


@torch.no_grad()
def generate_from_captions(
    context: MeasureContext, captions: list[str], guidance: float, seed: int = 0
) -> torch.Tensor:
    """(N, 3, px, px) in [-1, 1] on the CPU: one image per caption, sampled as chat does."""
    model = context.model
    generator = torch.Generator(model.device).manual_seed(seed)
    sampling = replace(CHAT_SAMPLING, guidance_scale=guidance)
    rng, parts = random.Random(seed), []
    for start in range(0, len(captions), BATCH):
        batch = captions[start : start + BATCH]
        prompts = [context_ids(context.tokenizer, caption, model.spec.boi_id, rng) for caption in batch]
        codes = model.sample_images(prompts, sampling, generator=generator).codes
        parts.append(model.decode_images(codes).float().cpu())
    return torch.cat(parts)


def measure_images(context: MeasureContext, count: int, guidance: float, sheet: Path | None = None) -> dict[str, float]:
    """Accuracies on `count` held-out requests, generated and rendered; seconds for one image and for a batch of 8."""
    requests = held_out_requests(context.held_out.domain, count)
    captions = request_captions(requests)
    px = context.model.spec.image_px
    rendered = np.stack([np.asarray(render_image(identity, attributes, px)) for identity, attributes in requests])
    generated = generate_from_captions(context, captions, guidance)
    scores = {"pictures": float(count), "guidance": guidance}
    for name, pixels in (("drawn", generated), ("real", to_pixels(rendered))):
        scores |= {f"{key}_{name}": value for key, value in request_scores(context, pixels, requests, captions).items()}
    with torch.no_grad():
        generated_features = image_features(context.critic, generated)
        likeness = context.critic.likeness(generated_features, image_features(context.critic, to_pixels(rendered)))
        # (N, N); image n is compared with the rendering of its own request only
    scores["likeness_to_real"] = likeness.diagonal().mean().item()
    for batch in (1, 8):  # latency of one image, throughput of a batch
        generate_from_captions(context, captions[:batch], guidance)  # warm-up
        began = time.perf_counter()
        generate_from_captions(context, captions[:batch], guidance)
        scores[f"seconds_for_{batch}"] = time.perf_counter() - began
    if sheet is not None:
        save_sheet(sheet, rendered[:SHEET_IMAGES], to_uint8(generated)[:SHEET_IMAGES])
    return scores


def sweep_guidance(context: MeasureContext, count: int, scales: tuple[float, ...]) -> dict[str, float]:
    """`SWEEP_SCORES` for each guidance scale on the same held-out requests."""
    requests = held_out_requests(context.held_out.domain, count, seed=1)
    captions = request_captions(requests, seed=1)
    scores: dict[str, float] = {}
    for scale in scales:
        generated = generate_from_captions(context, captions, scale, seed=1)
        found = request_scores(context, generated, requests, captions)
        scores |= {f"{name}_at_{scale:g}": found[name] for name in SWEEP_SCORES if name in found}
    return scores


def request_scores(
    context: MeasureContext, pixels: torch.Tensor, requests: list[ImageRequest], captions: list[str]
) -> dict[str, float]:
    """Accuracy of each attribute as the critic and the classifier read it, and the mean caption match."""
    features = image_features(context.critic, pixels)
    accuracies = critic_accuracies(context.critic, features, requests)
    scores = {f"critic_{name}": value for name, value in accuracies.items()}
    if context.classifier is not None:
        accuracies = classifier_accuracies(context.classifier.classify(pixels), requests)
        scores |= {f"classifier_{name}": value for name, value in accuracies.items()}
    with torch.no_grad():
        return scores | {"caption_match": context.critic.match(features, captions).mean().item()}


@torch.no_grad()
def image_features(critic: StarterCritic, pixels: torch.Tensor) -> ImageFeatures:
    """The critic's features of any number of images (N, 3, h, w), in batches of 100."""
    parts = [critic.encode_images(pixels[i : i + 100].to(critic.device)) for i in range(0, len(pixels), 100)]
    return ImageFeatures(torch.cat([part.caption for part in parts]), torch.cat([part.identity for part in parts]))


@torch.no_grad()
def attribute_matches(
    critic: StarterCritic, features: ImageFeatures, requests: list[ImageRequest]
) -> dict[str, list[bool | None]]:
    """Attribute -> whether the critic's most likely option is the requested one; None where nothing was requested.

    The colour of clothes is chosen with their kind given, the kind with the colour given.
    """
    wanted = [attributes for _, attributes in requests]
    # A critic of the first domain was not trained on the wide places.
    places = PLACES if all(one.place in PLACES for one in wanted) else WIDE_PLACES
    matches: dict[str, list[bool | None]] = {"clothes_colour": [], "clothes_kind": []}
    for name, options, words in (
        ("expression", EXPRESSIONS, [one.expression for one in wanted]),
        ("place", places, [one.place for one in wanted]),
        ("extra", EXTRAS, [one.extra for one in wanted]),
    ):
        if any(words):
            best = critic.caption_probs(features, list(options)).argmax(1).tolist()
            matches[name] = [
                options[number] == word if word else None for number, word in zip(best, words, strict=True)
            ]
    for row, (identity, attributes) in enumerate(requests):
        if not attributes.clothes:
            matches["clothes_colour"].append(None)
            matches["clothes_kind"].append(None)
            continue
        one = features[row : row + 1]
        in_colours = [f"wearing {attributes.clothes.replace(attributes.colour, colour)}" for colour in COLOURS]
        colour = list(COLOURS)[int(critic.caption_probs(one, in_colours).argmax())]
        kinds = [kind for kind in KINDS[identity.style] if kind]
        of_kinds = [f"wearing {attributes.clothes.replace(attributes.kind, kind)}" for kind in kinds]
        kind = kinds[int(critic.caption_probs(one, of_kinds).argmax())]
        matches["clothes_colour"].append(colour == attributes.colour)
        matches["clothes_kind"].append(kind == attributes.kind)
    return matches


def critic_accuracies(critic: StarterCritic, features: ImageFeatures, requests: list[ImageRequest]) -> dict[str, float]:
    """Attribute -> share of `attribute_matches`, over the images for which it was requested."""
    accuracies = {}
    for name, rows in attribute_matches(critic, features, requests).items():
        requested = [match for match in rows if match is not None]
        if requested:
            accuracies[name] = sum(requested) / len(requested)
    return accuracies


def to_uint8(pixels: torch.Tensor) -> np.ndarray:
    """(N, 3, h, w) in [-1, 1] to (N, h, w, 3) uint8."""
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def save_sheet(path: Path, rendered: np.ndarray, generated: np.ndarray, columns: int = 8) -> None:
    """A PNG with rows of rendered images and, below each, the generated ones for the same captions."""
    blank = np.full_like(rendered[0], 255)
    rows = []
    for start in range(0, len(rendered), columns):
        for images in (rendered[start : start + columns], generated[start : start + columns]):
            padded = [*images, *[blank] * (columns - len(images))]
            rows.append(np.concatenate(padded, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows, 0)).save(path, optimize=True)
