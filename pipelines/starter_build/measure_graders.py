"""What the graders can tell on real drawings that neither was trained on, into graders.json of a build.

`python -m pipelines.starter_build.measure_graders --build FOLDER` measures the classifier and the identity encoder that
FOLDER has, without `--build` the shipped ones. The classifier reads held-out figures in unseen combinations; the
encoder names held-out figures among twenty, and each set of own art, a style it never saw, among as many.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pipelines.evaluation.attribute_classifier import AttributeClassifier
from pipelines.evaluation.graders import (
    CLASSIFIER,
    IDENTITY,
    WEIGHTS_FILE,
    load_classifier,
    load_identity_encoder,
)
from pipelines.evaluation.identity_encoder import IdentityEncoder
from pipelines.models.starter.loading import WEIGHTS
from pipelines.starter_build.build_classifier import classifier_accuracies
from pipelines.starter_build.dataset import pixels_of_images
from pipelines.starter_build.drawings.attributes import WIDE, Domain
from pipelines.starter_build.drawings.render_svg import render_image
from pipelines.starter_build.measure_images import held_out_requests
from pipelines.starter_build.own_art.sets import SETS, TEXTS

PX = 256
SCORES_FILE = "graders.json"
FIGURES = 20
"""Among whom somebody is named."""
FIRST_NUMBER = 3000
"""Figures are held-out identities from here on."""
PICTURES, GALLERY = 10, 7
"""Pictures of a held-out figure, and how many of them are the gallery that the others are compared with."""


def measure_graders(
    classifier: AttributeClassifier | None,
    encoder: IdentityEncoder | None,
    domain: Domain = WIDE,
    count: int = 500,
    figures: int = FIGURES,
) -> dict[str, float]:
    """Accuracies on real drawings; those of a grader that is None are left out."""
    scores: dict[str, float] = {}
    if classifier is not None:
        scores |= classifier_scores(classifier, domain, count)
    if encoder is not None:
        scores |= encoder_scores(encoder, domain, figures)
    return {name: round(value, 4) for name, value in scores.items()}


def classifier_scores(classifier: AttributeClassifier, domain: Domain, count: int) -> dict[str, float]:
    """Accuracy of each attribute on `count` renderings of unseen combinations, held things where one is held."""
    requests = held_out_requests(domain, count, seed=2)
    answers = classifier.classify(pixels_of_images([render_image(identity, look, PX) for identity, look in requests]))
    holding = [row for row, (_, look) in enumerate(requests) if look.extra]
    answers_held = {"extra": [answers["extra"][row] for row in holding]}
    held = classifier_accuracies(answers_held, [requests[row] for row in holding])
    accuracies = {**classifier_accuracies(answers, requests), **held}
    return {f"real_{name}": value for name, value in accuracies.items()}


@torch.no_grad()
def encoder_scores(encoder: IdentityEncoder, domain: Domain, figures: int) -> dict[str, float]:
    """Share named right among `figures`: held-out figures by their last three pictures, own art by its held-out five.

    An own-art set is one of the figures, with its ten pictures as gallery.
    """
    unseen = []
    for number in range(figures):
        identity, rng = domain.identity(20 * (FIRST_NUMBER + number)), random.Random(f"graders {number}")
        looks = [domain.sample_attributes(rng, identity) for _ in range(PICTURES)]
        unseen.append(encoder.embed(pixels_of_images([render_image(identity, look, PX) for look in looks])))
    galleries = [vectors[:GALLERY] for vectors in unseen]
    named = [
        encoder.nearest_gallery(vectors[GALLERY:], galleries).eq(number).float()
        for number, vectors in enumerate(unseen)
    ]
    scores = {f"real_among_{figures}_figures": torch.cat(named).mean().item()}
    found = []
    for slug, chosen in SETS.items():
        gallery, asked = (
            encoder.embed(pixels_of_images([chosen.art.draw(look, PX) for look in chosen.attributes(file).values()]))
            for file in TEXTS
        )
        right = encoder.nearest_gallery(asked, [gallery, *galleries[1:]]).eq(0).float()
        scores[f"real_among_{figures}_{slug}"] = right.mean().item()
        found.append(right)
    return scores | {f"real_among_{figures}_own_art": torch.cat(found).mean().item()}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; prints one JSON object."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.starter_build.measure_graders", description="Measure the graders on real drawings."
    )
    parser.add_argument(
        "--build", type=Path, help="folder of a build that has trained them (default: the shipped ones)"
    )
    parser.add_argument("--count", type=int, default=500, help="drawings that the classifier reads")
    options = parser.parse_args(argv)
    graders: list[Any] = []
    for name, load in ((CLASSIFIER, load_classifier), (IDENTITY, load_identity_encoder)):
        folder = WEIGHTS / name if options.build is None else options.build / name / "model"
        graders.append(load(folder=folder) if (folder / WEIGHTS_FILE).is_file() else None)
    scores = measure_graders(*graders, count=options.count)
    if options.build is not None:
        (options.build / SCORES_FILE).write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(scores))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
