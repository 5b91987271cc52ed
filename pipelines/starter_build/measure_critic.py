"""What the critic can tell on identities it never saw, and how likeness spreads.

The histogram goes into the docs: two pictures of one identity against two of different ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageDraw

from pipelines.starter_build.build_critic import held_out_scores, see_all

if TYPE_CHECKING:
    from pipelines.starter_build.measure import BuildScores

BINS = 25


def measure_critic(what: BuildScores, histogram: Path) -> dict[str, float]:
    """`held_out_scores`, mean likeness of the same and of others, and the share of each on its side of 0.5."""
    device = str(what.model.device)
    scores = held_out_scores(what.critic, what.held_out, device)
    with torch.no_grad():
        sight = see_all(what.critic, what.held_out, device)
        likeness = what.critic.likeness(sight, sight).cpu()
    who = torch.tensor(what.held_out.identity)
    same = likeness[(who[:, None] == who[None]).triu(1)]
    other = likeness[(who[:, None] != who[None]).triu(1)]
    draw_histogram(histogram, same, other)
    return scores | {
        "likeness_same": same.mean().item(),
        "likeness_other": other.mean().item(),
        "same_above_half": (same >= 0.5).float().mean().item(),
        "other_below_half": (other < 0.5).float().mean().item(),
    }


def draw_histogram(path: Path, same: torch.Tensor, other: torch.Tensor) -> None:
    """A PNG with the shares of pairs by likeness: two pictures of one identity (blue), of two identities (orange)."""
    width, height, left, below = 720, 360, 60, 50
    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image, "RGBA")
    shares = [torch.histc(values, BINS, 0, 1) / max(1, len(values)) for values in (same, other)]
    top = max(float(share.max()) for share in shares)
    step = (width - left - 20) / BINS
    for share, colour in zip(shares, ((44, 107, 224, 170), (245, 133, 31, 150)), strict=True):
        for place, value in enumerate(share.tolist()):
            x, tall = left + place * step, (height - below - 30) * value / top
            pen.rectangle((x, height - below - tall, x + step - 1, height - below), fill=colour)
    pen.line((left, height - below, width - 20, height - below), fill="black")
    for mark in range(6):
        x = left + (width - left - 20) * mark / 5
        pen.line((x, height - below, x, height - below + 5), fill="black")
        pen.text((x - 8, height - below + 8), f"{mark / 5:.1f}", fill="black")
    half = left + (width - left - 20) / 2
    pen.line((half, 20, half, height - below), fill=(0, 0, 0, 120))
    pen.text((width // 2 - 60, height - 22), "likeness, 0.5 is the threshold", fill="black")
    pen.text((left + 8, 8), f"blue: one identity, {len(same)} pairs; orange: two, {len(other)} pairs", fill="black")
    pen.text((4, 30), f"{top:.0%}", fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)
