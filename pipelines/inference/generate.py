"""Replies and pictures from a model as it stands: the chat, and the sample sheet of every checkpoint.

`generate_replies` answers any number of conversations in one batch, each with the adapter that `voices` gives it, and tells the
parts as they are made. A reply is sampled as training writes it: words, then perhaps `[scene] ...`, then perhaps a
picture. Where a picture is wanted and the model did not begin one, the scene mark is written for it and it goes on from
there. Which checkpoint speaks is the business of `pipelines/inference/engine.py`.

Letters of shapes: P prompts, G samples of a prompt, N = P * G pictures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image, ImageDraw

from pipelines.core.character.character import Character, Interaction
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import BASE
from pipelines.data.chat_template import prompt, reply_ids, scene_text, split_reply, user
from pipelines.data.packing import open_image
from pipelines.inference.streaming import Reply, ReplyDone, ReplyPart, SceneReady, TextPiece, VisibleText
from pipelines.models.decoding.multi_lora import LoraBatch
from pipelines.models.decoding.sampling import Generators, OnIds, Sampling

ImageMode = Literal["auto", "always", "never"]
REPETITION_PENALTY = 1.1
"""For people who chat; practice and scores sample without."""
SCENE_TOKENS = 32
"""Room for a scene that had to be begun for the model."""
CHAT_SAMPLING = Sampling(repetition_penalty=REPETITION_PENALTY, guidance_scale=2.0, image_temperature=0.45)
"""Where no recipe says otherwise: the defaults of `Recipe`."""
PROMPT_TOKENS = 2048
"""Most ids of persona and conversation that are read: what a training row holds. Earlier exchanges are left out."""


@dataclass(frozen=True)
class GenerationRequest:
    """One reply that is wanted."""

    character: Character
    history: Interaction
    """The conversation so far; ends with the user."""
    name: str = BASE
    """Whose adapter answers, as `Speakers` knows it."""
    seed: int = 0
    """Equal seeds give equal replies, whatever is answered beside them."""
    picture: ImageMode = "auto"
    shown: Mapping[str, Path] = field(default_factory=dict)
    """The user's pictures in `history`, by the name they have there; the model looks at them."""


def sampling_of(recipe: Recipe, repetition_penalty: float = 1.0) -> Sampling:
    """How the recipe has replies sampled for people."""
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
    """A sampled reply's words, and the prompt of its picture when there will be one."""

    text: str
    scene: str
    image_prompt: list[int] | None
    looked_at: tuple[Path, ...] = ()
    """The user's pictures in that prompt, in reading order."""


def generate_texts(
    model: Any,
    tokenizer: Any,
    asks: Sequence[GenerationRequest],
    sampling: Sampling,
    *,
    generator: Generators = None,
    loras: LoraBatch | None = None,
    on_text: Callable[[int, str], None] | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> list[GeneratedText]:
    """The words of one reply to each ask, sampled in one batch.

    `on_text` hears (which ask, more of its words), `on_step` is called after every step of sampling. Raises ValueError
    when a conversation shows a picture that is not among the ask's.
    """
    spec = model.spec
    stops = (spec.eot_id, spec.boi_id)
    rendered = [prompt(ask.character, ask.history, spec, tokenizer, PROMPT_TOKENS) for ask in asks]
    looked_at = [_files(ask, item.input_images) for ask, item in zip(asks, rendered, strict=True)]

    def sample(chosen: Sequence[int], begun: list[list[int]], room: int, on_ids: OnIds) -> list[list[int]]:
        return model.sample_text(
            begun,
            replace(sampling, max_new_tokens=room),
            stop_ids=stops,
            pixel_values=_pixels(model, [looked_at[i] for i in chosen]),
            generator=_dice(generator, chosen),
            loras=_pick(loras, chosen),
            on_ids=on_ids,
        ).ids

    seen = [VisibleText(tokenizer) for _ in asks]

    def hear(new: dict[int, int]) -> None:
        for side, token in new.items():
            if on_text is not None and (piece := seen[side].add(token)):
                on_text(side, piece)
        on_step()

    sampled = sample(range(len(asks)), [item.ids for item in rendered], sampling.max_new_tokens, hear)
    said = [_until(ids, stops) for ids in sampled]
    drawn = [stop == spec.boi_id for _, stop in said]
    bodies = [ids for ids, _ in said]
    parts = [split_reply(tokenizer.decode(body, skip_special_tokens=True)) for body in bodies]
    for side, (words, _) in enumerate(parts):
        if on_text is not None and (piece := seen[side].finish(words)):
            on_text(side, piece)
    late = [i for i, ask in enumerate(asks) if ask.picture == "always" and not drawn[i] and not parts[i][1]]
    for i in late:  # the scene is begun for those that did not begin one; their own words stay as they are
        bodies[i] = reply_ids(parts[i][0], f"{asks[i].character.name},", spec, tokenizer)
    if late:
        more = sample(late, [rendered[i].ids + bodies[i] for i in late], SCENE_TOKENS, lambda new: on_step())
        for i, ids in zip(late, more, strict=True):
            bodies[i] = bodies[i] + _until(ids, stops)[0]
    written = []
    for i, ask in enumerate(asks):
        words, scene = split_reply(tokenizer.decode(bodies[i], skip_special_tokens=True))
        # A scene line announces a picture, so whoever wrote one draws it, even where the reply was closed too early.
        wanted = ask.picture == "always" or (ask.picture == "auto" and (drawn[i] or bool(scene)))
        begun = [*rendered[i].ids, *bodies[i], spec.boi_id] if wanted else None
        written.append(GeneratedText(words, scene, begun, looked_at[i]))
    return written


def _files(ask: GenerationRequest, names: Sequence[str]) -> tuple[Path, ...]:
    missing = [name for name in names if name not in ask.shown]
    if missing:
        raise ValueError(f"the conversation shows {', '.join(missing)}, but not where that is: put it into `shown`")
    return tuple(ask.shown[name] for name in names)


def _dice(generator: Generators, asks: Sequence[int]) -> Generators:
    return generator if generator is None or isinstance(generator, torch.Generator) else [generator[i] for i in asks]


def _pixels(model: Any, looked_at: Sequence[Sequence[Path]]) -> torch.Tensor | None:
    """(pictures, 3, px, px) of all prompts in reading order."""
    paths = [path for of_prompt in looked_at for path in of_prompt]
    opened = [open_image(path, model.spec.image_px) for path in paths]
    return torch.stack(opened).to(model.device) if opened else None


def _pick(loras: LoraBatch | None, asks: Sequence[int]) -> LoraBatch | None:
    return None if loras is None else loras.select(asks)


def _until(ids: list[int], stops: tuple[int, ...]) -> tuple[list[int], int | None]:
    """The ids before the stop, and which stop it was; None when sampling ran out of room."""
    return (ids[:-1], ids[-1]) if ids and ids[-1] in stops else (ids, None)


def caption_prompt(model: Any, tokenizer: Any, character: Character, description: str) -> list[int]:
    """The prompt that ends where the picture of this description begins, worded as training words it."""
    spec = model.spec
    asked = prompt(character, (user(f"Draw yourself: {description}."),), spec, tokenizer).ids
    return [*asked, *reply_ids("", scene_text(character.name, description), spec, tokenizer), spec.boi_id]


def generate_images(
    model: Any,
    prompts: list[list[int]],
    sampling: Sampling,
    *,
    group: int = 1,
    pixel_values: torch.Tensor | None = None,
    generator: Generators = None,
    loras: LoraBatch | None = None,
    on_step: Callable[[], None] | None = None,
) -> torch.Tensor:
    """(N, 3, px, px) in [-1, 1]: `group` pictures after each prompt, prompt-major; `on_step` after every code."""
    samples = model.sample_images(
        prompts,
        sampling,
        num_return_sequences=group,
        pixel_values=pixel_values,
        generator=generator,
        loras=loras,
        on_ids=None if on_step is None else lambda new: on_step(),
    )
    with torch.inference_mode():
        return model.decode_images(samples.codes)


def generate_replies(
    model: Any,
    tokenizer: Any,
    asks: Sequence[GenerationRequest],
    *,
    sampling: Sampling | None = None,
    loras: LoraBatch | None = None,
    on_part: Callable[[ReplyPart], None] = lambda part: None,
    on_step: Callable[[], None] = lambda: None,
) -> list[Reply]:
    """Answer all asks in one batch, each with its seed and the adapter `voices` has for it (the model's own without).

    `on_part` hears text pieces, scene and answer of each side as they are made; `on_step` is called after every step of
    sampling. What they raise ends it and comes out of here.
    """
    sampling = sampling or CHAT_SAMPLING
    dice = [torch.Generator(device=model.device).manual_seed(ask.seed) for ask in asks]
    began = time.monotonic()
    first_text_s: dict[int, float] = {}

    def on_text(side: int, text: str) -> None:
        first_text_s.setdefault(side, time.monotonic() - began)
        on_part(TextPiece(side, text))

    written = generate_texts(
        model, tokenizer, asks, sampling, generator=dice, loras=loras, on_text=on_text, on_step=on_step
    )
    worded_s = time.monotonic() - began
    drawing = [side for side, item in enumerate(written) if item.image_prompt is not None]
    for side, item in enumerate(written):
        on_part(SceneReady(side, item.text, item.scene, side in drawing))
    replies = {}

    def done(side: int, picture: Image.Image | None) -> None:
        item, seconds = written[side], time.monotonic() - began
        replies[side] = Reply(item.text, item.scene, picture, first_text_s.get(side, worded_s), seconds)
        on_part(ReplyDone(side, replies[side]))

    for side in range(len(asks)):
        if side not in drawing:
            done(side, None)
    if drawing:
        prompts = [item.image_prompt for item in written if item.image_prompt is not None]
        looked = _pixels(model, [written[side].looked_at for side in drawing])
        pixels = generate_images(
            model,
            prompts,
            sampling,
            pixel_values=looked,
            generator=_dice(dice, drawing),
            loras=_pick(loras, drawing),
            on_step=on_step,
        )
        for side, picture in zip(drawing, pixels, strict=True):
            done(side, to_image(picture))
    return [replies[side] for side in range(len(asks))]


def to_image(pixels: torch.Tensor) -> Image.Image:
    """(3, px, px) in [-1, 1] to a picture."""
    values = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu()  # (px, px, 3)
    return Image.frombytes("RGB", (values.shape[1], values.shape[0]), values.contiguous().numpy().tobytes())


def contact_sheet(images: Sequence[Image.Image], labels: Sequence[str], columns: int = 5) -> Image.Image:
    """All pictures on one page with a line of words below each; the words are cut to the picture's width."""
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
