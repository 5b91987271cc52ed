"""The part `characters`: the bundled characters after `quick`: do they look, sound and know as they should?

Likeness is the critic's. Each drawing shows the look of one held-out picture and is compared with the other held-out
pictures, as those are with one another, which is the most that can be reached; the score is the share of that.
Perplexity is that of held-out replies, against the base with the same system prompt; facts are multiple choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.core.character.character import TestSplit
from pipelines.core.character.character_folder import read_test_split, test_image_path
from pipelines.core.intervals import bootstrap, wilson
from pipelines.core.run_folder import BASE, CHARACTER_FOLDER, read_result
from pipelines.data.packing import open_image
from pipelines.evaluation.scorecard import dialogue_rows, log_likelihoods
from pipelines.inference.engine import find_checkpoint
from pipelines.inference.generate import sampling_of
from pipelines.rewards.image_features import ImageFeatures
from pipelines.starter_build.bench.bench_context import BATCH, CRITIC, BenchContext
from pipelines.starter_build.bench.drawn_pictures import open_pictures
from pipelines.starter_build.bench.readings import PartResult, Score
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

PART = "characters"
LIKENESS_GOAL, PERPLEXITY_GOAL, FACTS_GOAL = 0.9, 0.55, 0.9
TEXTS = "texts"
"""The case of a character that holds what is measured on words."""
Records = dict[str, dict[str, Any]]


def run_characters(context: BenchContext) -> PartResult:
    """Train, draw and compare; goes on where an earlier call stopped."""
    counts = context.counts
    settings = run_settings(context, counts.characters)
    log = context.log(PART, (CRITIC,), settings)
    runs: dict[str, Path] = {}
    for slug in counts.characters:
        runs[slug] = trained_run(context, slug)
        if f"{slug}-{TEXTS}" not in log:
            log.add(f"{slug}-{TEXTS}", **_texts(context, runs[slug]))
        cases = [(slug, number) for number in range(counts.character_drawings)]
        for batch in context.todo(log, cases, _case, BATCH):
            numbers = [number for _, number in batch]
            for number, likeness in zip(numbers, _draw(context, runs[slug], slug, numbers), strict=True):
                log.add(_case((slug, number)), likeness=likeness)
    notes = (*shortened_note(context), *(f"{slug}: {find_checkpoint(str(run)).name}" for slug, run in runs.items()))
    return PartResult(
        PART,
        len(counts.characters) * counts.character_drawings,
        _scores(context, log.records),
        _sheets(context, runs),
        notes,
        settings,
    )


def _draw(context: BenchContext, run: Path, slug: str, numbers: Sequence[int]) -> list[float]:
    """Likeness of each drawing to the held-out pictures other than the one whose look it shows."""
    split = _split(run)
    engine, name = trained_engine(context, run)
    shown = [number % len(split.images) for number in numbers]
    images = engine.draw(
        name,
        run_character(run),
        [split.images[at].description for at in shown],
        references=find_checkpoint(str(run)).references if name == BASE else (),
        seed=numbers[0],
        sampling=sampling_of(bench_recipe(context)),
    )
    for number, image in zip(numbers, images, strict=True):
        context.keep_image(PART, _case((slug, number)), image)
    with torch.inference_mode():
        held_out = _held_out_features(context, run, split)
        drawn = context.critic.encode_images(pixels_of_images(images))
        likeness = context.critic.likeness(drawn, held_out)  # (N, held out)
    return [without(row, at) for row, at in zip(likeness.tolist(), shown, strict=True)]


def _texts(context: BenchContext, run: Path) -> dict[str, Any]:
    """What is measured on words, of the best checkpoint and of the base; and the likeness that real pictures reach."""
    split, character = _split(run), run_character(run)
    engine, name = trained_engine(context, run)
    rows = dialogue_rows(character, split.dialogues, engine.model.spec, engine.tokenizer)
    likelihoods = {}
    for side, adapter in (("trained", name), ("base", BASE)):
        with engine.using(adapter) as model:
            likelihoods[side] = log_likelihoods(model, rows)
    result = read_result(run) or {}
    best = find_checkpoint(str(run)).name
    scores = {item["name"]: item["scores"] for item in result["checkpoints"]}
    with torch.inference_mode():
        held_out = _held_out_features(context, run, split)
        likeness = context.critic.likeness(held_out, held_out).tolist()
    return {
        "likelihoods": likelihoods,
        "questions": len(split.choices),
        "facts": round(scores[best]["facts_accuracy"] * len(split.choices)),
        "base_facts": round(scores[BASE]["facts_accuracy"] * len(split.choices)),
        "real_likeness": [without(row, at) for at, row in enumerate(likeness)],
    }


def without(row: Sequence[float], at: int) -> float:
    """Mean of a row without one of its entries."""
    others = [value for place, value in enumerate(row) if place != at]
    return sum(others) / len(others)


def perplexity_drop(likelihoods: np.ndarray) -> float:
    """1 - perplexity / the base's, of rows (trained, ids, base, ids): summed log-probability and count by dialogue."""
    trained, count, base, base_count = likelihoods.reshape(-1, 4).sum(0)
    return float(1 - np.exp(-trained / count + base / base_count))


def _scores(context: BenchContext, records: Records) -> dict[str, Score]:
    scores: dict[str, Score] = {}
    for slug in context.counts.characters:
        texts = records[f"{slug}-{TEXTS}"]
        drawn = [[records[_case((slug, number))]["likeness"]] for number in range(context.counts.character_drawings)]
        reached = float(np.mean(texts["real_likeness"]))
        share = [[value / reached for value in case] for case in drawn]
        scores[f"likeness, share of real: {slug}"] = Score(
            float(np.mean(share)), bootstrap(share), len(share), 1.0, LIKENESS_GOAL
        )
        pairs = [
            [*trained, *base]
            for trained, base in zip(texts["likelihoods"]["trained"], texts["likelihoods"]["base"], strict=True)
        ]
        drop = perplexity_drop(np.array(pairs))
        interval = bootstrap(pairs, perplexity_drop)
        scores[f"perplexity below the base: {slug}"] = Score(drop, interval, len(pairs), None, PERPLEXITY_GOAL)
        facts, questions = texts["facts"], texts["questions"]
        scores[f"facts: {slug}"] = Score(facts / questions, wilson(facts, questions), questions, None, FACTS_GOAL)
    return scores


def _split(run: Path) -> TestSplit:
    return read_test_split(run / CHARACTER_FOLDER) or TestSplit()


def _held_out_features(context: BenchContext, run: Path, split: TestSplit) -> ImageFeatures:
    paths = [test_image_path(run / CHARACTER_FOLDER, image.file) for image in split.images]
    return context.critic.encode_images(torch.stack([open_image(path, context.critic.image_px) for path in paths]))


def _sheets(context: BenchContext, runs: dict[str, Path]) -> tuple[str, ...]:
    """Of each character a row of its held-out pictures, then its drawings, a column for each look."""
    names: list[str] = []
    for slug, run in runs.items():
        held_out = _split(run).images
        images = open_pictures([test_image_path(run / CHARACTER_FOLDER, image.file) for image in held_out])
        images = [image.resize((context.px, context.px)) for image in images]
        drawn = [context.picture(PART, _case((slug, at))) for at in range(context.counts.character_drawings)]
        labels = [image.description for image in held_out] + ["drawn"] * len(drawn)
        names += save_sheets(context.out, f"{PART}-{slug}", images + open_pictures(drawn), labels, len(held_out))
    return tuple(names)


def _case(case: tuple[str, int]) -> str:
    return f"{case[0]}-{case[1]:02d}"
