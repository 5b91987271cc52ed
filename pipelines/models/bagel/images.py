"""Pictures as BAGEL takes them: resized by its authors' rule, transparency on white, pixels in [-1, 1].

Sides become multiples of 16 pixels for latents and of 14 for the vision tower; nothing is cut off or padded.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image, ImageOps

MAX_PIXELS = 14 * 14 * 9 * 1024


@dataclass(frozen=True)
class SizeRule:
    """Between which sides a picture is resized, and to multiples of what."""

    longest: int
    shortest: int
    stride: int
    max_pixels: int = MAX_PIXELS

    def fit(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a picture that was `width` x `height`."""
        scale = min(self.longest / max(width, height), 1.0)
        scale = max(scale, self.shortest / min(width, height))
        size = self._scaled(width, height, scale)
        if size[0] * size[1] > self.max_pixels:
            # By the ratio of the areas and not its root: smaller than it had to be, but so the model was trained.
            size = self._scaled(*size, self.max_pixels / (size[0] * size[1]))
        if max(size) > self.longest:
            size = self._scaled(*size, self.longest / max(size))
        return size

    def _scaled(self, width: int, height: int, scale: float) -> tuple[int, int]:
        wide, high = (
            max(self.stride, round(round(side * scale) / self.stride) * self.stride) for side in (width, height)
        )
        return wide, high


FOR_LATENTS = SizeRule(1024, 512, 16)
"""Of a picture that is drawn from."""
FOR_LOOKING = SizeRule(980, 224, 14)
"""Of a picture that the vision tower sees; 980 pixels squared are 4,900 positions."""


def pixels_of(picture: Image.Image, rule: SizeRule) -> torch.Tensor:
    """(3, H, W) float32 in [-1, 1]."""
    whole = ImageOps.exif_transpose(picture).convert("RGBA")
    white = Image.new("RGBA", whole.size, "white")
    flat = Image.alpha_composite(white, whole).convert("RGB")
    resized = flat.resize(rule.fit(*flat.size), Image.Resampling.BICUBIC)  # Pillow's is antialiased
    values = torch.frombuffer(bytearray(resized.tobytes()), dtype=torch.uint8)
    return values.view(resized.height, resized.width, 3).permute(2, 0, 1).float() / 127.5 - 1


def picture_of(pixels: torch.Tensor) -> Image.Image:
    """A PNG-ready picture of pixels (3, H, W) in [-1, 1]."""
    values = ((pixels.float() + 1) / 2).clamp(0, 1).mul(255).to(torch.uint8).permute(1, 2, 0).cpu().contiguous()
    return Image.frombytes("RGB", (values.shape[1], values.shape[0]), values.numpy().tobytes())
