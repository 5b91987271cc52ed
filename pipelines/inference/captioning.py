"""What is seen in images: expression, clothes and place for captions, and doubts (`image_doubts.py`).

    reader = ImageReader(model, tokenizer, judge); reader.read(path)
    for fields in suggest_captions("starter", paths): ...

The judge says which caption of its vocabulary fits best; then the starter is shown the image and asked, and the
probability of that very answer is read from one forward pass, which takes a third of the time of writing one. What both
agree on is kept. How far that is to be trusted depends on the art: in the starter's own styles nearly always, in a
foreign one hardly (`reply_protocol.trusted_fields`; numbers in docs/log.md, 2026-11-27). A person reads and corrects.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import CharacterImage
from pipelines.core.jobs.model_specs import STARTER_PRESETS
from pipelines.core.jobs.reply_protocol import (
    HARD_TO_DRAW,
    SEVERAL_FIGURES,
    SMALL_DETAILS,
    CaptionSuggestion,
    trusted_fields,
)
from pipelines.data.chat_template import IMAGE_QUESTIONS, render, user
from pipelines.data.packing import open_image
from pipelines.inference.image_doubts import (
    MIN_DETAIL,
    MIN_SMALL_DETAIL,
    detail_kept,
    load_figure_count,
    small_detail_kept,
)
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.interface import UnifiedModel
from pipelines.models.presets import load
from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, KINDS, PLACES, clothes_phrase
from pipelines.rewards.judge import Judge, load_judge
from pipelines.rewards.starter_critic import StarterCritic

MIN_AGREED = 0.5
"""Least probability that both must give to what is seen: the judge among all captions of its vocabulary for the field,
the model to that very answer, given the image and the question."""
FAMILIAR_AGREED, FAMILIAR_FIELDS = 0.7, 2
"""An image is familiar where they agree so far about so many fields."""
SURE_AGREED, SURE_FIELDS = 0.95, ("place",)
"""What may be trusted in a foreign art; faces and clothes are read wrongly there with any probability."""
MAX_ANSWER_TOKENS = 16
""""a purple turtleneck." has six."""


@dataclass(frozen=True)
class ImageReading:
    """What varies in one image, as far as it could be told, and what may be wrong with it."""

    fields: dict[str, str]
    """Some of expression, clothes, place."""
    description: str
    """The same in one line, as captions are worded; empty when there are none."""
    sure: tuple[str, ...] = ()
    """Those of the fields that may be trusted in a foreign art too."""
    is_familiar: bool = False
    """Whether model and judge agree as they do about drawings of the starter's own styles."""
    doubts: tuple[str, ...] = ()
    """Of `reply_protocol.DOUBTS`."""

    def suggestion(self, picture: str) -> CaptionSuggestion:
        """The same about a picture of that name, as it is sent."""
        return CaptionSuggestion(picture, self.fields, self.description, self.sure, self.is_familiar, self.doubts)


class ImageReader:
    """Reads what varies in images, with a model and a judge that are loaded already."""

    def __init__(
        self, model: UnifiedModel, tokenizer: PreTrainedTokenizerBase, judge: Judge, has_doubts: bool = True
    ) -> None:
        """model: the starter or its toy; the questions are those that its vision tower was trained on.

        has_doubts: whether to look for what may be wrong with an image; a toy has no grounds for any.
        """
        self._model, self._tokenizer, self._judge = model, tokenizer, judge
        self._has_doubts = has_doubts
        self._figures = load_figure_count() if has_doubts else None
        self._options = {
            name: (values, [f"wearing {value}" for value in values] if name == "clothes" else values)
            for name, values in _options().items()
        }

    @torch.no_grad()
    def read(self, path: Path) -> ImageReading:
        """What is seen in one image; raises OSError for a file that is no image."""
        doubts = self._doubts(path)
        if HARD_TO_DRAW in doubts:
            return ImageReading({}, "", doubts=doubts)  # about photographs it would be sure of nonsense
        image_features = self._judge.encode_images(open_image(path, self._judge.image_px)[None])  # (1, 3, px, px)
        likely: dict[str, tuple[str, float]] = {}
        for name, (values, captions) in self._options.items():
            probs = self._judge.caption_probs(image_features, captions)[0]  # (options,)
            if float(probs.max()) >= MIN_AGREED:
                likely[name] = values[int(probs.argmax())], float(probs.max())
        answers = self._answer_probs(path, {name: value for name, (value, _) in likely.items()})
        # How much both believe it: they were trained apart, so they seldom err alike.
        agreed = {name: min(prob, answers[name]) for name, (_, prob) in likely.items()}
        fields = {name: likely[name][0] for name, prob in agreed.items() if prob >= MIN_AGREED}
        return ImageReading(
            fields,
            CharacterImage(file=path.name, **fields).description,
            tuple(name for name in SURE_FIELDS if agreed.get(name, 0.0) >= SURE_AGREED),
            sum(prob >= FAMILIAR_AGREED for prob in agreed.values()) >= FAMILIAR_FIELDS,
            doubts,
        )

    def _doubts(self, path: Path) -> tuple[str, ...]:
        if not self._has_doubts:
            return ()
        pixels = open_image(path, self._model.spec.image_px)[None].to(self._model.device)  # (1, 3, px, px)
        rebuilt = self._model.decode_images(self._model.encode_images(pixels))
        found = []
        if detail_kept(pixels, rebuilt) < MIN_DETAIL:
            found = [HARD_TO_DRAW]  # says the same of more than the details
        elif small_detail_kept(pixels, rebuilt) < MIN_SMALL_DETAIL:
            found = [SMALL_DETAILS]
        if self._figures is not None and isinstance(self._judge, StarterCritic):
            found += [SEVERAL_FIGURES] if self._figures.shows_several(self._judge, pixels.cpu()) else []
        return tuple(found)

    def _answer_probs(self, path: Path, answers: dict[str, str]) -> dict[str, float]:
        """Field -> probability that the model, shown the image and asked about the field, answers so."""
        if not answers:
            return {}
        rows = []
        for name, value in answers.items():
            question = user(IMAGE_QUESTIONS[name][0], "image")
            prompt = render((question,), self._model.spec, self._tokenizer, add_reply=True).ids
            words = f"{value[:1].upper()}{value[1:]}."
            rows.append((prompt, self._tokenizer(words, add_special_tokens=False)["input_ids"]))
        width = max(len(prompt) + len(answer) for prompt, answer in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        labels = torch.full_like(ids, -100)
        mask = torch.zeros_like(ids)
        for row, (prompt, answer) in enumerate(rows):
            end = len(prompt) + len(answer)
            ids[row, :end] = torch.tensor([*prompt, *answer])
            labels[row, len(prompt) : end] = torch.tensor(answer)
            mask[row, :end] = 1
        device = self._model.device
        pixels = open_image(path, self._model.spec.image_px).expand(len(rows), -1, -1, -1).to(device)
        scores = self._model(ids.to(device), mask.to(device), labels.to(device), pixel_values=pixels)
        return dict(zip(answers, scores.logps.sum(1).exp().tolist(), strict=True))


def open_reader(preset: str) -> ImageReader:
    """A reader with its models loaded; whatever the preset, the starter (or its toy) is asked."""
    base = preset if preset in STARTER_PRESETS else "starter"
    model, tokenizer = load(base)
    model.eval()
    return ImageReader(model, tokenizer, load_judge(base), not base.endswith("-toy"))


def suggest_captions(preset: str, paths: Sequence[Path]) -> list[dict[str, str]]:
    """What may be suggested for each image of one character; whatever the preset, the starter (or its toy) is asked.

    Raises OSError for a file that is no image.
    """
    reader = open_reader(preset)
    return trusted_fields([reader.read(path).suggestion(path.name) for path in paths])


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
