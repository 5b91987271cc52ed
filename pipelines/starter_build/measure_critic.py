"""What the critic can tell on identities it was not trained on, and the distribution of likeness.

The histogram goes into the docs: pairs of images of one identity against pairs of two identities.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw

from pipelines.starter_build.build_critic import critic_scores, dataset_features, identity_pairs
from pipelines.starter_build.measure_context import MeasureContext

BINS = 25


def measure_critic(context: MeasureContext, histogram: Path) -> dict[str, float]:
    """`critic_scores`, and likeness of pairs of one identity and of two: mean, and share on the right side of 0.5."""
    device = str(context.model.device)
    scores = critic_scores(context.critic, context.held_out, device)
    with torch.no_grad():
        features = dataset_features(context.critic, context.held_out, device)
        likeness = context.critic.likeness(features, features).cpu()
    same_pairs, different_pairs = identity_pairs(context.held_out)
    same, different = likeness[same_pairs], likeness[different_pairs]
    save_histogram(histogram, same, different)
    return scores | {
        "likeness_same": same.mean().item(),
        "likeness_other": different.mean().item(),
        "same_above_half": (same >= 0.5).float().mean().item(),
        "other_below_half": (different < 0.5).float().mean().item(),
    }


def save_histogram(path: Path, same: torch.Tensor, different: torch.Tensor) -> None:
    """A PNG histogram of likeness: pairs of images of one identity (blue) and of two identities (orange)."""
    width, height, left, bottom = 720, 360, 60, 50
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image, "RGBA")
    shares = [torch.histc(values, BINS, 0, 1) / max(1, len(values)) for values in (same, different)]
    top = max(float(share.max()) for share in shares)
    step = (width - left - 20) / BINS
    for share, colour in zip(shares, ((44, 107, 224, 170), (245, 133, 31, 150)), strict=True):
        for number, value in enumerate(share.tolist()):
            x, bar = left + number * step, (height - bottom - 30) * value / top
            draw.rectangle((x, height - bottom - bar, x + step - 1, height - bottom), fill=colour)
    draw.line((left, height - bottom, width - 20, height - bottom), fill="black")
    for tick in range(6):
        x = left + (width - left - 20) * tick / 5
        draw.line((x, height - bottom, x, height - bottom + 5), fill="black")
        draw.text((x - 8, height - bottom + 8), f"{tick / 5:.1f}", fill="black")
    middle = left + (width - left - 20) / 2
    draw.line((middle, 20, middle, height - bottom), fill=(0, 0, 0, 120))
    draw.text((width // 2 - 60, height - 22), "likeness, 0.5 is the threshold", fill="black")
    draw.text(
        (left + 8, 8), f"blue: one identity, {len(same)} pairs; orange: two, {len(different)} pairs", fill="black"
    )
    draw.text((4, 30), f"{top:.0%}", fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)
