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
from pipelines.data.chat_template import Subject, image_turn
from pipelines.data.packing import ImageBank, PackedRow, pixels_of, upright_square
from pipelines.models.interface import FIRST_ALONE, ModelSpec, ReplayFigure, UnifiedModel

VARIANTS = 6
"""Crops of each image."""
SMALLEST_CROP = 0.82
"""Of a side."""
VARIANT_SHARE = 0.5
"""Share of an image's rows in which it is one of its crops."""
NAMELESS_SHARE = 0.3
"""Share of replayed figures whose appearance is left out, so that only the references say who they are."""


@torch.no_grad()
def with_variants(images: ImageBank, model: UnifiedModel, character: Character, folder: Path, seed: int) -> ImageBank:
    """The bank with the codes of VARIANTS random crops of each image, half of them mirrored where no side is named."""
    rng = random.Random(f"crops {seed}")
    variants = {}
    for image in character.images:
        square = upright_square(image_path(folder, image.file))
        may_mirror = not {"left", "right"} & set(image.description.lower().replace(",", " ").split())
        crops = torch.stack([_crop(square, model.spec.image_px, may_mirror, rng) for _ in range(VARIANTS)])
        variants[image.file] = model.encode_images(crops.to(model.device)).tolist()
    return replace(images, variants=variants)


def _crop(square: Image.Image, px: int, may_mirror: bool, rng: random.Random) -> torch.Tensor:
    side = int(square.width * rng.uniform(SMALLEST_CROP, 1.0))
    left, top = rng.randint(0, square.width - side), rng.randint(0, square.height - side)
    crop = square.crop((left, top, left + side, top + side)).resize((px, px), Image.Resampling.LANCZOS)
    return pixels_of(ImageOps.mirror(crop) if may_mirror and rng.random() < 0.5 else crop)


class ImageRows:
    """Adds drawings to packed rows."""

    def __init__(
        self,
        images: ImageBank,
        figures: Sequence[ReplayFigure],
        replayed: int,
        spec: ModelSpec,
        tokenizer: PreTrainedTokenizerBase,
        seed: int,
    ) -> None:
        """figures: who may be replayed; replayed: how many drawings of them a row gets."""
        self.images, self.figures, self.spec, self.tokenizer, self.seed = images, figures, spec, tokenizer, seed
        self.replayed = replayed if figures else 0

    def complete(self, row: PackedRow, number: int) -> PackedRow:
        """Row `number` with some of its images replaced by crops of theirs, and replayed figures behind it."""
        rng = random.Random(f"drawings {self.seed} {number}")
        ids, labels, segments = list(row.ids), list(row.labels), list(row.segments)
        self._vary(ids, labels, row.drawn_images, rng)
        references = [self.images.references.get(name, ()) for name in row.drawn_images]
        last = min([FIRST_ALONE, *segments])
        for k in range(self.replayed):
            who = rng.randrange(len(self.figures))
            figure = self.figures[who]
            drawn, *seen = rng.sample(range(len(figure.codes)), 1 + min(2, len(figure.codes) - 1))
            appearance = "" if rng.random() < NAMELESS_SHARE else figure.appearance
            turn = image_turn(Subject(figure.name, appearance), figure.looks[drawn], self.spec, self.tokenizer)
            codes = [self.spec.text_vocab + code for code in figure.codes[drawn]]
            ids += [*turn, *codes]
            labels += [*[-100] * len(turn), *codes]
            segments += [last - 1 - k] * (len(turn) + len(codes))
            references.append(tuple(f"replay/{who}/{place}" for place in seen))
            for place in seen:
                self.images.codes[f"replay/{who}/{place}"] = list(figure.codes[place])
        drawn_images = (*row.drawn_images, *(f"replay {k}" for k in range(self.replayed)))
        weights = (*row.weights, *[1.0] * (len(ids) - len(row.ids))) if row.weights else ()
        return replace(
            row,
            ids=ids,
            labels=labels,
            segments=segments,
            drawn_images=drawn_images,
            references=tuple(references),
            weights=weights,
        )

    def _vary(self, ids: list[int], labels: list[int], drawn: Sequence[str], rng: random.Random) -> None:
        # The codes of the row's images stand in the order of `drawn`, each in one piece.
        places = [place for place, token in enumerate(ids) if token >= self.spec.text_vocab]
        for number, name in enumerate(drawn):
            variants = self.images.variants.get(name)
            if not variants or rng.random() > VARIANT_SHARE:
                continue
            first = places[number * self.spec.image_tokens]
            codes = [self.spec.text_vocab + code for code in rng.choice(variants)]
            ids[first : first + len(codes)] = codes
            labels[first : first + len(codes)] = codes
