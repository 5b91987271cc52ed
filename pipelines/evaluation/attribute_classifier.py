"""A plain attribute classifier: the second opinion on what a picture shows, trained on real drawings only.

Where the critic shares its ideas of words with nobody, this one has none: a small convolutional net with one softmax a
question. It is never shipped and never rewards anything; the build's measures alone read with it (`measure.py`).
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, EXTRAS, GLASSES, HAIR_COLOURS, KINDS, WIDE_PLACES
from pipelines.rewards.starter_critic import Block
from pipelines.starter_build.build_config import BuildSize
from pipelines.starter_build.build_loop import Budget, BuildPart, Progress, linear, summary, train_for
from pipelines.starter_build.dataset import DrawnDataset, to_pixels
from pipelines.starter_build.drawings.attributes import Attributes, Identity

ANSWERS = {
    "expression": EXPRESSIONS,
    "hair_colour": tuple(HAIR_COLOURS),
    "clothes_kind": tuple(sorted({kind for kinds in KINDS.values() for kind in kinds})),
    "clothes_colour": tuple(COLOURS),
    "accessory": ("", *GLASSES, "earrings"),
    "place": WIDE_PLACES,
    "extra": ("", *EXTRAS),
}
"""Attribute -> what it may be; "" is nothing. Accessories are glasses and earrings; extras are what is held."""


def attributes_of(identity: Identity, look: Attributes) -> dict[str, str | None]:
    """The right answers for one picture; None where the question does not arise (the hair colour of a robot)."""
    return {
        "expression": look.expression,
        "hair_colour": identity.hair_colour or None,
        "clothes_kind": look.kind,
        "clothes_colour": look.colour or None,
        "accessory": identity.glasses,
        "place": look.place,
        "extra": look.extra,
    }


class AttributeConfig(PretrainedConfig):
    """Sizes of the classifier."""

    model_type = "understudy_attributes"
    has_no_defaults_at_init = True

    def __init__(self, px: int = 64, channels: tuple[int, ...] = (24, 48, 96, 128), **kwargs: Any) -> None:
        """px: side pictures are resized to."""
        self.px = px
        self.channels = list(channels)
        super().__init__(**kwargs)


class AttributeReader(PreTrainedModel):
    """Pixels to one distribution a question."""

    config_class = AttributeConfig
    config: AttributeConfig

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__(config)
        stages: list[nn.Module] = []
        before = 3
        for channels in config.channels:  # each stage halves the side
            stages += [
                nn.Conv2d(before, channels, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                Block(channels),
            ]
            before = channels
        self.eye = nn.Sequential(*stages)
        places = (config.px // 2 ** len(config.channels)) ** 2
        self.squeeze = nn.Conv2d(before, 32, 1)
        width = before + 32 * places
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(words)) for name, words in ANSWERS.items()})
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        # Layers keep PyTorch's own initialisation.
        return

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """(N, 3, any, any) in [-1, 1] to attribute -> logits (N, answers)."""
        size = (self.config.px, self.config.px)
        if pixels.shape[-2:] != size:
            pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
        seen = self.eye(pixels)
        features = torch.cat([seen.mean((2, 3)), self.squeeze(seen).flatten(1)], 1)
        return {name: head(features) for name, head in self.heads.items()}

    @torch.no_grad()
    def read(self, pixels: torch.Tensor) -> dict[str, list[str]]:
        """(N, 3, any, any) to attribute -> the likeliest answer for each picture."""
        parts = [self(pixels[i : i + 100].to(self.device)) for i in range(0, len(pixels), 100)]
        return {
            name: [words[best] for part in parts for best in part[name].argmax(1).tolist()]
            for name, words in ANSWERS.items()
        }


def targets(rows: list[tuple[Identity, Attributes]]) -> dict[str, torch.Tensor]:
    """Attribute -> index of the right answer (N,), -100 where there is none."""
    right = [attributes_of(identity, look) for identity, look in rows]
    return {
        name: torch.tensor([words.index(row[name]) if row[name] is not None else -100 for row in right])
        for name, words in ANSWERS.items()
    }


def shares_right(found: dict[str, list[str]], rows: list[tuple[Identity, Attributes]]) -> dict[str, float]:
    """Attribute -> share of pictures read as asked, where the question arises; attributes nobody has are left out."""
    right = [attributes_of(identity, look) for identity, look in rows]
    shares: dict[str, float] = {}
    for name, words in found.items():
        asked = [(word, row[name]) for word, row in zip(words, right, strict=True) if row[name] is not None]
        if any(wanted for _, wanted in asked):
            shares[name] = sum(word == wanted for word, wanted in asked) / len(asked)
    return shares


def train_classifier(
    drawn: DrawnDataset,
    held_out: DrawnDataset,
    out: Path,
    budget: Budget,
    size: BuildSize,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, float]:
    """Train on real drawings, save to `out`/model; returns the shares right on held-out drawings."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    reader = AttributeReader(AttributeConfig(**size.classifier)).to(device, memory_format=torch.channels_last).train()
    rows = drawn.batches(size.batches["classifier"], seed)

    def loss_of(progress: Progress) -> torch.Tensor:
        drawn.refresh()
        progress.more["place"] = drawn.place
        batch = next(rows)
        pixels = to_pixels(drawn.pixels[batch], device)
        # The starter's pictures are a little blurred and shifted; what they show must be read all the same.
        if rng.random() < 0.5:
            pixels = F.avg_pool2d(pixels, 3, stride=1, padding=1, count_include_pad=False)
        pixels = torch.roll(pixels, (rng.randint(-3, 3), rng.randint(-3, 3)), (2, 3))
        wanted = targets([(drawn.figure(row), drawn.looks[row]) for row in batch.tolist()])
        losses = [
            F.cross_entropy(logits, wanted[name].to(device), ignore_index=-100, reduction="sum") / len(batch)
            for name, logits in reader(pixels).items()
        ]
        return torch.stack(losses).sum()

    part = BuildPart("classifier", {"model": reader}, loss_of, out / "state.pt", size.rates["classifier"], linear)
    progress = train_for(part, budget)
    reader.eval()
    shown = [(held_out.figure(row), held_out.looks[row]) for row in range(len(held_out))]
    right = shares_right(reader.read(to_pixels(held_out.pixels)), shown)
    reader.to(torch.bfloat16).save_pretrained(out / "model")
    return {f"{name}_right": round(share, 4) for name, share in right.items()} | summary(progress)
