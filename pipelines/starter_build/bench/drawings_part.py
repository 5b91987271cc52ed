"""The part `drawings`: unseen combinations of the wide domain, drawn from words alone and read by the classifier.

Every case is a held-out figure in a held-out combination of expression, kind of clothes and place. It is drawn as chat
draws, from name, appearance and look, without references; beside it the rendering of the same words is read.
"""

from __future__ import annotations

import random
from typing import Any

from pipelines.core.character.character import Character
from pipelines.evaluation.graders import CLASSIFIER
from pipelines.starter_build.bench.bench_context import BATCH, BenchContext, DrawingRequest, sampling_settings
from pipelines.starter_build.bench.drawn_pictures import label, open_pictures, rendered, to_images
from pipelines.starter_build.bench.readings import PartResult, Score, share
from pipelines.starter_build.bench.sheets import save_sheets
from pipelines.starter_build.build_classifier import expected_answers
from pipelines.starter_build.drawings.caption_templates import made_up_name
from pipelines.starter_build.measure_images import held_out_requests

PART = "drawings"
GOALS = {"expression": 0.97, "clothes_kind": 0.92, "hair_colour": 0.96, "place": 0.99, "extra": 0.85}
"""Attribute of the classifier -> share that must be read as asked."""
NAMES = {
    "expression": "expression",
    "clothes_kind": "kind of clothes",
    "hair_colour": "hair colour",
    "place": "place",
    "extra": "held things",
    "clothes_colour": "colour of clothes",
    "accessory": "glasses and earrings",
}
SHEET_PAIRS = 96
"""Cases on the sheets."""


def run_drawings(context: BenchContext) -> PartResult:
    """Draw, read and score; goes on where an earlier call stopped. WeightsMissing without the classifier."""
    settings = {**sampling_settings(), "references": 0, "domain": list(context.domain.styles)}
    requests = held_out_requests(context.domain, context.counts.drawings)
    rng = random.Random(PART)
    names = [made_up_name(rng) for _ in requests]
    classifier = context.classifier
    log = context.log(PART, (CLASSIFIER,), settings)
    numbers = range(len(requests))
    for batch in context.todo(log, numbers, _name, BATCH):
        wanted = [requests[number] for number in batch]
        drawn = context.draw(
            [
                DrawingRequest(Character(names[number], "", appearance=identity.words), look.description, number)
                for number, (identity, look) in zip(batch, wanted, strict=True)
            ]
        )
        read = classifier.classify(drawn)
        real = classifier.classify(rendered(wanted, context.px))
        for row, number in enumerate(batch):
            context.keep(PART, _name(number), drawn[row])
            log.add(
                _name(number),
                asked=asked_answers(*requests[number]),
                drawn={name: words[row] for name, words in read.items()},
                real={name: words[row] for name, words in real.items()},
            )
    records = [log.records[_name(number)] for number in numbers]
    shown = list(numbers)[:SHEET_PAIRS]
    pairs = zip(
        to_images(rendered([requests[number] for number in shown], context.px)),
        open_pictures([context.picture(PART, _name(number)) for number in shown]),
        strict=True,
    )
    sheets = save_sheets(
        context.out,
        PART,
        [image for pair in pairs for image in pair],
        [text for number in shown for text in (label(*requests[number]), "drawn")],
        8,
    )
    return PartResult(PART, len(records), attribute_scores(records), sheets, settings=settings)


def asked_answers(identity: Any, attributes: Any) -> dict[str, str | None]:
    """The right answer to each question; None where it does not arise: nobody asked for a held thing, say."""
    answers = expected_answers(identity, attributes)
    return answers | {"extra": answers["extra"] or None}


def attribute_scores(records: list[dict[str, Any]]) -> dict[str, Score]:
    """Share of the cases in which each attribute is read as asked, over those where it was asked for."""
    scores = {}
    for attribute, name in NAMES.items():
        asked = [record for record in records if record["asked"][attribute] is not None]
        if asked:
            right = {
                side: [[record[side][attribute] == record["asked"][attribute]] for record in asked]
                for side in ("drawn", "real")
            }
            scores[name] = share(right["drawn"], right["real"], GOALS.get(attribute))
    return scores


def _name(number: int) -> str:
    return f"{number:04d}"
