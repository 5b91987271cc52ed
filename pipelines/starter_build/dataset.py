"""The drawn pictures as training data: pixels, identities and looks, with captions made when they are asked for.

`DrawnDataset` is a stored set as `pictures.py` writes it: a folder with the training pictures, and `held_out/` inside it with
pictures of identities (and, a fifth of them, looks) that training never sees. `streaming_dataset.py` has the same for pictures
drawn on demand.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from pipelines.starter_build.build_loop import epochs
from pipelines.starter_build.drawings.attributes import FIRST, Attributes, Domain, Identity
from pipelines.starter_build.drawings.caption_templates import CAPTION_SHARES, captions, made_up_name
from pipelines.starter_build.render_dataset import attributes_of, read_domain, read_images


@dataclass
class DrawnDataset:
    """N drawn pictures of one split."""

    pixels: np.ndarray
    """(N, px, px, 3) uint8, memory-mapped or in memory."""
    identity: np.ndarray
    """(N,) number of the identity."""
    looks: list[Attributes]
    domain: Domain = FIRST
    by_identity: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row, number in enumerate(self.identity.tolist()):
            self.by_identity.setdefault(number, []).append(row)

    @classmethod
    def load(cls, folder: Path, split: str) -> DrawnDataset:
        """Read one split, `train` or `hold_out`."""
        folder = folder / "held_out" if split == "held_out" else folder
        pixels, records = read_images(folder)
        identity = np.array([record["identity"] for record in records])
        return cls(pixels, identity, [attributes_of(record) for record in records], read_domain(folder))

    def __len__(self) -> int:
        return len(self.looks)

    def refresh(self, most: int = 0) -> np.ndarray:
        """Rows that show another picture than before: none here, some in a stream (see `StreamingDataset.refresh`)."""
        return np.zeros(0, dtype=np.int64)

    @property
    def place(self) -> int:
        """Identities behind the pictures of a stored set; a stream that follows it starts with the next one."""
        return len(self.by_identity)

    def batches(self, size: int, seed: int) -> Iterator[np.ndarray]:
        """Batches of rows for ever, every row once before any twice."""
        for rows in epochs(len(self), size, seed):
            yield rows.numpy()

    def figure(self, row: int) -> Identity:
        """Who picture `row` shows."""
        return self.domain.identity(int(self.identity[row]))

    def caption(self, row: int, rng: random.Random) -> str:
        """One of many wordings for picture `row`."""
        identity, look, name = self.figure(row), self.looks[row], made_up_name(rng)
        whole = f"{name}, {identity.words}, {look.description}"  # as a scene line with the appearance in it
        return rng.choices([whole, *captions(identity, look, rng, name)], CAPTION_SHARES)[0]

    def phrase(self, row: int, kind: str) -> str:
        """The words for one attribute: expression, clothes, place or extra; "" when there is none."""
        look = self.looks[row]
        if kind == "clothes":
            return f"wearing {look.clothes}" if look.clothes else ""
        return {"expression": look.expression, "place": look.place, "extra": look.extra}[kind]

    def rows_by_identity(self, rng: random.Random, identities: int, looks: int) -> np.ndarray:
        """Rows of several looks of each of several identities."""
        chosen = rng.sample(list(self.by_identity), identities)
        return np.array([row for name in chosen for row in rng.sample(self.by_identity[name], looks)])

    def other_look(self, row: int, rng: random.Random) -> int:
        """Another picture of the same identity."""
        return rng.choice([other for other in self.by_identity[int(self.identity[row])] if other != row])


def to_pixels(pictures: np.ndarray, device: str | torch.device = "cpu") -> torch.Tensor:
    """(N, h, w, 3) uint8 to (N, 3, h, w) float in [-1, 1]."""
    copied = torch.from_numpy(np.array(pictures, copy=True, order="C"))  # the memory map may not be written to
    return copied.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
