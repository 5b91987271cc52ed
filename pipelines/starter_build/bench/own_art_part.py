"""The part `own-art`: characters in styles of their own, learned by `quick`, named by the second identity encoder.

Each set is drawn in looks whose face and place none of its pictures combines. The encoder, which saw none of the three
styles and gives no rewards, compares each drawing with the galleries of twenty figures: the three sets and unseen ones
of the wide domain. Whether asked face and place can be told from the drawing is for people: OUT/own-art-reader.jpg
shows numbered drawings with six faces and six places each; the answers are in a file of their own.
"""

from __future__ import annotations

import random
from typing import Any

import torch
from PIL import Image

from pipelines.evaluation.graders import IDENTITY
from pipelines.inference.generate import sampling_of
from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, clothes_phrase
from pipelines.starter_build.bench.bench_context import BATCH, BenchContext
from pipelines.starter_build.bench.drawn_pictures import open_pictures, rendered
from pipelines.starter_build.bench.people_part import sample_people
from pipelines.starter_build.bench.reader_sheet import save_reader_sheet
from pipelines.starter_build.bench.readings import PartResult, Score, share
from pipelines.starter_build.bench.sheets import save_sheets
from pipelines.starter_build.bench.trained_runs import (
    bench_recipe,
    run_character,
    run_settings,
    shortened_note,
    trained_engine,
    trained_run,
)
from pipelines.starter_build.dataset import pixels_of_images
from pipelines.starter_build.drawings.attributes import Attributes
from pipelines.starter_build.own_art.sets import SETS, TEXTS, ArtSet

PART = "own-art"
GOAL = 0.9
READ_BY_PEOPLE = 10
"""Drawings of each set on the sheet for readers."""


def asked_looks(slug: str, count: int) -> list[Attributes]:
    """The first `count` looks of a set: every face and place in turn, in pairs that none of its pictures shows."""
    chosen, rng = SETS[slug], random.Random(f"{PART} {slug}")
    shown = {(one.expression, one.place) for document in TEXTS for one in chosen.attributes(document).values()}
    faces = rng.sample(EXPRESSIONS, len(EXPRESSIONS))
    looks: list[Attributes] = []
    while len(looks) < count:
        for place in rng.sample(list(chosen.art.places), len(chosen.art.places)):
            turn = len(looks) % len(faces)
            face = next(word for word in (*faces[turn:], *faces[:turn]) if (word, place) not in shown)
            clothes = clothes_phrase(rng.choice(list(COLOURS)), rng.choice(chosen.art.kinds))
            looks.append(Attributes(face, clothes, place))
    return looks[:count]


def run_own_art(context: BenchContext) -> PartResult:
    """Train, draw and compare; goes on where an earlier call stopped. WeightsMissing without the encoder."""
    counts = context.counts
    recipe = bench_recipe(context)
    settings = {
        **run_settings(context, counts.own_art),
        "figures": counts.figures,
        "domain": list(context.domain.styles),
    }
    encoder = context.identity_encoder  # asked for before anything is trained
    log = context.log(PART, (IDENTITY,), settings)
    galleries: list[torch.Tensor] = []
    for slug in counts.own_art:
        looks = asked_looks(slug, counts.own_art_drawings)
        own = list(SETS).index(slug)
        cases = [(slug, number) for number in range(len(looks))]
        for batch in context.todo(log, cases, _case, BATCH):
            run = trained_run(context, slug)
            engine, name = trained_engine(context, run)
            wanted = [looks[number] for _, number in batch]
            images = engine.draw(
                name,
                run_character(run),
                [look.description for look in wanted],
                seed=batch[0][1],
                sampling=sampling_of(recipe),
            )
            galleries = galleries or _galleries(context)
            real = [SETS[slug].art.draw(look, context.px) for look in wanted]
            named = [
                encoder.nearest_gallery(encoder.embed(pixels_of_images(side)), galleries).tolist()
                for side in (images, real)
            ]
            for row, (case, image) in enumerate(zip(batch, images, strict=True)):
                context.keep_image(PART, _case(case), image)
                log.add(_case(case), own=own, drawn=named[0][row], real=named[1][row], look=wanted[row].description)
    sheets, notes = _sheets(context)
    return PartResult(
        PART,
        len(counts.own_art) * counts.own_art_drawings,
        _scores(context, log.records),
        sheets,
        (*shortened_note(context), *notes),
        settings,
    )


def _galleries(context: BenchContext) -> list[torch.Tensor]:
    """The vectors of each figure's pictures: of every set the ten of its folder, of unseen people nine."""
    context.say(f"{PART}: rendering {context.counts.figures} galleries")
    own = [pixels_of_images(_real_pictures(chosen, context.px)) for chosen in SETS.values()]
    people = sample_people(context.domain, max(0, context.counts.figures - len(own)), 0)
    pictures = [rendered([(one.identity, look) for look in one.pictures], context.px) for one in people]
    return [context.identity_encoder.embed(pixels) for pixels in (*own, *pictures)]


def _real_pictures(chosen: ArtSet, px: int) -> list[Image.Image]:
    return [chosen.art.draw(look, px) for look in chosen.attributes(TEXTS[0]).values()]


def _scores(context: BenchContext, records: dict[str, dict[str, Any]]) -> dict[str, Score]:
    """Of all sets together and of each."""
    counts = context.counts
    by_set = {
        slug: [records[_case((slug, number))] for number in range(counts.own_art_drawings)] for slug in counts.own_art
    }
    everything = [record for found in by_set.values() for record in found]
    scores = {"named among the figures": _named(everything)}
    if len(by_set) > 1:
        scores |= {f"named: {slug}": _named(found) for slug, found in by_set.items()}
    return scores


def _named(records: list[dict[str, Any]]) -> Score:
    drawn, real = ([[record[side] == record["own"]] for record in records] for side in ("drawn", "real"))
    return share(drawn, real, GOAL)


def _sheets(context: BenchContext) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(sheets, notes): drawings beside the real ones, and the sheet for readers."""
    images, labels, read, looks = [], [], [], []
    for slug in context.counts.own_art:
        wanted = asked_looks(slug, context.counts.own_art_drawings)
        drawn = open_pictures([context.picture(PART, _case((slug, number))) for number in range(len(wanted))])
        for look, image in zip(wanted, drawn, strict=True):
            images += [SETS[slug].art.draw(look, context.px), image]
            labels += [look.description, "drawn"]
        read += drawn[:READ_BY_PEOPLE]
        looks += wanted[:READ_BY_PEOPLE]
    sheet, answers = save_reader_sheet(context.out, PART, read, looks)
    note = f"read {sheet} without {answers}: which of six faces, which of six places? The goal is 8 of 10 each"
    return (*save_sheets(context.out, PART, images, labels, 8), sheet), (note,)


def _case(case: tuple[str, int]) -> str:
    return f"{case[0]}-{case[1]:02d}"
