"""What may be wrong with an uploaded picture, as the starter sees it: an art that it cannot hold, small details that
get lost, more than one figure.

All are doubts and no verdicts. The first two compare a picture with its rebuilding by the image tokenizer, which no
drawing can exceed; the third is a linear layer on the critic's features (`weights/figures/`, trained by
`pipelines/starter_build/build_figure_count.py`). Thresholds come from the pictures of docs/log.md (2026-11-27).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from pipelines.models.starter.loading import WEIGHTS
from pipelines.rewards.starter_critic import StarterCritic

MIN_DETAIL = 0.53
"""Least `detail_kept` of a picture that the image tokenizer holds."""
MIN_SMALL_DETAIL = 0.43
"""Least `small_detail_kept` of a picture whose eyes come back."""
FINE_SIGMA, COARSE_SIGMA, WINDOW_SIGMA = 0.7 / 256, 2.5 / 256, 5 / 256
"""Of the side of a picture: between the first two lie the sizes of a pupil, a lid, a tooth; the third is an eye's."""
CENTRE, CENTRE_SIGMA = (0.5, 0.45), 0.22
"""Where the figure is looked for (from the left, from the top) and how far around, of the side."""
STRONGEST_SHARE = 0.05
"""Share of a picture in which its strongest small details are compared."""
FIGURES = "figures"
"""Folder of the layer beside the starter's weights."""


def detail_kept(pixels: torch.Tensor, rebuilt: torch.Tensor) -> float:
    """How much of a picture's local contrast comes back: mean gradient of its rebuilding over its own.

    Both (1, 3, px, px) in [-1, 1]. Flat drawings come back as sharp as they were (about 1), grain, hair and the shades
    of a photograph do not (0.2 to 0.5), though colours and layout may fit well.
    """
    before = float(_gradient(pixels))
    return 1.0 if before < 1e-3 else float(_gradient(rebuilt)) / before


def small_detail_kept(pixels: torch.Tensor, rebuilt: torch.Tensor) -> float:
    """How much of a picture's strongest small details, about its middle, comes back where it was.

    Both (1, 3, px, px) in [-1, 1]. The part of both between two blurs is compared: of the share of the picture that has
    most of it, the projection of the rebuilding's on the picture's own. 1 for an equal picture; 0 where something else,
    or nothing, stands in place of the details. An eye that moved or closed counts as lost, which no mean over
    the whole picture shows.
    """
    fine, found = _fine_detail(pixels), _fine_detail(rebuilt)
    rows, columns = (torch.linspace(0, 1, size, device=pixels.device) for size in pixels.shape[-2:])
    distance = (columns[None, :] - CENTRE[0]) ** 2 + (rows[:, None] - CENTRE[1]) ** 2
    near = torch.exp(-distance / (2 * CENTRE_SIGMA**2))
    own = _blurred((fine * fine).sum(1, keepdim=True), WINDOW_SIGMA)[0, 0] * near
    shared = _blurred((fine * found).sum(1, keepdim=True), WINDOW_SIGMA)[0, 0] * near
    strongest = own >= own.flatten().quantile(1 - STRONGEST_SHARE)
    total = float(own[strongest].sum())
    return 1.0 if total < 1e-6 else float(shared[strongest].sum()) / total


def _fine_detail(pixels: torch.Tensor) -> torch.Tensor:
    pixels = pixels.float()
    return _blurred(pixels, FINE_SIGMA) - _blurred(pixels, COARSE_SIGMA)


def _blurred(pixels: torch.Tensor, sigma: float) -> torch.Tensor:
    """(N, C, px, px) blurred by a Gaussian of this part of the side."""
    sigma_px = sigma * pixels.shape[-1]
    reach = max(1, round(3 * sigma_px))
    at = torch.arange(-reach, reach + 1, device=pixels.device)
    kernel = torch.exp(-(at**2) / (2 * sigma_px**2))
    kernel = (kernel / kernel.sum()).expand(pixels.shape[1], 1, -1)
    padded = F.pad(pixels, (reach, reach, reach, reach), mode="reflect")
    across = F.conv2d(padded, kernel[:, :, None, :], groups=pixels.shape[1])
    return F.conv2d(across, kernel[:, :, :, None], groups=pixels.shape[1])


def _gradient(pixels: torch.Tensor) -> torch.Tensor:
    grey = pixels.float().mean(1)
    return grey.diff(dim=-1).abs().mean() + grey.diff(dim=-2).abs().mean()


@dataclass(frozen=True)
class FigureCount:
    """Tells pictures of one figure from those of several."""

    weight: torch.Tensor
    """(D,), of `column_features`."""
    bias: torch.Tensor
    threshold: float

    def shows_several(self, critic: StarterCritic, pixels: torch.Tensor) -> bool:
        """Whether a picture (1, 3, any, any) in [-1, 1] may show more than one figure."""
        both = torch.cat([pixels, pixels.flip(-1)])  # a picture and its mirror show as many
        return bool((column_features(critic, both) @ self.weight + self.bias).sigmoid().mean() >= self.threshold)


def load_figure_count(folder: Path = WEIGHTS / FIGURES) -> FigureCount | None:
    """The layer that ships with the starter; None where it does not."""
    if not (folder / "model.safetensors").is_file():
        return None
    stored = load_file(folder / "model.safetensors")
    threshold = json.loads((folder / "config.json").read_text(encoding="utf-8"))["threshold"]
    return FigureCount(stored["weight"], stored["bias"], float(threshold))


def column_features(critic: StarterCritic, pixels: torch.Tensor) -> torch.Tensor:
    """(N, 3, any, any) in [-1, 1] to (N, D): what the critic finds in each column, left to right, and on the whole.

    Figures stand side by side, so what is alike in two columns apart says more than what is found anywhere.
    """
    size = (critic.config.px, critic.config.px)
    if pixels.shape[-2:] != size:
        pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
    maps = critic.eye(pixels.to(critic.device, critic.dtype))  # (N, C, h, w)
    return torch.cat([maps.amax(2).flatten(1), maps.mean((2, 3))], 1).float().cpu()
