"""Best of several: each image is drawn a few times in one batch, and the drawing that a judge likes best is kept.

What it likes is the product of two numbers in 0..1: how much a drawing looks like the character's references, and how
well it shows the words that it was asked for. A drawing of somebody else and one of something else both score low.
For people who chat or look at drawings; evaluation and rollouts, which measure single drawings with the same judge,
never use it.

Dimension letters: P prompts, G drawings of a prompt, N = P * G, R references of a prompt, C codes of an image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from pipelines.core.jobs.reply_protocol import BEST_OF, MAX_BEST_OF
from pipelines.inference.generate_images import generate_images
from pipelines.models.decoding.multi_lora import LoraBatch
from pipelines.models.decoding.sampling import Generators, Sampling
from pipelines.models.interface import UnifiedModel
from pipelines.rewards.image_features import ImageFeatures
from pipelines.rewards.judge import Judge


@dataclass(frozen=True)
class BestOf:
    """How one drawing is chosen from several."""

    judge: Judge
    count: int = BEST_OF

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_BEST_OF:
            raise ValueError(f"the best of {self.count} drawings cannot be kept: ask for 1 to {MAX_BEST_OF}")


def generate_best_images(
    model: UnifiedModel,
    prompts: list[list[int]],
    descriptions: Sequence[str],
    sampling: Sampling,
    best_of: BestOf | None,
    *,
    reference_codes: torch.Tensor | None = None,
    generator: Generators = None,
    loras: LoraBatch | None = None,
    on_step: Callable[[], None] | None = None,
) -> torch.Tensor:
    """(P, 3, px, px) in [-1, 1]: one image after each prompt, chosen if `best_of` says so.

    descriptions: what was asked for, for each prompt, without the character's name. Other arguments as for
    `generate_images`.
    """
    count = 1 if best_of is None else best_of.count
    pixels = generate_images(
        model,
        prompts,
        sampling,
        num_return_sequences=count,
        reference_codes=reference_codes,
        generator=generator,
        loras=loras,
        on_step=on_step,
    )  # (N, 3, px, px)
    if best_of is None or count == 1:
        return pixels
    with torch.inference_mode():
        own = reference_features(model, best_of.judge, reference_codes, len(prompts))
        scores = preference(best_of.judge, pixels, descriptions, own)  # (P, G)
    first = torch.arange(0, len(pixels), count)
    return pixels[(first + scores.argmax(1)).to(pixels.device)]


def preference(
    judge: Judge, pixels: torch.Tensor, descriptions: Sequence[str], own: Sequence[ImageFeatures | None]
) -> torch.Tensor:
    """(P, G) in 0..1, on the CPU: how much the judge likes each of N images, prompt-major.

    own: features (R, D) of each prompt's references; None where it has none, then the words alone count.
    """
    features = judge.encode_images(pixels)
    count = len(pixels) // len(descriptions)
    captions = [text for text in descriptions for _ in range(count)]
    scores = judge.match(features, captions).float().cpu().view(-1, count)
    for row, references in enumerate(own):
        if references is not None:
            drawn = features[row * count : (row + 1) * count]
            scores[row] *= judge.likeness(drawn, references).float().mean(1).cpu()
    return scores


def reference_features(
    model: UnifiedModel, judge: Judge, reference_codes: torch.Tensor | None, prompts: int
) -> list[ImageFeatures | None]:
    """What the judge sees in each prompt's references (P, R, C), decoded; equal ones are decoded once."""
    seen: dict[tuple[int, ...], ImageFeatures | None] = {(): None}
    rows = [[]] * prompts if reference_codes is None else reference_codes.tolist()
    found = []
    for row in rows:
        present = [codes for codes in row if codes[0] >= 0]  # -1 fills the places of absent references
        key = tuple(code for codes in present for code in codes)
        if key not in seen:
            seen[key] = judge.encode_images(model.decode_images(torch.tensor(present, device=model.device)))
        found.append(seen[key])
    return found
