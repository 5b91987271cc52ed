"""The broad domain: figures, some turned in hue, emoji and icons as characters, and random flat art.

The image tokenizer, the image expert and the identity encoder learn from it, so that they can handle characters in
styles nobody foresaw. `render_subject` draws one subject's pictures with captions; what they show is a function of
domain, seed and position alone. As in `render_dataset.py`, nothing here imports torch, so that rendering processes
start quickly.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.models.starter.vocabulary import COLOURS, POSE_WEIGHTS, WIDE_PLACES, WIDE_POSES, clothes_phrase
from pipelines.starter_build.drawings.attributes import WIDE, Attributes, Domain, Identity
from pipelines.starter_build.drawings.caption_templates import captions, made_up_name
from pipelines.starter_build.drawings.draw_symbols import COAT_CUTS, SymbolCharacter, symbol_figure
from pipelines.starter_build.drawings.hue import FULL_TURN, turn_hue, without_colours
from pipelines.starter_build.drawings.random_art import random_art
from pipelines.starter_build.drawings.render_svg import compose, figure_layer, framed, rasterise
from pipelines.starter_build.drawings.symbols import read_symbols
from pipelines.starter_build.render_dataset import IMAGES_PER_IDENTITY, training_job

CAPTIONS = 4
"""Captions of a picture: the first half say who it is, the others do not, so that only references can."""
_TELLING, _SILENT = (2, 3, 4, 11), (1, 5, 6, 8, 9, 10)
"""Places in `caption_templates.captions`: those with the figure in words, those without."""


@dataclass(frozen=True)
class BroadDomain:
    """What is drawn, and in which shares."""

    figures: Domain = WIDE
    symbols_file: Path | None = None
    """As `symbols.prepare_symbols` writes it; None: no emoji and icons."""
    symbols: float = 0.45
    """Share of the subjects that are emoji or icons."""
    turned_figures: float = 0.25
    """Share of the figures whose pictures are turned in hue."""
    turned_symbols: float = 0.15
    art: float = 0.0
    """Share of groups of random art, which shows nobody and has no captions."""


@dataclass(frozen=True)
class SubjectJob:
    """Which subject to draw."""

    domain: BroadDomain
    position: int
    """In the endless sequence of subjects; held-out subjects have a sequence of their own."""
    seed: int
    px: int
    held_out: bool = False
    mask_side: int = 0
    """Side of `SubjectImages.figure`; 0 leaves it out."""


@dataclass(frozen=True)
class SubjectImages:
    """All pictures of one subject, n = `IMAGES_PER_IDENTITY`."""

    kind: str
    """A figure's family, "symbol" or "art"."""
    pixels: np.ndarray
    """(n, px, px, 3) uint8."""
    captions: list[list[str]]
    """n times `CAPTIONS`; empty for art."""
    figure: np.ndarray
    """(n, side * side) bool, where in the picture the figure is; (n, 0) when not asked for."""


def render_subject(job: SubjectJob) -> SubjectImages:
    """Draw a subject's pictures and word their captions."""
    domain = job.domain
    # The seed decides what is shown and how; which figures there are does not depend on it, as in `training_job`.
    rng = random.Random(f"subject {job.seed} {job.position} {job.held_out}")
    if rng.random() < domain.art:
        pixels = np.stack(
            [np.asarray(rasterise(random_art(rng), job.px).convert("RGB")) for _ in range(IMAGES_PER_IDENTITY)]
        )
        return SubjectImages("art", pixels, [], np.zeros((IMAGES_PER_IDENTITY, 0), dtype=bool))
    if domain.symbols_file is not None and rng.random() < domain.symbols:
        return _render_symbol(job, domain.symbols_file, rng)
    return _render_figure(job, rng)


def _render_figure(job: SubjectJob, rng: random.Random) -> SubjectImages:
    figures = job.domain.figures
    # Every twentieth number is a held-out identity; `training_job` leaves those out.
    number = 20 * job.position if job.held_out else training_job(figures, job.position, job.seed, job.px)[1]
    identity = figures.identity(number)
    turn = rng.randrange(12, FULL_TURN - 12) if rng.random() < job.domain.turned_figures else 0
    layers, worded = [], []
    for index in range(IMAGES_PER_IDENTITY):
        attributes = figures.sample_attributes(rng, identity, held_out=job.held_out and index % 5 == 0)
        layers.append((attributes.place, figure_layer(identity, attributes, job.px)))
        worded.append(figure_captions(identity, attributes, rng))
    return _subject_images(identity.family, layers, worded, turn, job.mask_side)


def _render_symbol(job: SubjectJob, file: Path, rng: random.Random) -> SubjectImages:
    chosen = [symbol for symbol in read_symbols(file) if symbol.is_held_out == job.held_out]
    if not chosen:
        raise ValueError(f"{file} has no {'held-out' if job.held_out else 'training'} symbols")
    coat = rng.choice(COAT_CUTS[1:]) if rng.random() < 0.5 else ""
    character = SymbolCharacter(rng.choice(chosen), coat)
    turn = rng.randrange(12, FULL_TURN - 12) if rng.random() < job.domain.turned_symbols else 0
    layers, worded = [], []
    for _ in range(IMAGES_PER_IDENTITY):
        attributes = symbol_attributes(character, rng)
        figure = framed(symbol_figure(character, attributes.colour), attributes.pose)
        layers.append((attributes.place, rasterise(figure, job.px)))
        worded.append(symbol_captions(character, attributes, rng))
    return _subject_images("symbol", layers, worded, turn, job.mask_side)


def _subject_images(
    kind: str, layers: list[tuple[str, Image.Image]], worded: list[list[str]], turn: int, mask_side: int
) -> SubjectImages:
    """Put the figures over their scenes, turned in hue together; a turned picture's captions name no colour."""
    pixels = np.stack([np.asarray(turn_hue(compose(place, figure), turn)) for place, figure in layers])
    if turn:
        worded = [[without_colours(text) for text in texts] for texts in worded]
    masks = [figure_mask(figure, mask_side) for _, figure in layers]
    return SubjectImages(kind, pixels, worded, np.stack(masks))


def figure_mask(figure: Image.Image, side: int) -> np.ndarray:
    """(side * side,) bool: the squares of a layer of which the figure fills at least a quarter."""
    if not side:
        return np.zeros(0, dtype=bool)
    alpha = figure.getchannel("A").resize((side, side), Image.Resampling.BOX)
    return np.asarray(alpha).reshape(-1) >= 64


def symbol_attributes(character: SymbolCharacter, rng: random.Random) -> Attributes:
    """Random pose, place and colour of the coat; a symbol has its one expression and holds nothing."""
    clothes = clothes_phrase(rng.choice(list(COLOURS)), "coat") if character.coat else ""
    return Attributes("", clothes, rng.choice(WIDE_PLACES), rng.choices(WIDE_POSES, POSE_WEIGHTS)[0])


def figure_captions(identity: Identity, attributes: Attributes, rng: random.Random) -> list[str]:
    """`CAPTIONS` captions of a figure's picture: two with its appearance, two without."""
    name = made_up_name(rng)
    worded = captions(identity, attributes, rng, name)
    silent = worded[rng.choice(_SILENT)] if rng.random() < 0.5 else attributes.description
    return [
        f"{name}, {identity.words}, {attributes.description}",
        worded[rng.choice(_TELLING)],
        f"{name}, {attributes.description}",
        silent,
    ]


def symbol_captions(character: SymbolCharacter, attributes: Attributes, rng: random.Random) -> list[str]:
    """`CAPTIONS` captions of a symbol's picture: two with its noun, two without."""
    name, seen = made_up_name(rng), attributes.description
    return [
        f"{name}, {character.words}, {seen}",
        f"{name} the {character.symbol.noun}, {seen}",
        f"{name}, {seen}",
        seen,
    ]
