"""Train the attribute classifier (`pipelines.evaluation.attribute_classifier`) on rendered images.

The labels come from the attributes that each image was rendered from. Run by `build.py classifier`; also holds the
accuracy that `measure_*` computes from the classifier's answers.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
import torch.nn.functional as F

from pipelines.evaluation.attribute_classifier import ANSWERS, AttributeClassifier, AttributeClassifierConfig
from pipelines.starter_build.build_config import BuildSize
from pipelines.starter_build.build_critic import shrunk
from pipelines.starter_build.build_loop import (
    STREAM_POSITION,
    Budget,
    BuildPart,
    Progress,
    linear_decay,
    progress_scores,
    train_for,
)
from pipelines.starter_build.dataset import DrawnDataset, to_pixels
from pipelines.starter_build.drawings.attributes import Attributes, Identity

IGNORED = -100
"""Target of a question that does not arise, as `F.cross_entropy` ignores it."""


def expected_answers(identity: Identity, attributes: Attributes) -> dict[str, str | None]:
    """The right answers for one image; None where the question does not arise (the hair colour of a robot)."""
    return {
        "expression": attributes.expression,
        "hair_colour": identity.hair_colour or None,
        "clothes_kind": attributes.kind,
        "clothes_colour": attributes.colour or None,
        "accessory": identity.glasses,
        "place": attributes.place,
        "extra": attributes.extra,
    }


def class_targets(images: list[tuple[Identity, Attributes]]) -> dict[str, torch.Tensor]:
    """Attribute -> index of the right answer (N,), `IGNORED` where there is none."""
    expected = [expected_answers(identity, attributes) for identity, attributes in images]
    return {
        name: torch.tensor([words.index(row[name]) if row[name] is not None else IGNORED for row in expected])
        for name, words in ANSWERS.items()
    }


def classifier_accuracies(answers: dict[str, list[str]], images: list[tuple[Identity, Attributes]]) -> dict[str, float]:
    """Attribute -> accuracy of `answers` where the question arises; attributes that no image has are left out."""
    expected = [expected_answers(identity, attributes) for identity, attributes in images]
    accuracies: dict[str, float] = {}
    for name, words in answers.items():
        pairs = [(word, row[name]) for word, row in zip(words, expected, strict=True) if row[name] is not None]
        if any(right for _, right in pairs):
            accuracies[name] = sum(word == right for word, right in pairs) / len(pairs)
    return accuracies


def train_classifier(
    train_set: DrawnDataset,
    held_out: DrawnDataset,
    out: Path,
    budget: Budget,
    size: BuildSize,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, float]:
    """Train on `train_set` and save to `out`/model; returns the accuracies on `held_out`."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    model = AttributeClassifier(AttributeClassifierConfig(**size.classifier))
    model = model.to(device, memory_format=torch.channels_last).train()
    batches = train_set.batches(size.batch_sizes["classifier"], seed)

    def compute_loss(progress: Progress) -> torch.Tensor:
        train_set.refresh()
        progress.part_state[STREAM_POSITION] = train_set.position
        rows = next(batches)
        pixels = shrunk(to_pixels(train_set.pixels[rows], device), model.config.px)  # (B, 3, px, px)
        # Generated images are slightly blurred and shifted; what they show must be recognised all the same.
        if rng.random() < 0.5:
            pixels = F.avg_pool2d(pixels, 3, stride=1, padding=1, count_include_pad=False)
        pixels = torch.roll(pixels, (rng.randint(-3, 3), rng.randint(-3, 3)), (2, 3))
        targets = class_targets([(train_set.identity(row), train_set.attributes[row]) for row in rows.tolist()])
        # Summed and divided by the batch: a question that seldom arises weighs less.
        losses = [
            F.cross_entropy(logits, targets[name].to(device), ignore_index=IGNORED, reduction="sum") / len(rows)
            for name, logits in model(pixels).items()
        ]
        return torch.stack(losses).sum()

    learning_rate = size.learning_rates["classifier"]
    part = BuildPart("classifier", {"model": model}, compute_loss, out / "state.pt", learning_rate, linear_decay)
    progress = train_for(part, budget)
    model.eval()
    images = [(held_out.identity(row), held_out.attributes[row]) for row in range(len(held_out))]
    accuracies = classifier_accuracies(model.classify(to_pixels(held_out.pixels)), images)
    model.to(torch.bfloat16).save_pretrained(out / "model")
    return {f"{name}_right": round(value, 4) for name, value in accuracies.items()} | progress_scores(progress)
