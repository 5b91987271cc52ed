"""Suggested captions of images: expression, clothes, place; a person reads and corrects them.

    for guess in suggest_captions("starter", paths): guess.fields, guess.description

The starter is shown each image and asked; an answer that it is sure of, and that the judge does not find unlikely, is
suggested, anything else left empty. On the twenty pictures of the two bundled characters in styles it was trained on
its answers are those of the captions for every expression, clothes and place. In a foreign style it says little: on
Quibb's ten pictures 4 expressions, no clothes and 6 places, most of the rest left empty. The judge, trained apart,
filters out most of what it makes up about photographs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import CharacterImage
from pipelines.core.jobs.model_specs import STARTER_PRESETS
from pipelines.data.chat_template import IMAGE_QUESTIONS, render, user
from pipelines.data.packing import open_image
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.interface import UnifiedModel
from pipelines.models.presets import load
from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, KINDS, PLACES, clothes_phrase
from pipelines.rewards.judge import load_judge

MIN_ANSWER_PROB = 0.5
"""Least probability of an answer, given the image and the question, at which it may be suggested."""
MIN_JUDGE_PROB = 0.1
"""Least probability that the judge must give it among all captions of the vocabulary for the field."""
MAX_ANSWER_TOKENS = 16
""""a purple turtleneck." has six."""


@dataclass(frozen=True)
class CaptionGuess:
    """What varies in one image, as far as it could be told."""

    fields: dict[str, str]
    """Some of expression, clothes, place."""
    description: str
    """The same in one line, as captions are worded; empty when there are none."""


def suggest_captions(preset: str, paths: Sequence[Path]) -> Iterator[CaptionGuess]:
    """One suggestion per image, in order; whatever the preset, the starter (or its toy) is asked.

    Raises OSError for a file that is no image.
    """
    base = preset if preset in STARTER_PRESETS else "starter"
    model, tokenizer = load(base)
    model.eval()
    judge = load_judge(base)
    options = _options()
    questions = [wordings[0] for wordings in IMAGE_QUESTIONS.values()]
    for path in paths:
        pixels = open_image(path, model.spec.image_px).expand(len(questions), -1, -1, -1)
        answers = zip(IMAGE_QUESTIONS, answers_about(model, tokenizer, questions, pixels), strict=True)
        fields = {}
        with torch.no_grad():
            pixels = open_image(path, judge.image_px)[None]  # (1, 3, px, px)
            image_features = judge.encode_images(pixels)
            for name, (answer, answer_prob) in answers:
                value = answer[:1].lower() + answer[1:].rstrip(".")
                if answer_prob >= MIN_ANSWER_PROB and value in options[name]:
                    captions = [f"wearing {option}" for option in options[name]] if name == "clothes" else options[name]
                    probs = judge.caption_probs(image_features, captions)  # (1, options)
                    if float(probs[0, options[name].index(value)]) >= MIN_JUDGE_PROB:
                        fields[name] = value
        yield CaptionGuess(fields, CharacterImage(file=path.name, **fields).description)


def _options() -> dict[str, list[str]]:
    """All values that the starter's training drawings may have, by field."""
    kinds = sorted({kind for of_style in KINDS.values() for kind in of_style if kind})
    clothes = [clothes_phrase(colour, kind) for colour in COLOURS for kind in kinds]
    return {"expression": list(EXPRESSIONS), "clothes": clothes, "place": list(PLACES)}


def answers_about(
    model: UnifiedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    pixels: torch.Tensor,
    max_new_tokens: int = MAX_ANSWER_TOKENS,
) -> list[tuple[str, float]]:
    """Greedy answers and their probabilities (the product over their tokens).

    One question for each image (N, 3, px, px).
    """
    prompts = [render((user(question, "image"),), model.spec, tokenizer, add_reply=True).ids for question in questions]
    samples = model.sample_text(
        prompts,
        Sampling(max_new_tokens=max_new_tokens, temperature=0.0),
        stop_ids=(model.spec.eot_id, model.spec.boi_id),
        pixel_values=pixels.to(model.device),
    )
    return [
        (tokenizer.decode(ids, skip_special_tokens=True).strip(), math.exp(sum(logps)))
        for ids, logps in zip(samples.ids, samples.logps, strict=True)
    ]
