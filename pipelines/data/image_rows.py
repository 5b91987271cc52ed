"""What the image expert learns beside a row's own images: shifted copies of them, and figures that are somebody else.

Ten pictures are learned by heart within fifty steps, and then asked faces and places give way to theirs. Shifted and
mirrored crops stand against the first, figures of the base model's own training (`ReplayFigure`) against the second.
All of it is a function of seed and row number, so a resumed run reads the same rows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image, ImageOps
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character
from pipelines.core.character.character_folder import image_path
from pipelines.data.chat_template import Subject, image_turn, subject_of
from pipelines.data.latent_images import without_texts
from pipelines.data.packing import ImageBank, PackedRow, pixels_of, upright_square
from pipelines.models.interface import ModelSpec, ReplayFigure, UnifiedModel
from pipelines.models.segments import FIRST_ALONE

VARIANTS = 6
"""Crops of each image."""
SMALLEST_CROP = 0.82
"""Of a side."""
VARIANT_SHARE = 0.5
"""Share of an image's rows in which it is one of its crops."""
REPLAY = "replay/"
"""What names of replayed images begin with, which a character's files never do."""
CROP = "crop/"
"""The same of crops of images that are latents."""
ROWS_APART = 1_000_000
"""So that rows of drawings alone do not repeat the choices of other rows."""
NAMELESS_SHARE = 0.3
"""Share of replayed figures whose appearance is left out, so that only the references say who they are."""


@torch.no_grad()
def with_variants(images: ImageBank, model: UnifiedModel, character: Character, folder: Path, seed: int) -> ImageBank:
    """The bank with the codes of VARIANTS random crops of each image, half of them mirrored where no side is named."""
    rng = random.Random(f"crops {seed}")
    variants: dict[str, list[list[int]]] = {}
    latents = dict(images.latents)
    for image in character.images:
        square = upright_square(image_path(folder, image.file))
        may_mirror = not {"left", "right"} & set(image.description.lower().replace(",", " ").split())
        crops = torch.stack([_crop(square, model.spec.image_px, may_mirror, rng) for _ in range(VARIANTS)])
        encoded = model.encode_images(crops.to(model.device))
        if images.latents:
            latents |= {_crop_name(image.file, number): one for number, one in enumerate(encoded.cpu())}
        else:
            variants[image.file] = encoded.tolist()
    return replace(images, variants=variants, latents=latents)


def _crop_name(file: str, number: int) -> str:
    return f"{CROP}{number}/{file}"


def _crop(square: Image.Image, px: int, may_mirror: bool, rng: random.Random) -> torch.Tensor:
    side = int(square.width * rng.uniform(SMALLEST_CROP, 1.0))
    left, top = rng.randint(0, square.width - side), rng.randint(0, square.height - side)
    crop = square.crop((left, top, left + side, top + side)).resize((px, px), Image.Resampling.LANCZOS)
    return pixels_of(ImageOps.mirror(crop) if may_mirror and rng.random() < 0.5 else crop)


class ImageRows:
    """Adds drawings to packed rows, and makes rows of drawings alone."""

    def __init__(
        self,
        character: Character,
        images: ImageBank,
        figures: Sequence[ReplayFigure],
        spec: ModelSpec,
        tokenizer: PreTrainedTokenizerBase,
        seed: int,
    ) -> None:
        """figures: who may be replayed."""
        self.images, self.figures, self.spec, self.tokenizer, self.seed = images, figures, spec, tokenizer, seed
        subject = subject_of(character, tokenizer)
        self.turns = {image.file: image_turn(subject, image.description, spec, tokenizer) for image in character.images}

    def complete(self, row: PackedRow, number: int, replayed: int) -> PackedRow:
        """Row `number` with some of its images replaced by crops of theirs, and `replayed` figures behind it."""
        rng = random.Random(f"drawings {self.seed} {number}")
        drawings = _Drawings(self.spec, row)
        self._vary(drawings, rng)
        drawings.references = [self.images.references.get(name, ()) for name in row.drawn_images]
        for _ in range(replayed if self.figures else 0):
            self._replay(drawings, rng)
        if not self.spec.latent_width:
            return drawings.row()
        drawings.keep(without_texts(drawings.ids, drawings.segments, self.spec.boi_id, self.spec.text_vocab, rng))
        return replace(drawings.row(), noise_seed=rng.getrandbits(48))

    def images_only(self, number: int, own: int, replayed: int) -> PackedRow:
        """The row of drawings with that number: `own` images of the character in reshuffled epochs, then figures."""
        names = list(self.turns)
        row = _Drawings(self.spec, PackedRow([], [], [], (), ()))
        for place in range(number * own, (number + 1) * own) if names else ():
            epoch, index = divmod(place, len(names))
            order = random.Random(f"images {self.seed} {epoch}").sample(names, len(names))
            row.add(order[index], self.turns[order[index]], self.images.codes[order[index]])
        return self.complete(row.row(), number + ROWS_APART, replayed)

    def _replay(self, drawings: _Drawings, rng: random.Random) -> None:
        who = rng.randrange(len(self.figures))
        figure = self.figures[who]
        drawn, *seen = rng.sample(range(len(figure.codes)), 1 + min(2, len(figure.codes) - 1))
        subject = Subject(figure.name, "" if rng.random() < NAMELESS_SHARE else figure.appearance)
        names = [f"{REPLAY}{who}/{place}" for place in seen]
        for name, place in zip(names, seen, strict=True):
            self.images.codes[name] = list(figure.codes[place])
        turn = image_turn(subject, figure.looks[drawn], self.spec, self.tokenizer)
        drawings.add(f"{REPLAY}{who}/{drawn}", turn, figure.codes[drawn], tuple(names))

    def _vary(self, drawings: _Drawings, rng: random.Random) -> None:
        # The codes of the row's images stand in the order of their names, each in one piece.
        places = [place for place, token in enumerate(drawings.ids) if token >= self.spec.text_vocab]
        for number, name in enumerate(drawings.names):
            if _crop_name(name, 0) in self.images.latents and rng.random() < VARIANT_SHARE:
                drawings.names[number] = _crop_name(name, rng.randrange(VARIANTS))
            variants = self.images.variants.get(name)
            if variants and rng.random() < VARIANT_SHARE:
                first = places[number * self.spec.image_tokens]
                codes = [self.spec.text_vocab + code for code in rng.choice(variants)]
                drawings.ids[first : first + len(codes)] = codes
                drawings.labels[first : first + len(codes)] = codes


class _Drawings:
    # A row that drawings are added to, each in a segment that stands alone.
    def __init__(self, spec: ModelSpec, row: PackedRow) -> None:
        self.spec, self.start = spec, row
        self.ids, self.labels, self.segments = list(row.ids), list(row.labels), list(row.segments)
        self.names = list(row.drawn_images)
        self.references: list[tuple[str, ...]] = list(row.references)
        self.weights = list(row.weights)

    def keep(self, places: Sequence[int]) -> None:
        self.ids, self.labels, self.segments = (
            [values[place] for place in places] for values in (self.ids, self.labels, self.segments)
        )
        if self.weights:
            self.weights = [self.weights[place] for place in places]

    def add(
        self, name: str, turn: Sequence[int], codes: Sequence[int], references: tuple[str, ...] | None = None
    ) -> None:
        drawn = [self.spec.text_vocab + code for code in codes]
        number = min([FIRST_ALONE, *self.segments]) - 1
        self.ids += [*turn, *drawn]
        self.labels += [*[-100] * len(turn), *drawn]
        self.segments += [number] * (len(turn) + len(drawn))
        self.names.append(name)
        if references is not None:
            self.references.append(references)
        if self.weights:
            self.weights += [1.0] * (len(self.ids) - len(self.weights))

    def row(self) -> PackedRow:
        return replace(
            self.start,
            ids=self.ids,
            labels=self.labels,
            segments=self.segments,
            drawn_images=tuple(self.names),
            references=tuple(self.references),
            weights=tuple(self.weights),
        )
