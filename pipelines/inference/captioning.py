"""Suggestions of what is seen in a picture: expression, clothes, place; a person reads and corrects them.

    for seen in suggest("starter", paths): seen.fields, seen.description

The starter is shown each picture and asked; an answer that it is sure of, and that the critic does not think unlikely,
is suggested, anything else left empty. On the thirty pictures of the bundled characters its answers are those of the
captions for 29 expressions, 25 clothes and all 30 places. It was taught on drawings; the critic, trained apart, keeps
most of what it makes up about photographs from being said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.core.character.character import CharacterImage
from pipelines.core.jobs.model_specs import STARTER_PRESETS
from pipelines.data.chat_template import IMAGE_QUESTIONS, render, user
from pipelines.data.packing import open_image
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.presets import load
from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, KINDS, PLACES, clothes_phrase
from pipelines.rewards.judge import load_judge

SURE = 0.5
"""Least probability of an answer, given the picture and the question, at which it may be suggested."""
LIKELY = 0.1
"""Least probability that the critic must give it among everything its vocabulary has for the field."""
MOST_WORDS = 16
"""Ids of an answer; "a purple turtleneck." has six."""


@dataclass(frozen=True)
class CaptionGuess:
    """What varies in one picture, as far as it could be told."""

    fields: dict[str, str]
    """Some of expression, clothes, place."""
    description: str
    """The same in one line, as captions are worded; empty when there are none."""


def suggest_captions(preset: str, paths: Sequence[Path]) -> Iterator[CaptionGuess]:
    """One suggestion for each picture, in order; whatever the preset, it is the starter that looks (or its toy).

    Raises OSError for a file that is no picture.
    """
    base = preset if preset in STARTER_PRESETS else "starter"
    model, tokenizer = load(base)
    model.eval()
    judge = load_judge(base)
    options = _options()
    questions = [worded[0] for worded in IMAGE_QUESTIONS.values()]
    for path in paths:
        pixels = open_image(path, model.spec.image_px).expand(len(questions), -1, -1, -1)
        answers = zip(IMAGE_QUESTIONS, answers_about(model, tokenizer, questions, pixels), strict=True)
        fields = {}
        with torch.no_grad():
            pixels = open_image(path, judge.image_px)[None]  # (1, 3, px, px)
            image_features = judge.encode_images(pixels)
            for name, (answer, sure) in answers:
                words = answer[:1].lower() + answer[1:].rstrip(".")
                if sure >= SURE and words in options[name]:
                    said = [f"wearing {word}" for word in options[name]] if name == "clothes" else options[name]
                    if float(judge.caption_probs(image_features, said)[0, options[name].index(words)]) >= LIKELY:
                        fields[name] = words
        yield CaptionGuess(fields, CharacterImage(file=path.name, **fields).description)


def _options() -> dict[str, list[str]]:
    """Everything that drawings may show, by field."""
    kinds = sorted({kind for of_style in KINDS.values() for kind in of_style if kind})
    clothes = [clothes_phrase(colour, kind) for colour in COLOURS for kind in kinds]
    return {"expression": list(EXPRESSIONS), "clothes": clothes, "place": list(PLACES)}


def answers_about(
    model: Any, tokenizer: Any, questions: Sequence[str], pixels: torch.Tensor, most: int = MOST_WORDS
) -> list[tuple[str, float]]:
    """What the model says when asked, each word the likeliest, and the probability of just those words.

    One question for each picture (N, 3, px, px); `most` ids an answer.
    """
    prompts = [
        render((user(question, "picture"),), model.spec, tokenizer, add_reply=True).ids for question in questions
    ]
    samples = model.sample_text(
        prompts,
        Sampling(max_new_tokens=most, temperature=0.0),
        stop_ids=(model.spec.eot_id, model.spec.boi_id),
        pixel_values=pixels.to(model.device),
    )
    return [
        (tokenizer.decode(ids, skip_special_tokens=True).strip(), math.exp(sum(logps)))
        for ids, logps in zip(samples.ids, samples.logps, strict=True)
    ]
