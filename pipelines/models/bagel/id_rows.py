"""Rows of ids, as the contract has them, as packed rows of segments (`rows.py`).

Texts stand between their marks in the ids already and are taken as they are; a run of places of one image becomes that
image, with marks around it. So nothing is decided here that `rows.py` does not decide: what an image sees, where it
stands, and which expert it passes.

Dimension letters: T ids of a row, P positions of its packed row, C latents of an image, W numbers of one, N images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F

from pipelines.models.bagel.config import BagelConfig
from pipelines.models.bagel.patches import from_patches
from pipelines.models.bagel.rows import Drawn, LookedAt, PackedRow, RowBuilder
from pipelines.models.interface import ModelSpec
from pipelines.models.segments import FIRST_ALONE


@dataclass(frozen=True)
class NoisedImages:
    """The images that rows draw, in reading order."""

    latents: torch.Tensor
    """(N, C, W) without noise."""
    noise: torch.Tensor
    """(N, C, W)."""
    levels: torch.Tensor
    """(N,) from 0 to 1."""


@dataclass
class RowImages:
    """What the images of rows are taken from, in reading order."""

    looked_at: Iterator[torch.Tensor]
    """(3, px, px) each."""
    drawn: Iterator[Drawn]

    @classmethod
    def of(
        cls, spec: ModelSpec, config: BagelConfig, pixels: torch.Tensor | None, drawn: NoisedImages | None = None
    ) -> RowImages:
        """Pixels (N, 3, px, px) of those that are looked at, and what is drawn."""
        looked_at = iter(()) if pixels is None else iter(resized(pixels, config.look_px))
        if drawn is None:
            return cls(looked_at, iter(()))
        side = int(spec.image_tokens**0.5)
        images = zip(drawn.latents.float().cpu(), drawn.levels.tolist(), drawn.noise.float().cpu(), strict=True)
        return cls(looked_at, (Drawn(from_patches(one, (side, side)), level, noise) for one, level, noise in images))


def resized(pixels: torch.Tensor, px: int) -> torch.Tensor:
    """Pixels (N, 3, H, W) as the vision tower takes them, on the CPU."""
    pixels = pixels.float().cpu()
    if pixels.shape[-1] == px:
        return pixels
    return F.interpolate(pixels, (px, px), mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)


class IdRows:
    """A packed row that is built from rows of ids, each of them a sample of its own."""

    def __init__(self, spec: ModelSpec, config: BagelConfig, images: RowImages) -> None:
        self.spec, self.images = spec, images
        self.builder = RowBuilder(config)
        self.samples = 0
        self.lengths: list[int] = []
        self.ends: list[int] = []

    def add(self, ids: Sequence[int], segments: Sequence[int] | None = None, first_position: int = 0) -> list[int]:
        """Append a row without its padding; returns the place of each id in the packed row.

        segments: as in `UnifiedModel.forward`. first_position: where the row goes on from a context. ValueError where
        images and their places do not fit together.
        """
        builder, start = self.builder, self.builder.places
        places: list[int] = []
        prefix_end, sample = first_position, self.samples
        segments = segments or [0] * len(ids)
        for segment, numbered in groupby(zip(segments, ids, strict=True), key=lambda pair: pair[0]):
            first = builder.places
            alone = segment <= FIRST_ALONE
            end = self._read([token for _, token in numbered], 0 if alone else prefix_end, places)
            if segment == 0:
                prefix_end = end
            if alone:
                self.samples += 1
            count = (builder.places - first,)
            builder.put(sample=torch.full(count, self.samples if alone else sample))
            builder.put(branch=torch.full(count, 0 if alone else segment))
        self.samples += 1
        self.lengths.append(builder.places - start)
        self.ends.append(prefix_end)
        return places

    def row(self) -> PackedRow:
        """All rows as one."""
        return self.builder.row(self.lengths, self.ends)

    def _read(self, ids: list[int], position: int, places: list[int]) -> int:
        """The ids of one segment; returns the position number of what would come next."""
        start = 0
        while start < len(ids):
            end, image = self._next_image(ids, start)
            if end > start:
                places.extend(range(self.builder.places, self.builder.places + end - start))
                position += self.builder.ids(ids[start:end], position)
            start = end
            if image:
                size, marks = image
                first = self.builder.places
                drawn = ids[start + marks[0]] >= self.spec.text_vocab
                position += self.builder.image(self._take(drawn), position)
                inside = self.builder.places - first - 2
                if inside != size:
                    raise ValueError(f"an image of {inside} parts for {size} places in the text")
                places.extend(range(first + 1 - marks[0], first + 1 + size + marks[1]))
                start += marks[0] + size + marks[1]
        return position

    def _next_image(self, ids: list[int], start: int) -> tuple[int, tuple[int, tuple[int, int]] | None]:
        """Where the next image begins, its mark included, how many places it has, and which of its two marks the ids
        have; the end of the ids and None where there is none."""
        spec, builder = self.spec, self.builder
        for at in range(start, len(ids)):
            is_code = ids[at] >= spec.text_vocab
            if not is_code and ids[at] != spec.image_placeholder_id:
                continue
            size = spec.image_tokens if is_code else spec.image_input_tokens
            if len(ids) < at + size:
                raise ValueError(f"an image has {size} places, the text ends after {len(ids) - at}")
            before = int(at > start and ids[at - 1] == builder.config.ids.image_start)
            if is_code and not before:
                raise ValueError(f"a drawn image must stand behind the id that begins one ({spec.boi_id})")
            after = int(not is_code and ids[at + size : at + size + 1] == [builder.config.ids.image_end])
            return at - before, (size, (before, after))
        return len(ids), None

    def _take(self, drawn: bool) -> Drawn | LookedAt:
        if drawn:
            image = next(self.images.drawn, None)
            if image is None:
                raise ValueError("the text has places for drawn pictures, but no latents of them were given")
            return image
        pixels = next(self.images.looked_at, None)
        if pixels is None:
            raise ValueError("the text has places for looked-at pictures, but no pictures were given")
        return LookedAt(pixels)


def refuse_left_over(images: RowImages, looked_at: int, places: int) -> None:
    """ValueError where rows had fewer places than images: `looked_at` of them with `places` each, or latents."""
    left = sum(1 for _ in images.looked_at)
    if left:
        raise ValueError(
            f"{looked_at} pictures fill {looked_at * places} places, the text has {(looked_at - left) * places}"
        )
    if next(images.drawn, None) is not None:
        raise ValueError("more latents were given than the text has drawn pictures")
