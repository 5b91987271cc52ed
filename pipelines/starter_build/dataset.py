"""The rendered images as training data: pixels, identities and attributes; captions are worded on each access.

`DrawnDataset` is a stored set as `render_dataset.py` writes it: a folder with the training images, and inside it
`held_out/` with images of held-out identities, a fifth of which show held-out combinations of attributes.
`streaming_dataset.py` has the same interface for images rendered on demand.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipelines.starter_build.build_loop import shuffled_batches
from pipelines.starter_build.drawings.attributes import FIRST, Attributes, Domain, Identity
from pipelines.starter_build.drawings.caption_templates import CAPTION_SHARES, captions, made_up_name
from pipelines.starter_build.render_dataset import attributes_of, read_domain, read_images


@dataclass
class DrawnDataset:
    """N rendered images of one split."""

    pixels: np.ndarray
    """(N, px, px, 3) uint8, memory-mapped or in memory."""
    identity_numbers: np.ndarray
    """(N,) the number of the identity in each image, see `Domain.identity`."""
    attributes: list[Attributes]
    domain: Domain = FIRST
    rows_by_identity: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row, number in enumerate(self.identity_numbers.tolist()):
            self.rows_by_identity.setdefault(number, []).append(row)

    @classmethod
    def load(cls, folder: Path, split: str) -> DrawnDataset:
        """Read one split, `train` or `held_out`."""
        folder = folder / "held_out" if split == "held_out" else folder
        pixels, records = read_images(folder)
        numbers = np.array([record["identity"] for record in records])
        return cls(pixels, numbers, [attributes_of(record) for record in records], read_domain(folder))

    def __len__(self) -> int:
        return len(self.attributes)

    def refresh(self, max_images: int = 0) -> np.ndarray:
        """Rows whose image has changed: none in a stored set, some in a stream (see `StreamingDataset.refresh`)."""
        return np.zeros(0, dtype=np.int64)

    @property
    def position(self) -> int:
        """Identities of a stored set; a stream that follows it starts with the next one."""
        return len(self.rows_by_identity)

    def batches(self, batch_size: int, seed: int) -> Iterator[np.ndarray]:
        """Endless batches of rows, every row once per epoch."""
        for rows in shuffled_batches(len(self), batch_size, seed):
            yield rows.numpy()

    def identity(self, row: int) -> Identity:
        """The identity that image `row` shows."""
        return self.domain.identity(int(self.identity_numbers[row]))

    def caption(self, row: int, rng: random.Random) -> str:
        """One of the wordings for image `row`, sampled by `CAPTION_SHARES`."""
        identity, attributes, name = self.identity(row), self.attributes[row], made_up_name(rng)
        # As a scene line reads at inference: the name and appearance in front of the scene.
        with_appearance = f"{name}, {identity.words}, {attributes.description}"
        return rng.choices([with_appearance, *captions(identity, attributes, rng, name)], CAPTION_SHARES)[0]

    def phrase(self, row: int, field_name: str) -> str:
        """The words for one attribute: expression, clothes, place or extra; "" if it has none."""
        attributes = self.attributes[row]
        if field_name == "clothes":
            return f"wearing {attributes.clothes}" if attributes.clothes else ""
        return {"expression": attributes.expression, "place": attributes.place, "extra": attributes.extra}[field_name]

    def sample_rows(self, rng: random.Random, identities: int, images_per_identity: int) -> np.ndarray:
        """Rows of several images of each of several identities."""
        chosen = rng.sample(list(self.rows_by_identity), identities)
        rows = [row for number in chosen for row in rng.sample(self.rows_by_identity[number], images_per_identity)]
        return np.array(rows)

    def other_row(self, row: int, rng: random.Random) -> int:
        """Another image of the same identity."""
        return rng.choice([other for other in self.rows_by_identity[int(self.identity_numbers[row])] if other != row])


def to_pixels(images: np.ndarray, device: str | torch.device = "cpu") -> torch.Tensor:
    """(N, h, w, 3) uint8 to (N, 3, h, w) float in [-1, 1]."""
    copied = torch.from_numpy(np.array(images, copy=True, order="C"))  # torch warns about read-only memory maps
    return copied.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def pixels_of_images(images: Sequence[Image.Image]) -> torch.Tensor:
    """(N, 3, h, w) in [-1, 1] of images of one size."""
    return to_pixels(np.stack([np.asarray(image.convert("RGB")) for image in images]))
