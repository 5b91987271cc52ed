"""Every model family at toy size, and what the tests of the contract ask of all of them alike."""

from __future__ import annotations

from typing import Any

import torch

from pipelines.models.bagel.random_weights import toy_bagel
from pipelines.models.janus import toy_janus
from pipelines.models.starter.model import toy_starter


def lively_starter(seed: int = 0):
    """The toy starter with wider weights: as it comes, its greedy samples hardly depend on the prompt."""
    model, tokenizer = toy_starter(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and not name.startswith("vq."):
                weight.mul_(7)
    return model, tokenizer


FAMILIES = {"bagel": toy_bagel, "janus": toy_janus, "starter": lively_starter}

SYSTEM = "<|im_start|>system\nYou are Mira Vale, who keeps a lighthouse.<|im_end|>\n"
TALKS = [
    "<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nDraw yourself: happy, in the snow.<|im_end|>\n<|im_start|>assistant\n",
]


def noised(model: Any, row: torch.Tensor) -> dict[str, torch.Tensor]:
    """What `forward` takes for the images that a row (B, T) draws, where these are latents: all are the same."""
    spec = model.spec
    count = int((row >= spec.text_vocab).sum()) // spec.image_tokens if spec.latent_width else 0
    if not count:
        return {}
    generator = torch.Generator().manual_seed(3)
    latents, noise = torch.randn(2, 1, spec.image_tokens, spec.latent_width, generator=generator)
    return {
        "latents": latents.expand(count, -1, -1),
        "noise": noise.expand(count, -1, -1),
        "noise_levels": torch.full((count,), 0.6),
    }


def some_codes(model, count: int, seed: int = 0) -> list[list[int]]:
    """Codes of `count` pictures in the one id space."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(model.spec.codebook, (count, model.spec.image_tokens), generator=generator)
    return (drawn + model.spec.text_vocab).tolist()


def some_images(model, count: int) -> torch.Tensor:
    px = model.spec.image_px
    return torch.rand(count, 3, px, px, generator=torch.Generator().manual_seed(1)) * 2 - 1


def readings(model, row: torch.Tensor, mask=None, labels=None, segments=None, **more) -> torch.Tensor:
    """(B, T) log-probabilities of labelled ids; where images are latents, minus the squared errors of velocities."""
    images = noised(model, row)
    scores = model(row, mask, labels, segments, **images, **more)
    if not images:
        return scores.logps
    errors = (scores.velocity - (images["noise"] - images["latents"])).square().mean(-1)
    assert torch.allclose(scores.flow, errors.mean(-1))
    return scores.logps.masked_scatter(row >= model.spec.text_vocab, -errors)


def scored(model, ids: list[int], **more) -> torch.Tensor:
    """(T,) `readings` of every id but the first."""
    row = torch.tensor([ids])
    labels = row.clone()
    labels[:, 0] = -100
    with torch.no_grad():
        return readings(model, row, labels=labels, **more)[0]


def seeds(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in range(count)]


def prompts_for_pictures(model, tokenizer) -> list[list[int]]:
    return [tokenizer(SYSTEM + talk)["input_ids"] + [model.spec.boi_id] for talk in TALKS]
