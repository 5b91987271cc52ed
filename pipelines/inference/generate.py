"""Replies and images from a model as it stands: the chat, and the samples of every checkpoint's scorecard.

`generate_replies` answers any number of conversations in one batch, each with its own adapter (`LoraBatch`), and
reports the parts as they are made. A reply is sampled as training renders it and kept to that form
(`pipelines/data/reply_form.py`): words, then perhaps the look of an image and its codes. Which checkpoint answers is
decided in `pipelines/inference/engine.py`.

Dimension letters: P prompts, G samples of a prompt, N = P * G images, I input images of all prompts together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from PIL import Image
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character, Interaction
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.picture_requests import picture_request
from pipelines.core.run_folder import BASE
from pipelines.data.chat_template import (
    Subject,
    image_turn,
    look_of,
    prompt,
    scene_head,
    scene_text,
    subject_of,
    turn_end,
    words_ids,
)
from pipelines.data.references import code_batch
from pipelines.data.reply_form import (
    LOOK_TOKENS,
    ImageMode,
    LookProcessor,
    WordsProcessor,
    repeats_itself,
    tidy_look,
    uses_brackets,
    whole_sentences,
)
from pipelines.inference.best_of import BestOf, generate_best_images
from pipelines.inference.generate_images import to_image
from pipelines.inference.held_look import held_look
from pipelines.inference.streaming import Reply, ReplyDone, ReplyPart, SceneReady, TextPiece, VisibleText
from pipelines.inference.text_batch import TextBatch, generators_of, loras_of
from pipelines.models.decoding.multi_lora import LoraBatch
from pipelines.models.decoding.sampling import Generators, OnIds, Sampling
from pipelines.models.interface import UnifiedModel

REPETITION_PENALTY = 1.1
"""For people who chat; rollouts and scores are sampled without."""
CHAT_TEMPERATURE = 0.6
"""At most, of words for people; rollouts, which must try things out, are sampled at `Recipe.temperature`."""
CHAT_SAMPLING = Sampling(
    temperature=CHAT_TEMPERATURE, repetition_penalty=REPETITION_PENALTY, guidance_scale=1.5, image_temperature=0.3
)
"""Where no recipe says otherwise: the defaults of `Recipe`."""
PROMPT_TOKENS = 2048
"""Most ids of system prompt and conversation, as in a training row; the earliest exchanges are left out."""


@dataclass(frozen=True)
class GenerationRequest:
    """One reply that is wanted."""

    character: Character
    history: Interaction
    """The conversation so far; ends with the user."""
    name: str = BASE
    """Which adapter answers, by its name in the `InferenceEngine`."""
    seed: int = 0
    """Equal seeds give equal replies, whatever else is in the batch."""
    picture: ImageMode = "auto"
    """Whether the reply has an image; "auto" leaves it to the model."""
    shown: Mapping[str, Path] = field(default_factory=dict)
    """Files of the input images in `history`, by the name they have there."""
    references: tuple[Path, ...] = ()
    """Files of the character's references, for a model without adapter; an adapter brings its own."""
    begun: str = ""
    """Words that the reply has already and goes on from, without an image; such a request is alone in its batch."""
    strength: float = 1.0
    """What the adapter adds is multiplied by this."""
    look: str = ""
    """What its image must show, in a caption's words; "" leaves it to the model."""


def as_asked(request: GenerationRequest) -> GenerationRequest:
    """With an image where the last message asks for one in plain words, and the look that it names.

    A model with little training announces no image by itself. Whoever wants none ("never") gets none.
    """
    if request.begun or request.picture == "never" or not request.history:
        return request
    asked = picture_request(request.history[-1].text, request.character.name)
    return request if asked is None else replace(request, picture="always", look=request.look or asked.look)


def sampling_of(recipe: Recipe, repetition_penalty: float = 1.0) -> Sampling:
    """How a recipe's model is sampled when it answers people."""
    return Sampling(
        max_new_tokens=recipe.max_new_tokens,
        temperature=min(recipe.temperature, CHAT_TEMPERATURE),
        top_p=recipe.top_p,
        repetition_penalty=repetition_penalty,
        guidance_scale=recipe.image_cfg_scale,
        image_temperature=recipe.image_temperature,
    )


@dataclass(frozen=True)
class GeneratedText:
    """A sampled reply's text, and the prompt of its image if there will be one."""

    text: str
    scene: str
    image_prompt: list[int] | None
    """All ids before the image's codes (`image_turn`)."""


def generate_texts(
    model: UnifiedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[GenerationRequest],
    sampling: Sampling,
    *,
    generator: Generators = None,
    loras: LoraBatch | None = None,
    on_text: Callable[[int, str], None] | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> list[GeneratedText]:
    """The text of one reply to each request, sampled in one batch.

    `on_text` gets (index of the request, more of its text), `on_step` is called after every decoding step. ValueError
    when a conversation shows an image that the request has no file for, or a reply that is begun is not alone.
    """
    spec = model.spec
    if len(requests) > 1 and any(item.begun for item in requests):
        raise ValueError("a reply that is begun is continued alone, not in a batch with others")
    rendered = [prompt(item.character, item.history, spec, tokenizer, PROMPT_TOKENS) for item in requests]
    input_images = [_files(item, one.input_images) for item, one in zip(requests, rendered, strict=True)]
    batch = TextBatch(model, sampling, input_images, generator, loras)
    begun = [words_ids(item.begun.strip(), False, spec, tokenizer) for item in requests]
    visible = [VisibleText(tokenizer, ids) for ids in begun]
    for i, shown in enumerate(visible):
        if on_text is not None and shown.shown:
            on_text(i, shown.shown)

    def on_ids(new_ids: dict[int, int]) -> None:
        for i, token in new_ids.items():
            if on_text is not None and (piece := visible[i].add(token)):
                on_text(i, piece)
        on_step()

    said = _sample_words(batch, tokenizer, requests, [one.ids for one in rendered], on_ids)
    for i, words in enumerate(said):
        if on_text is not None and (piece := visible[i].finish(words.text)):
            on_text(i, piece)
    with_image = [i for i, words in enumerate(said) if words.has_image]
    heads = {
        i: [
            *rendered[i].ids,
            *said[i].ids,
            *turn_end(spec, tokenizer),
            *scene_head(Subject(requests[i].character.name), spec, tokenizer),
        ]
        for i in with_image
    }
    sampled = _sample_looks(batch, tokenizer, heads, lambda new_ids: on_step())
    looks = {i: held_look(one, requests[i].look, said[i].text, requests[i].character) for i, one in sampled.items()}
    return [
        GeneratedText(
            said[i].text,
            scene_text(requests[i].character.name, looks[i]) if i in looks else "",
            image_turn(subject_of(requests[i].character, tokenizer), looks[i], spec, tokenizer) if i in looks else None,
        )
        for i in range(len(requests))
    ]


@dataclass(frozen=True)
class _Words:
    ids: list[int]
    """As training renders them, without the end of the turn."""
    text: str
    has_image: bool


def _sample_words(
    batch: TextBatch,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[GenerationRequest],
    prompts: list[list[int]],
    on_ids: OnIds,
) -> list[_Words]:
    spec, limit = batch.model.spec, batch.sampling.max_new_tokens
    who = [request.character for request in requests]
    begun = words_ids(requests[0].begun.strip(), False, spec, tokenizer)
    processor = WordsProcessor(
        spec,
        tokenizer,
        [request.picture for request in requests],
        limit,
        brackets=[uses_brackets(character) for character in who],
        repeats=[repeats_itself(character) for character in who],
        begun=begun,
    )
    prompts = [[*ids, *begun] for ids in prompts]
    sampled = batch.sample(range(len(requests)), prompts, batch.sampling, on_ids, processor)
    said = []
    for ids, stop in sampled:
        mark = len(processor.mark) if not begun and ids[: len(processor.mark)] == processor.mark else 0
        ids = [*begun, *ids]
        text = tokenizer.decode(ids[mark:], skip_special_tokens=True).strip()
        if stop is None:  # out of ids in the middle of a sentence
            whole = whole_sentences(text)
            text = whole if len(whole) > len(requests[0].begun) or not begun else text
            ids = words_ids(text, bool(mark), spec, tokenizer)
        said.append(_Words(ids, text, bool(mark)))
    return said


def _sample_looks(
    batch: TextBatch, tokenizer: PreTrainedTokenizerBase, heads: dict[int, list[int]], on_ids: OnIds
) -> dict[int, str]:
    """The look behind each head, by the index of its request."""
    if not heads:
        return {}
    sampling = replace(
        batch.sampling,
        max_new_tokens=LOOK_TOKENS,
        temperature=0.0,  # words may vary, but the look must say what was asked for
        repetition_penalty=1.0,
    )
    processor = LookProcessor(batch.model.spec, tokenizer)
    sampled = batch.sample(list(heads), list(heads.values()), sampling, on_ids, processor)
    looks = {}
    for i, (ids, stop) in zip(heads, sampled, strict=True):
        looks[i] = tidy_look(tokenizer.decode(ids, skip_special_tokens=True), complete=stop is not None)
    return looks


def _files(request: GenerationRequest, names: Sequence[str]) -> tuple[Path, ...]:
    missing = [name for name in names if name not in request.shown]
    if missing:
        raise ValueError(f"the conversation shows {', '.join(missing)}, but not where that is: put it into `shown`")
    return tuple(request.shown[name] for name in names)


def generate_replies(
    model: UnifiedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[GenerationRequest],
    *,
    sampling: Sampling | None = None,
    loras: LoraBatch | None = None,
    references: Sequence[Sequence[Sequence[int]]] = (),
    best_of: BestOf | None = None,
    on_part: Callable[[ReplyPart], None] = lambda part: None,
    on_step: Callable[[], None] = lambda: None,
) -> list[Reply]:
    """Answer all requests in one batch, each with its own seed and adapter (without `loras`, the model as it stands).

    references: for each request the codes of its character's references, or nothing for all. best_of: how an image is
    chosen from several drawings; None draws one.
    `on_part` gets text pieces, scene and finished reply of each side (index of a request) as they are made; `on_step`
    is called after every decoding step. Exceptions of either propagate and end generation.
    """
    sampling = sampling or CHAT_SAMPLING
    generators = [torch.Generator(device=model.device).manual_seed(request.seed) for request in requests]
    started = time.monotonic()
    first_text_s: dict[int, float] = {}

    def on_text(side: int, text: str) -> None:
        first_text_s.setdefault(side, time.monotonic() - started)
        on_part(TextPiece(side, text))

    texts = generate_texts(
        model, tokenizer, requests, sampling, generator=generators, loras=loras, on_text=on_text, on_step=on_step
    )
    text_s = time.monotonic() - started
    with_image = [side for side, item in enumerate(texts) if item.image_prompt is not None]
    for side, item in enumerate(texts):
        on_part(SceneReady(side, item.text, item.scene, side in with_image))
    replies: dict[int, Reply] = {}

    def finish(side: int, image: Image.Image | None) -> None:
        item, seconds = texts[side], time.monotonic() - started
        replies[side] = Reply(item.text, item.scene, image, first_text_s.get(side, text_s), seconds)
        on_part(ReplyDone(side, replies[side]))

    for side in range(len(requests)):
        if side not in with_image:
            finish(side, None)
    if with_image:
        images = generate_best_images(
            model,
            [item.image_prompt for item in texts if item.image_prompt is not None],
            [look_of(texts[side].scene, requests[side].character.name) for side in with_image],
            sampling,
            best_of,
            reference_codes=code_batch([references[side] for side in with_image]) if references else None,
            generator=generators_of(generators, with_image),
            loras=loras_of(loras, with_image),
            on_step=on_step,
        )
        for side, pixels in zip(with_image, images, strict=True):
            finish(side, to_image(pixels))
    return [replies[side] for side in range(len(requests))]
