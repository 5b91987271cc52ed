"""Replies and pictures from checkpoints: the chat, and the sample sheet of every checkpoint.

`load_speakers` puts the adapters of several checkpoints on one base model; `Speakers.reply` answers one turn.
A reply is sampled as training writes it: words, then perhaps `[scene] ...`, then perhaps a picture. Where a picture is
wanted and the model did not begin one, the scene mark is written for it and it goes on from there.

Letters of shapes: P prompts, G samples of a prompt, N = P * G pictures.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image, ImageDraw

from pipelines.core.characters import Character, Interaction
from pipelines.core.folder import read_character
from pipelines.core.jobs import Recipe
from pipelines.core.runs import BASE, CHARACTER_FOLDER, RunError, adapters, checkpoint_folder, read_json
from pipelines.models import load
from pipelines.render import SCENE_MARK, prompt, scene_text, split_reply, user

PictureWish = Literal["auto", "always", "never"]
REPETITION_PENALTY = 1.1
"""For people who chat; practice and scores sample without."""
SCENE_TOKENS = 32
"""Room for a scene that had to be begun for the model."""


@dataclass(frozen=True)
class Reply:
    """One answer of a character."""

    text: str
    scene: str = ""
    """What its picture shows, in words; begins with the character's name."""
    picture: Image.Image | None = None
    first_text_s: float = 0.0
    """Seconds until the words were there to be read."""
    seconds: float = 0.0
    """Seconds until the picture was there as well."""


@dataclass(frozen=True)
class Sampling:
    """How replies are sampled."""

    temperature: float = 0.8
    top_p: float = 0.95
    repetition_penalty: float = 1.0
    reply_tokens: int = 96
    guidance: float = 2.0

    @classmethod
    def of(cls, recipe: Recipe, repetition_penalty: float = 1.0) -> Sampling:
        """As the recipe says for people."""
        return cls(recipe.temperature, recipe.top_p, repetition_penalty, recipe.reply_tokens, recipe.picture_guidance)


@dataclass(frozen=True)
class Written:
    """A sampled reply's words, and the prompt of its picture when there will be one."""

    text: str
    scene: str
    picture_prompt: list[int] | None


def write_replies(
    model: Any,
    tokenizer: Any,
    character: Character,
    histories: Sequence[Interaction],
    sampling: Sampling,
    *,
    picture: PictureWish = "auto",
    generator: torch.Generator | None = None,
) -> list[Written]:
    """The words of one reply to each history (each ends with the user), sampled in one batch."""
    shape = model.shape
    stops = (shape.end_id, shape.boi_id)
    options: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "repetition_penalty": sampling.repetition_penalty,
        "stop_ids": stops,
        "generator": generator,
    }
    prompts = [prompt(character, history, shape, tokenizer).ids for history in histories]
    sampled = model.sample_text(prompts, max_new_tokens=sampling.reply_tokens, **options).ids
    said = [_until(ids, stops) for ids in sampled]
    drawn = [stop == shape.boi_id for _, stop in said]
    bodies = [ids for ids, _ in said]
    parts = [split_reply(tokenizer.decode(body, skip_special_tokens=True)) for body in bodies]
    late = [i for i, (_, scene) in enumerate(parts) if picture == "always" and not drawn[i] and not scene]
    for i in late:  # the scene is begun for those that did not begin one; their own words stay as they are
        opening = "\n".join(item for item in (parts[i][0], f"{SCENE_MARK}{character.name},") if item)
        bodies[i] = tokenizer(opening, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    if late:
        more = model.sample_text([prompts[i] + bodies[i] for i in late], max_new_tokens=SCENE_TOKENS, **options).ids
        for i, ids in zip(late, more, strict=True):
            bodies[i] = bodies[i] + _until(ids, stops)[0]
    written = []
    for start, body, begun in zip(prompts, bodies, drawn, strict=True):
        words, scene = split_reply(tokenizer.decode(body, skip_special_tokens=True))
        wanted = picture == "always" or (picture == "auto" and begun)
        written.append(Written(words, scene, [*start, *body, shape.boi_id] if wanted else None))
    return written


def _until(ids: list[int], stops: tuple[int, ...]) -> tuple[list[int], int | None]:
    """The ids before the stop, and which stop it was; None when sampling ran out of room."""
    return (ids[:-1], ids[-1]) if ids and ids[-1] in stops else (ids, None)


def caption_prompt(model: Any, tokenizer: Any, character: Character, description: str) -> list[int]:
    """The prompt that ends where the picture of this description begins, worded as training words it."""
    shape = model.shape
    asked = prompt(character, (user(f"Draw yourself: {description}."),), shape, tokenizer).ids
    scene = tokenizer(SCENE_MARK + scene_text(character.name, description), add_special_tokens=False)["input_ids"]
    return [*asked, *scene, shape.boi_id]


def draw(
    model: Any,
    prompts: list[list[int]],
    sampling: Sampling,
    *,
    group: int = 1,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """(N, 3, px, px) in [-1, 1]: `group` pictures after each prompt, prompt-major."""
    samples = model.sample_pictures(prompts, group=group, guidance=sampling.guidance, generator=generator)
    with torch.inference_mode():
        return model.decode_pictures(samples.codes)


@dataclass(frozen=True)
class Place:
    """A checkpoint of a run; `name` may be the base, which has no adapter."""

    run_dir: Path
    name: str

    @property
    def adapter(self) -> Path | None:
        """The adapter's folder; None for the base."""
        return None if self.name == BASE else checkpoint_folder(self.run_dir, self.name)


def find_checkpoint(text: str) -> Place:
    """`RUN` or `RUN:CHECKPOINT` to a place; without a name the best, or the newest while a run is going on.

    Raises RunError naming what there is.
    """
    run, _, name = text.rpartition(":")
    run_dir = Path(run or text).expanduser()
    if not run or (not run_dir.is_dir() and Path(text).is_dir()):  # a colon inside the folder's own name
        run_dir, name = Path(text).expanduser(), ""
    if not (run_dir / "run.json").is_file():
        raise RunError(f"{run_dir} is not a run folder: it has no run.json. Make one with `understudy train`")
    there = adapters(run_dir)
    if not name:
        name = read_json(run_dir / "result.json")["best"] if (run_dir / "result.json").is_file() else ""
        name = name or (there[-1] if there else "")
    if name != BASE and name not in there:
        listed = ", ".join([BASE, *there])
        raise RunError(
            f"{run_dir} has no checkpoint {name!r}; it has {listed}"
            if name
            else f"{run_dir} has no checkpoint yet; go on training with --resume, or name {run_dir}:{BASE}"
        )
    return Place(run_dir, name)


class Speakers:
    """One base model with the adapters of several checkpoints; one at a time is switched on."""

    def __init__(self, preset: str) -> None:
        self.model, self.tokenizer = load(preset)
        self.model.eval()
        self._peft: Any = None
        self._names: set[str] = set()
        self._characters: dict[Path, tuple[Character, Recipe]] = {}

    def add(self, name: str, adapter: Path) -> None:
        """Load one more adapter under a name without dots; one of the same name is replaced."""
        from peft import PeftModel

        if name in self._names:
            self.drop(name)
        if self._peft is None:
            self._peft = PeftModel.from_pretrained(self.model, str(adapter), adapter_name=name)
        else:
            self._peft.load_adapter(str(adapter), adapter_name=name)
        self._names.add(name)
        self._peft.eval()

    def drop(self, name: str) -> None:
        """Forget an adapter; its memory is given back."""
        self._names.remove(name)
        if self._names:
            self._peft.delete_adapter(name)
        else:  # the last one: the base model comes out of its wrapping
            self.model = self._peft.unload()
            self._peft = None

    @contextlib.contextmanager
    def using(self, name: str) -> Iterator[Any]:
        """The model with that adapter switched on, or as it was before training for "base"."""
        if name not in self._names and name != BASE:
            raise KeyError(f"no adapter {name!r} is loaded, only {sorted(self._names)}")
        if self._peft is None:
            yield self.model
        elif name == BASE:
            with self._peft.disable_adapter():
                yield self.model
        else:
            self._peft.set_adapter(name)
            yield self.model

    def character_of(self, run_dir: Path) -> Character:
        """The character as that run learnt it."""
        return self._run(run_dir)[0]

    def _run(self, run_dir: Path) -> tuple[Character, Recipe]:
        if run_dir not in self._characters:
            recipe = Recipe.from_json(read_json(run_dir / "run.json")["recipe"])
            self._characters[run_dir] = (read_character(run_dir / CHARACTER_FOLDER), recipe)
        return self._characters[run_dir]

    def reply(
        self,
        name: str,
        character: Character,
        history: Interaction,
        *,
        picture: PictureWish = "auto",
        seed: int = 0,
        sampling: Sampling | None = None,
        on_text: Callable[[str], None] = lambda text: None,
    ) -> Reply:
        """Answer one turn with the adapter `name`; `on_text` is called as soon as the words are there."""
        with self.using(name) as model:
            return reply(
                model,
                self.tokenizer,
                character,
                history,
                picture=picture,
                seed=seed,
                sampling=sampling,
                on_text=on_text,
            )


def reply(
    model: Any,
    tokenizer: Any,
    character: Character,
    history: Interaction,
    *,
    picture: PictureWish = "auto",
    seed: int = 0,
    sampling: Sampling | None = None,
    on_text: Callable[[str], None] = lambda text: None,
) -> Reply:
    """Answer the last turn of `history`; equal seeds give equal replies."""
    sampling = sampling or Sampling(repetition_penalty=REPETITION_PENALTY)
    generator = torch.Generator(device=model.device).manual_seed(seed)
    began = time.monotonic()
    [written] = write_replies(model, tokenizer, character, [history], sampling, picture=picture, generator=generator)
    first_text_s = time.monotonic() - began
    on_text(written.text)
    image = None
    if written.picture_prompt is not None:
        image = to_image(draw(model, [written.picture_prompt], sampling, generator=generator)[0])
    return Reply(written.text, written.scene, image, first_text_s, time.monotonic() - began)


def load_speakers(places: Sequence[Place]) -> list[tuple[Speakers, str]]:
    """For each place its speakers and the adapter's name in them; each base model is loaded once."""
    loaded: dict[str, Speakers] = {}
    found = []
    for number, place in enumerate(places):
        preset = read_json(place.run_dir / "run.json")["recipe"]["base"]
        speakers = loaded.get(preset) or Speakers(preset)
        loaded[preset] = speakers
        name = BASE
        if place.adapter is not None:
            name = f"{place.name}-{number}"  # two runs may have checkpoints of the same name
            speakers.add(name, place.adapter)
        found.append((speakers, name))
    return found


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
