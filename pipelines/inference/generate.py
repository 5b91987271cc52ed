"""Replies and images from a model as it stands: the chat, and the samples of every checkpoint's scorecard.

`generate_replies` answers any number of conversations in one batch, each with its own adapter (`LoraBatch`), and
reports the parts as they are made. A reply is sampled as training renders it: text, then perhaps `[scene] ...`, then
perhaps an image. Where an image is wanted and the model began no scene, the scene mark is appended and sampling goes
on from there. Which checkpoint answers is decided in `pipelines/inference/engine.py`.

Dimension letters: P prompts, G samples of a prompt, N = P * G images, I input images of all prompts together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from PIL import Image, ImageDraw
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character, Interaction
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import BASE
from pipelines.data.chat_template import prompt, reply_ids, scene_text, split_reply, user
from pipelines.data.packing import open_image
from pipelines.inference.streaming import Reply, ReplyDone, ReplyPart, SceneReady, TextPiece, VisibleText
from pipelines.models.decoding.multi_lora import LoraBatch
from pipelines.models.decoding.sampling import Generators, OnIds, Sampling
from pipelines.models.interface import UnifiedModel

ImageMode = Literal["auto", "always", "never"]
REPETITION_PENALTY = 1.1
"""For people who chat; rollouts and scores are sampled without."""
SCENE_TOKENS = 32
"""Most ids of a scene line that was begun for the model."""
CHAT_SAMPLING = Sampling(repetition_penalty=REPETITION_PENALTY, guidance_scale=2.0, image_temperature=0.45)
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


def sampling_of(recipe: Recipe, repetition_penalty: float = 1.0) -> Sampling:
    """How a recipe's model is sampled when it answers people."""
    return Sampling(
        max_new_tokens=recipe.max_new_tokens,
        temperature=recipe.temperature,
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
    """All ids before the image's codes; ends in `boi_id`."""
    input_images: tuple[Path, ...] = ()
    """The user's images in that prompt, in reading order."""


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

    `on_text` gets (index of the request, more of its text), `on_step` is called after every decoding step. Raises
    ValueError when a conversation shows an image that the request has no file for.
    """
    spec = model.spec
    rendered = [prompt(item.character, item.history, spec, tokenizer, PROMPT_TOKENS) for item in requests]
    input_images = [_files(item, one.input_images) for item, one in zip(requests, rendered, strict=True)]
    batch = _TextBatch(model, sampling, input_images, generator, loras)
    visible = [VisibleText(tokenizer) for _ in requests]

    def on_ids(new_ids: dict[int, int]) -> None:
        for i, token in new_ids.items():
            if on_text is not None and (piece := visible[i].add(token)):
                on_text(i, piece)
        on_step()

    # First pass: text and, if the model begins one, the scene line. A reply stops at end-of-turn, at begin-of-image,
    # or when it is out of tokens.
    everyone = range(len(requests))
    sampled = batch.sample(everyone, [one.ids for one in rendered], sampling.max_new_tokens, on_ids)
    bodies, begins_image = [ids for ids, _ in sampled], [stop == spec.boi_id for _, stop in sampled]
    parts = [split_reply(tokenizer.decode(body, skip_special_tokens=True)) for body in bodies]
    for i, (text, _) in enumerate(parts):
        if on_text is not None and (piece := visible[i].finish(text)):
            on_text(i, piece)

    # Second pass, only for replies that must have an image and have no scene: the scene line is begun with the
    # character's name, as training renders it, and the model completes it. Their text stays as sampled.
    no_scene = [i for i in everyone if requests[i].picture == "always" and not begins_image[i] and not parts[i][1]]
    for i in no_scene:
        bodies[i] = reply_ids(parts[i][0], f"{requests[i].character.name},", spec, tokenizer)
    if no_scene:
        prompts = [rendered[i].ids + bodies[i] for i in no_scene]
        completed = batch.sample(no_scene, prompts, SCENE_TOKENS, lambda new_ids: on_step())
        for i, (ids, _) in zip(no_scene, completed, strict=True):
            bodies[i] = bodies[i] + ids

    texts = []
    for i, request in enumerate(requests):
        text, scene = split_reply(tokenizer.decode(bodies[i], skip_special_tokens=True))
        # A scene line announces an image, so a reply that has one gets it even if the turn was ended too early.
        has_image = request.picture == "always" or (request.picture == "auto" and (begins_image[i] or bool(scene)))
        image_prompt = [*rendered[i].ids, *bodies[i], spec.boi_id] if has_image else None
        texts.append(GeneratedText(text, scene, image_prompt, input_images[i]))
    return texts


@dataclass(frozen=True)
class _TextBatch:
    # What both passes of `generate_texts` sample with; each entry belongs to the request at its place.
    model: UnifiedModel
    sampling: Sampling
    input_images: Sequence[Sequence[Path]]
    generator: Generators
    loras: LoraBatch | None

    def sample(
        self, rows: Sequence[int], prompts: list[list[int]], max_new_tokens: int, on_ids: OnIds
    ) -> list[tuple[list[int], int | None]]:
        """For each prompt, which goes on the request of that row: the ids before the stop id, and the stop id."""
        spec = self.model.spec
        stop_ids = (spec.eot_id, spec.boi_id)
        samples = self.model.sample_text(
            prompts,
            replace(self.sampling, max_new_tokens=max_new_tokens),
            stop_ids=stop_ids,
            pixel_values=_pixel_values(self.model, [self.input_images[i] for i in rows]),
            generator=_generators_of(self.generator, rows),
            loras=_loras_of(self.loras, rows),
            on_ids=on_ids,
        )
        return [_split_stop(ids, stop_ids) for ids in samples.ids]


def _files(request: GenerationRequest, names: Sequence[str]) -> tuple[Path, ...]:
    missing = [name for name in names if name not in request.shown]
    if missing:
        raise ValueError(f"the conversation shows {', '.join(missing)}, but not where that is: put it into `shown`")
    return tuple(request.shown[name] for name in names)


def _generators_of(generator: Generators, rows: Sequence[int]) -> Generators:
    return generator if generator is None or isinstance(generator, torch.Generator) else [generator[i] for i in rows]


def _loras_of(loras: LoraBatch | None, rows: Sequence[int]) -> LoraBatch | None:
    return None if loras is None else loras.select(rows)


def _pixel_values(model: UnifiedModel, input_images: Sequence[Sequence[Path]]) -> torch.Tensor | None:
    """(I, 3, px, px) in [-1, 1]: the input images of all prompts in reading order; None without any."""
    opened = [open_image(path, model.spec.image_px) for paths in input_images for path in paths]
    return torch.stack(opened).to(model.device) if opened else None


def _split_stop(ids: list[int], stop_ids: tuple[int, ...]) -> tuple[list[int], int | None]:
    """The ids before the stop id, and which one it was; None when sampling ran out of tokens."""
    return (ids[:-1], ids[-1]) if ids and ids[-1] in stop_ids else (ids, None)


def caption_prompt(
    model: UnifiedModel, tokenizer: PreTrainedTokenizerBase, character: Character, description: str
) -> list[int]:
    """The prompt of an image with this description, worded as in training; ends in `boi_id`."""
    spec = model.spec
    request = prompt(character, (user(f"Draw yourself: {description}."),), spec, tokenizer).ids
    return [*request, *reply_ids("", scene_text(character.name, description), spec, tokenizer), spec.boi_id]


def generate_images(
    model: UnifiedModel,
    prompts: list[list[int]],
    sampling: Sampling,
    *,
    num_return_sequences: int = 1,
    pixel_values: torch.Tensor | None = None,
    generator: Generators = None,
    loras: LoraBatch | None = None,
    on_step: Callable[[], None] | None = None,
) -> torch.Tensor:
    """(N, 3, px, px) in [-1, 1]: G images after each prompt, prompt-major; `on_step` is called after every code."""
    samples = model.sample_images(
        prompts,
        sampling,
        num_return_sequences=num_return_sequences,
        pixel_values=pixel_values,
        generator=generator,
        loras=loras,
        on_ids=None if on_step is None else lambda new_ids: on_step(),
    )
    with torch.inference_mode():
        return model.decode_images(samples.codes)


def generate_replies(
    model: UnifiedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[GenerationRequest],
    *,
    sampling: Sampling | None = None,
    loras: LoraBatch | None = None,
    on_part: Callable[[ReplyPart], None] = lambda part: None,
    on_step: Callable[[], None] = lambda: None,
) -> list[Reply]:
    """Answer all requests in one batch, each with its own seed and adapter (without `loras`, the model as it stands).

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
        images = generate_images(
            model,
            [item.image_prompt for item in texts if item.image_prompt is not None],
            sampling,
            pixel_values=_pixel_values(model, [texts[side].input_images for side in with_image]),
            generator=_generators_of(generators, with_image),
            loras=_loras_of(loras, with_image),
            on_step=on_step,
        )
        for side, pixels in zip(with_image, images, strict=True):
            finish(side, to_image(pixels))
    return [replies[side] for side in range(len(requests))]


def to_image(pixels: torch.Tensor) -> Image.Image:
    """(3, px, px) in [-1, 1] to a PIL image."""
    values = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu()  # (px, px, 3)
    return Image.frombytes("RGB", (values.shape[1], values.shape[0]), values.contiguous().numpy().tobytes())


def contact_sheet(images: Sequence[Image.Image], labels: Sequence[str], columns: int = 5) -> Image.Image:
    """All images on one page with a label below each, cut to the image's width."""
    width, height, line = images[0].width, images[0].height, 14
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + 8) + 8, rows * (height + line + 8) + 8), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        left, top = 8 + i % columns * (width + 8), 8 + i // columns * (height + line + 8)
        sheet.paste(image, (left, top))
        while label and pen.textlength(label) > width:
            label = label[:-1]
        pen.text((left, top + height + 1), label, fill="black")
    return sheet
