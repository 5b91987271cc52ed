"""Whether a picture shows more than one figure: a linear layer on the critic's features, trained on drawings.

`python -m pipelines.starter_build.build_figure_count` renders pictures of one figure and of two or three, in any size
and place, fits the layer, and writes it to `weights/figures/` beside the starter; two cores, five minutes. The critic
is left as it is. What it can tell about arts that it never saw is in docs/log.md (2026-11-27).
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from pipelines.inference.image_doubts import FIGURES, column_features
from pipelines.models.starter.loading import WEIGHTS
from pipelines.rewards.judge import load_starter_critic
from pipelines.rewards.starter_critic import StarterCritic
from pipelines.starter_build.dataset import pixels_of_images
from pipelines.starter_build.drawings.attributes import WIDE
from pipelines.starter_build.drawings.render_svg import figure_elements, rasterise, scene_elements
from pipelines.starter_build.export import write_sizes

PX = 224
PICTURES = 700
"""Of one figure, and as many of several."""
HELD_OUT = 120
HELD_OUT_EVERY = 20
"""Identities by this number are held out, as everywhere in the build."""
WEIGHT_DECAY = 0.01
THRESHOLD = 0.8
"""Probability from which it is said that there may be several: 3 false alarms among 700 pictures in ten arts."""


def drawing(rng: random.Random, count: int, held_out: bool) -> Image.Image:
    """A picture of `count` figures, side by side in one place; one figure may be small and stand anywhere."""
    elements = place = ""
    for x, scale in _spots(rng, count):
        number = rng.randrange(60_000)
        number += -number % HELD_OUT_EVERY if held_out else int(number % HELD_OUT_EVERY == 0)
        identity = WIDE.identity(number)
        look = WIDE.sample_attributes(rng, identity)
        place = look.place
        y = 100 - 50 * scale + rng.uniform(-2, 6)  # the feet near the lower edge
        move = f"translate({x:.1f} {y:.1f}) scale({scale:.3f}) translate(-50 -50)"
        elements += f'<g transform="{move}">{figure_elements(identity, look)}</g>'
    return rasterise(scene_elements(place) + elements, PX).convert("RGB")


def _spots(rng: random.Random, count: int) -> list[tuple[float, float]]:
    """Middle (of 100) and size (of the whole picture) of each figure."""
    if count == 1:
        scale = rng.choice([0.45, 0.55, 0.7, 0.85, 1.0, 1.0, 1.1])
        return [(rng.uniform(30, 70) if scale < 0.9 else rng.uniform(42, 58), scale)]
    middles = ((18, 38), (62, 82), (42, 58))
    sizes = (0.42, 0.72) if count == 2 else (0.38, 0.55)
    return [(rng.uniform(*middles[number]), rng.uniform(*sizes)) for number in range(count)]


@torch.no_grad()
def features_of(critic: StarterCritic, count: int, several: bool, held_out: bool) -> torch.Tensor:
    """(2, count, D) features of new drawings, as they are and mirrored."""
    rng = random.Random(f"figures {several} {held_out}")
    found = []
    for start in range(0, count, 50):
        size = min(50, count - start)
        drawings = [drawing(rng, (2 if rng.random() < 0.8 else 3) if several else 1, held_out) for _ in range(size)]
        pixels = pixels_of_images(drawings)
        found.append(torch.stack([column_features(critic, pixels), column_features(critic, pixels.flip(-1))]))
    return torch.cat(found, 1)


def fit(one: torch.Tensor, several: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight (D,) and bias () of logistic regression with weight decay, in the features' own units."""
    features = torch.cat([one.flatten(0, 1), several.flatten(0, 1)])
    labels = torch.arange(2).repeat_interleave(len(features) // 2).float()
    mean, scale = features.mean(0), features.std(0) + 0.01
    standard = (features - mean) / scale
    weight = torch.zeros(features.shape[1], requires_grad=True)
    bias = torch.zeros((), requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=80, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        fitted = F.binary_cross_entropy_with_logits(standard @ weight + bias, labels)
        loss = fitted + WEIGHT_DECAY * weight.square().sum() / 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    unscaled = weight.detach() / scale
    return unscaled, bias.detach() - (unscaled * mean).sum()


def measure(critic: StarterCritic, weight: torch.Tensor, bias: torch.Tensor, held_out: int) -> dict[str, float]:
    """The shares of held-out drawings of one figure and of several that are called several."""
    scores = {
        name: (features_of(critic, held_out, several, True) @ weight + bias).sigmoid().mean(0)
        for name, several in (("false_alarms", False), ("found", True))
    }
    return {name: round(score.ge(THRESHOLD).float().mean().item(), 4) for name, score in scores.items()}


def build(out: Path, pictures: int = PICTURES, held_out: int = HELD_OUT) -> dict[str, float]:
    """Train and save; returns what `measure` finds."""
    critic = load_starter_critic()
    weight, bias = fit(features_of(critic, pictures, False, False), features_of(critic, pictures, True, False))
    measured = measure(critic, weight, bias, held_out)
    out.mkdir(parents=True, exist_ok=True)
    save_file({"weight": weight.contiguous(), "bias": bias.reshape(1)}, out / "model.safetensors")
    config = {"threshold": THRESHOLD, "drawings": 2 * pictures, "held_out": measured}
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return measured


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; prints one JSON object."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.starter_build.build_figure_count", description="Train the count of figures."
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS / FIGURES)
    parser.add_argument("--pictures", type=int, default=PICTURES, help="drawings of one figure, and as many of several")
    options = parser.parse_args(argv)
    print(json.dumps(build(options.out, options.pictures)))
    if options.out.parent == WEIGHTS:
        write_sizes(WEIGHTS)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
