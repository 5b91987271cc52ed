"""Packed rows: samples made of segments, one after another in one row, and what each position sees.

A sample may have branches behind segments that all of them share: a system prompt stands once before many replies.

A text is causal, an image full inside. A drawn (noised) image is seen by nobody else, so that several may stand behind
one prefix and the prefix never depends on noise. All positions of an image have one number, and a drawn one uses up
none: the clean copy behind it has the same.

Dimension letters: T positions of a row, L text positions (with all marks), V patches, N latent tokens, R those that
are drawn, Y labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch

from pipelines.models.bagel.config import LATENT_PATCH, BagelConfig
from pipelines.models.bagel.flow import noised, velocity_target
from pipelines.models.bagel.patches import grid_ids, to_patches


@dataclass(frozen=True)
class Text:
    """Ids of one utterance, without the marks that are put around them."""

    ids: Sequence[int]
    learned: bool = False
    """Whether each id and the end mark are labels. Nothing is learned at the end mark itself."""


@dataclass(frozen=True, eq=False)
class LookedAt:
    """An image that the vision tower sees: (3, H, W) in [-1, 1], sides multiples of its patch."""

    pixels: torch.Tensor


@dataclass(frozen=True, eq=False)
class Clean:
    """Latents (C, h, w) that are drawn from, or that were drawn before."""

    latents: torch.Tensor


@dataclass(frozen=True, eq=False)
class Drawn:
    """Latents (C, h, w) to be drawn, at one noise level, with noise (tokens, 4 C)."""

    latents: torch.Tensor
    t: float
    noise: torch.Tensor


@dataclass(frozen=True)
class Dropped:
    """An image left out, so that guidance has something to compare with; its position number stays."""


Segment = Text | LookedAt | Clean | Drawn | Dropped


@dataclass(frozen=True, eq=False)
class Sample:
    """Segments that all branches share, and branches that each go on from them without seeing each other."""

    shared: Sequence[Segment]
    branches: Sequence[Sequence[Segment]] = ()


@dataclass
class PackedRow:
    """One row of samples as tensors."""

    text_ids: torch.Tensor
    """(L,) words and all marks."""
    text_places: torch.Tensor
    """(L,)."""
    positions: torch.Tensor
    """(T,) for the rotary embedding."""
    sample: torch.Tensor
    """(T,) which sample a position belongs to."""
    branch: torch.Tensor
    """(T,) which branch of its sample; 0 for what all of them share."""
    split: torch.Tensor
    """(T,) which segment, counted over the whole row."""
    full: torch.Tensor
    """(T,) bool: sees all of its own segment."""
    noise: torch.Tensor
    """(T,) bool: of a drawn image, seen from its own segment alone."""
    patches: torch.Tensor
    """(V, 588)."""
    patch_places: torch.Tensor
    patch_ids: torch.Tensor
    """(V,) places in the vision tower's tables."""
    patch_lengths: list[int]
    """Patches of each looked-at image."""
    latents: torch.Tensor
    """(N, 64) at their noise levels."""
    latent_places: torch.Tensor
    latent_ids: torch.Tensor
    """(N,) places in the table of latents."""
    latent_t: torch.Tensor
    """(N,) noise levels; 0 for clean ones."""
    velocity: torch.Tensor
    """(R, 64) what is to be predicted."""
    drawn_places: torch.Tensor
    """(R,)."""
    drawn_image: torch.Tensor
    """(R,) number of the drawn image that a token belongs to."""
    label_ids: torch.Tensor
    """(Y,)."""
    label_places: torch.Tensor
    """(Y,) where each label is predicted, the position before it."""
    label_weights: torch.Tensor
    """(Y,) one over the root of how many labels its text has, for a mean in which long texts count less."""
    sample_lengths: list[int]
    next_positions: list[int]
    """For each sample, the position number of what would come after its shared segments."""

    def to(self, device: torch.device) -> PackedRow:
        """The same on another device."""
        moved = {one.name: getattr(self, one.name) for one in fields(self)}
        return replace(self, **{k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in moved.items()})


@dataclass
class RowBuilder:
    """Lists that grow segment by segment, and the row they make."""

    config: BagelConfig
    places: int = 0
    splits: int = 0
    parts: dict[str, list[Any]] = field(default_factory=dict)

    def put(self, **values: Any) -> None:
        """Append each value to the list of its name."""
        for name, value in values.items():
            self.parts.setdefault(name, []).append(value)

    def segments(self, segments: Sequence[Segment], position: int, branch: int) -> int:
        """Segments one after another; returns the position number of what would come next."""
        start = self.places
        for segment in segments:
            if isinstance(segment, Text):
                position += self.text(segment, position)
            elif isinstance(segment, Dropped):
                position += positions_taken(segment)
            else:
                position += self.image(segment, position)
        self.put(branch=torch.full((self.places - start,), branch))
        return position

    def text(self, segment: Text, position: int) -> int:
        """A text between its marks; returns how many position numbers it takes."""
        ids = [self.config.ids.text_start, *segment.ids, self.config.ids.text_end]
        if segment.learned:
            labels, places = len(ids) - 1, torch.arange(self.places, self.places + len(ids) - 1)
            self.put(label_ids=torch.tensor(ids[1:]), label_places=places)
            self.put(label_weights=torch.full((labels,), labels**-0.5))
        return self.ids(ids, position)

    def ids(self, ids: Sequence[int], position: int) -> int:
        """Ids of texts, with all the marks that there are; returns how many position numbers they take."""
        self.put(text_ids=torch.tensor(ids), text_places=torch.arange(self.places, self.places + len(ids)))
        self._finish(position + torch.arange(len(ids)), full=False, noise=False)
        return len(ids)

    def image(self, segment: LookedAt | Clean | Drawn, position: int) -> int:
        """An image between its marks."""
        inside = self._patches(segment) if isinstance(segment, LookedAt) else self._latents(segment)
        marks = self.config.ids.image_start, self.config.ids.image_end
        self.put(text_ids=torch.tensor(marks), text_places=torch.tensor([self.places, self.places + inside + 1]))
        drawn = isinstance(segment, Drawn)
        self._finish(torch.full((inside + 2,), position), full=True, noise=drawn)
        return positions_taken(segment)

    def _patches(self, segment: LookedAt) -> int:
        patch = self.config.vision["patch_size"]
        _, height, width = segment.pixels.shape
        if height % patch or width % patch:
            raise ValueError(f"a looked-at image of {width} x {height} pixels: sides must be multiples of {patch}")
        tokens = to_patches(segment.pixels, patch)
        ids = grid_ids((height // patch, width // patch), self.config.vision_side)
        self.put(patches=tokens, patch_ids=ids, patch_lengths=len(tokens))
        self.put(patch_places=self.places + 1 + torch.arange(len(tokens)))
        return len(tokens)

    def _latents(self, segment: Clean | Drawn) -> int:
        tokens = to_patches(segment.latents, LATENT_PATCH)
        _, height, width = segment.latents.shape
        places, t = self.places + 1 + torch.arange(len(tokens)), 0.0
        if isinstance(segment, Drawn):
            t = segment.t
            number = len(self.parts.get("velocity", []))
            self.put(velocity=velocity_target(tokens, segment.noise), drawn_places=places)
            self.put(drawn_image=torch.full((len(tokens),), number))
            tokens = noised(tokens, segment.noise, t)
        ids = grid_ids((height // LATENT_PATCH, width // LATENT_PATCH), self.config.latent_side)
        self.put(latents=tokens, latent_places=places, latent_ids=ids, latent_t=torch.full((len(tokens),), float(t)))
        return len(tokens)

    def _finish(self, positions: torch.Tensor, full: bool, noise: bool) -> None:
        size = positions.shape
        self.put(positions=positions, split=torch.full(size, self.splits))
        self.put(full=torch.full(size, full), noise=torch.full(size, noise))
        self.places += len(positions)
        self.splits += 1

    def row(self, sample_lengths: list[int], next_positions: list[int]) -> PackedRow:
        """The row as far as it is built; the lists as in `PackedRow`."""
        vision, width = self.config.vision, self.config.latent_width
        blank = {
            "patches": torch.zeros(0, vision["num_channels"] * vision["patch_size"] ** 2),
            "latents": torch.zeros(0, width),
            "velocity": torch.zeros(0, width),
            "latent_t": torch.zeros(0),
            "label_weights": torch.zeros(0),
        }
        tensors = {}
        for one in fields(PackedRow):
            if one.name not in ("patch_lengths", "sample_lengths", "next_positions"):
                parts = self.parts.get(one.name) or [blank.get(one.name, torch.zeros(0, dtype=torch.long))]
                tensors[one.name] = torch.cat(parts)
        lengths = self.parts.get("patch_lengths", [])
        return PackedRow(**tensors, patch_lengths=lengths, sample_lengths=sample_lengths, next_positions=next_positions)


def positions_taken(segment: Segment) -> int:
    """Position numbers that an image uses up: none where it is drawn."""
    return 0 if isinstance(segment, Drawn) else 1


def pack(samples: Iterable[Sample | Sequence[Segment]], config: BagelConfig, first_position: int = 0) -> PackedRow:
    """One row of all samples. first_position: of each sample, where it goes on from a context."""
    builder = RowBuilder(config)
    lengths, ends = [], []
    for number, given in enumerate(samples):
        sample = given if isinstance(given, Sample) else Sample(given)
        start = builder.places
        end = builder.segments(sample.shared, first_position, branch=0)
        for branch, segments in enumerate(sample.branches, start=1):
            builder.segments(segments, end, branch)
        lengths.append(builder.places - start)
        ends.append(end)
        builder.put(sample=torch.full((lengths[-1],), number))
    return builder.row(lengths, ends)


def sees(row: PackedRow, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Bool, broadcast over both: whether the position `query` attends to `key`.

    Elementwise, so that it serves a dense mask and FlexAttention's `mask_mod` alike.
    """
    own = row.split[query] == row.split[key]
    within = (query >= key) | (own & row.full[query])
    related = (row.branch[key] == 0) | (row.branch[query] == row.branch[key])
    return (row.sample[query] == row.sample[key]) & related & within & (own | ~row.noise[key])


def visibility(row: PackedRow) -> torch.Tensor:
    """(T, T) bool, True where a query (row of the matrix) attends."""
    place = torch.arange(len(row.positions), device=row.positions.device)
    return sees(row, place[:, None], place[None, :])


TEXT_DROPPED, IMAGE_DROPPED = 0.1, 0.3
"""How often a condition is left out in training, as the authors do."""


def with_dropped_conditions(
    segments: Sequence[Segment],
    generator: torch.Generator,
    text: float = TEXT_DROPPED,
    image: float = IMAGE_DROPPED,
) -> list[Segment]:
    """The same with some of its texts and clean or looked-at images left out, each by itself.

    For what an image is drawn from: without it a model slowly loses what guidance compares with. An image's position
    stays, a text's do not; what is learned or drawn is never left out.
    """
    kept: list[Segment] = []
    for segment in segments:
        chance = torch.rand((), generator=generator).item()
        if isinstance(segment, Clean | LookedAt) and chance < image:
            kept.append(Dropped())
        elif not (isinstance(segment, Text) and not segment.learned and chance < text):
            kept.append(segment)
    return kept
