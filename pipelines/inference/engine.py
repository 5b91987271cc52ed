"""Generation with checkpoints of runs, as adapters on one base model; one alone or several in one batch.

    engine = InferenceEngine("starter")                   # loads the base model
    engine.prepare("nella", folder)                       # reads an adapter in the background
    for part in engine.replies([GenerationRequest(character, history, "nella"), GenerationRequest(character, history)]):
        ...                                               # TextPiece, SceneReady, ReplyDone of both, as they are made

One `InferenceEngine` generates one batch at a time, in a thread of its own; requests that come meanwhile wait.
`find_checkpoint` and `load_engine` lead from `RUN:CHECKPOINT` to an engine.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from transformers import PreTrainedTokenizerBase

from pipelines.core.character.character import Character, Interaction
from pipelines.core.character.character_folder import image_path, read_character
from pipelines.core.character.references import ranked_references
from pipelines.core.character.system_prompt import system_message
from pipelines.core.command_line import as_typed
from pipelines.core.run_folder import BASE, CHARACTER_FOLDER, RunError, adapters, checkpoint_folder, read_json
from pipelines.data.chat_template import look_ids, look_of, render
from pipelines.data.packing import open_image
from pipelines.data.references import code_batch
from pipelines.inference.adapter_cache import AdapterCache
from pipelines.inference.best_of import BEST_OF, BestOf, generate_best_images
from pipelines.inference.captioning import ImageReader, ImageReading
from pipelines.inference.generate import CHAT_SAMPLING, GenerationRequest, ImageMode, as_asked, generate_replies
from pipelines.inference.generate_images import caption_prompt, to_image
from pipelines.inference.streaming import Reply, ReplyDone, ReplyPart
from pipelines.models.decoding.multi_lora import Adapter, LoraBatch, apply_loras, read_adapter
from pipelines.models.decoding.prefix_cache import PrefixCache
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.device_memory import reply_bits
from pipelines.models.interface import UnifiedModel
from pipelines.models.presets import load
from pipelines.rewards.judge import Judge, load_judge

KEPT_ADAPTERS = 8
"""Adapters kept in memory; one of the starter takes 22 MB, one of janus-pro-7b 150 MB."""
SCALED_ADAPTERS = 4
"""Adapters at another strength that are kept as well; they share half of their weights with the others."""

DRAWN_LOOK_TOKENS = 40
"""Most ids of a look that a person asks for; more would push the appearance out of what the image expert reads."""
ENCODED_IMAGES = 64
"""Reference images whose codes are kept."""


class GenerationAbandoned(Exception):
    """Raised inside generation when the consumer of `InferenceEngine.replies` has closed the iterator."""


class InferenceEngine:
    """One base model and its recently used adapters. All methods may be called from any thread."""

    def __init__(self, preset: str, keep: int = KEPT_ADAPTERS) -> None:
        """Load the base model; `keep` adapters stay in memory, least recently used leave first and are read again."""
        self.model: UnifiedModel
        self.tokenizer: PreTrainedTokenizerBase
        self.model, self.tokenizer = load(preset, reply_bits(preset))
        self.model.eval()
        self._preset = preset
        self._adapters = AdapterCache(partial(read_adapter, model=self.model), keep)
        self._base = Adapter(BASE, {})
        # Kept, since keys and values of a prompt are found again by the adapter that made them.
        self._scaled = functools.lru_cache(SCALED_ADAPTERS)(Adapter.scaled)
        self._prefix_cache = PrefixCache()
        self._model_lock = threading.Lock()
        self._encode = functools.lru_cache(ENCODED_IMAGES)(self._encode_file)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="generation")

    def prepare(self, name: str, folder: Path) -> Future[Adapter]:
        """Start to read an adapter in the background, replacing one of the same name; running replies are unaffected.

        The future is done when the adapter is in memory, and raises AdapterError when the folder has none for this
        base model. There is no need to wait for it: `replies` does. ValueError for "base", the model without adapter.
        """
        if name == BASE:
            raise ValueError(f"{BASE!r} is the model before training; give the adapter another name")
        return self._adapters.add(name, folder)

    def add(self, name: str, folder: Path) -> None:
        """`prepare`, and wait until the adapter is in memory."""
        self.prepare(name, folder).result()

    def drop(self, name: str) -> None:
        """Forget an adapter; its memory is freed when no reply uses it any more. KeyError for an unknown name."""
        self._adapters.drop(name)

    def names(self) -> list[str]:
        """Names that a request may have, "base" among them."""
        return [BASE, *self._adapters.names()]

    def loaded(self) -> list[str]:
        """Names whose adapters are in memory, least recently used first."""
        return self._adapters.loaded()

    def _take(self, name: str, strength: float = 1.0) -> Adapter:
        adapter = self._base if name == BASE else self._adapters.take(name)
        return adapter if strength == 1.0 or not adapter.weights else self._scaled(adapter, strength)

    def _encode_file(self, path: Path, _: int) -> tuple[int, ...]:
        pixels = open_image(path, self.model.spec.image_px)[None].to(self.model.device)
        return tuple(self.model.encode_images(pixels)[0].tolist())

    @contextlib.contextmanager
    def using(self, name: str) -> Iterator[UnifiedModel]:
        """The model with that adapter applied inside the block, or as it is without one for "base".

        Locks the model: replies wait meanwhile. KeyError for an unknown name.
        """
        adapter = self._take(name)
        with self._model_lock, apply_loras(self.model, LoraBatch([adapter]) if adapter.weights else None):
            yield self.model

    def encode_references(self, files: Sequence[Path]) -> tuple[tuple[int, ...], ...]:
        """Codes of reference images, as many as the model reads; those of files read before come from memory."""
        return tuple(self._encode(path, path.stat().st_mtime_ns) for path in files[: self.model.spec.max_references])

    def warm(self, name: str, character: Character) -> None:
        """Load the adapter and prefill the system prompt, so that the first reply comes as fast as later ones."""
        ids = render((system_message(character),), self.model.spec, self.tokenizer).ids
        loras = LoraBatch([self._take(name)], self._prefix_cache)
        with self._model_lock:
            self.model.sample_text([ids], Sampling(max_new_tokens=1), loras=loras)

    def replies(
        self, requests: Sequence[GenerationRequest], *, sampling: Sampling | None = None, best_of: int = 1
    ) -> Iterator[ReplyPart]:
        """Answer all requests in one batch; yields text pieces, scene and finished reply of each as they are made.

        `side` of a part is the index of its request. Generation goes on in the engine's thread while the consumer
        handles a part. Closing the iterator ends it within one decoding step. best_of: how many drawings each image is
        chosen from. A direct request for a picture gets one, which shows what was asked for, also where the model would
        not announce it (`as_asked`). Raises KeyError for an unknown name, AdapterError, and what the model raises.
        """
        requests = [as_asked(request) for request in requests]
        adapters = [self._take(request.name, request.strength) for request in requests]
        loras = LoraBatch(adapters, self._prefix_cache)
        parts: queue.SimpleQueue[ReplyPart | None] = queue.SimpleQueue()  # None: nothing more will come
        closed = threading.Event()

        def on_step() -> None:
            # Called in the engine's thread: the only way to end generation from outside is to raise from here.
            if closed.is_set():
                raise GenerationAbandoned

        def work() -> None:
            on_step()  # closed while it waited for another batch
            with self._model_lock:
                generate_replies(
                    self.model,
                    self.tokenizer,
                    requests,
                    sampling=sampling,
                    loras=loras,
                    references=[
                        adapter.reference_codes or self.encode_references(request.references)
                        for adapter, request in zip(adapters, requests, strict=True)
                    ],
                    best_of=self._best_of(best_of),
                    on_part=parts.put,
                    on_step=on_step,
                )

        future = self._executor.submit(work)
        future.add_done_callback(lambda _: parts.put(None))
        try:
            while (part := parts.get()) is not None:
                yield part
            future.result()  # raises here what generation raised there
        finally:
            closed.set()

    def reply(
        self,
        name: str,
        character: Character,
        history: Interaction,
        *,
        picture: ImageMode = "auto",
        seed: int = 0,
        references: tuple[Path, ...] = (),
        sampling: Sampling | None = None,
        best_of: int = 1,
    ) -> Reply:
        """Answer one turn with the adapter `name`, and wait for it."""
        request = GenerationRequest(character, history, name, seed, picture, references=references)
        parts = self.replies([request], sampling=sampling, best_of=best_of)
        [reply] = [part.reply for part in parts if isinstance(part, ReplyDone)]
        return reply

    def draw(
        self,
        name: str,
        character: Character,
        looks: Sequence[str],
        *,
        references: Sequence[Path] = (),
        seed: int = 0,
        sampling: Sampling | None = None,
        best_of: int = 1,
        strength: float = 1.0,
        on_step: Callable[[], None] | None = None,
    ) -> list[Image.Image]:
        """One image of the character for each look ("laughing, in the snow"), all in one batch.

        references: the character's images, best first, for a model without adapter. Image n is drawn from seed + n.
        `on_step` is called after every code. Raises ValueError for a look that is too long, KeyError and AdapterError.
        """
        adapter = self._take(name, strength)
        wanted = [look_of(look, character.name) for look in looks]
        long = next((look for look in wanted if len(look_ids(look, self.tokenizer)) > DRAWN_LOOK_TOKENS), "")
        if long:
            words = DRAWN_LOOK_TOKENS * 3 // 4
            raise ValueError(f"this is too long for one picture, about {words} words can be read: {long}")
        codes = code_batch([adapter.reference_codes or self.encode_references(references)])
        with self._model_lock:
            pixels = generate_best_images(
                self.model,
                [caption_prompt(self.model, self.tokenizer, character, look) for look in wanted],
                wanted,
                sampling or CHAT_SAMPLING,
                self._best_of(best_of),
                reference_codes=None if codes is None else codes.expand(len(wanted), -1, -1),
                generator=[torch.Generator(self.model.device).manual_seed(seed + n) for n in range(len(wanted))],
                loras=LoraBatch([adapter] * len(wanted)) if adapter.weights else None,
                on_step=on_step,
            )
        return [to_image(one) for one in pixels]

    def rebuild(self, file: Path) -> Image.Image:
        """An image as the model's own tokenizer gives it back: the most that a drawing can show of it."""
        pixels = open_image(file, self.model.spec.image_px)[None].to(self.model.device)
        with self._model_lock, torch.inference_mode():
            return to_image(self.model.decode_images(self.model.encode_images(pixels))[0])

    def read_image(self, file: Path) -> ImageReading:
        """What the base model sees in an image: captions, and doubts whether it can be learned from.

        Raises OSError for a file that is no image.
        """
        with self._model_lock:
            return self._reader.read(file)

    @functools.cached_property
    def _reader(self) -> ImageReader:
        return ImageReader(self.model, self.tokenizer, self.judge, not self._preset.endswith("-toy"))

    @functools.cached_property
    def judge(self) -> Judge:
        """What chooses the best of several drawings; loaded when the first one is chosen."""
        return load_judge(self._preset)

    @property
    def default_best_of(self) -> int:
        """How many drawings an image is chosen from where nobody says: several where that costs under a second."""
        return BEST_OF if self.model.device.type == "cuda" else 1

    def _best_of(self, count: int) -> BestOf | None:
        return None if count == 1 else BestOf(self.judge, count)


@dataclass(frozen=True)
class CheckpointRef:
    """A checkpoint of a run; `name` may be the base, which has no adapter."""

    run_dir: Path
    name: str

    @property
    def adapter(self) -> Path | None:
        """The adapter's folder; None for the base."""
        return None if self.name == BASE else checkpoint_folder(self.run_dir, self.name)

    @property
    def preset(self) -> str:
        """The base model it was trained on."""
        return str(read_json(self.run_dir / "run.json")["recipe"]["base"])

    @property
    def character(self) -> Character:
        """The character as that run learnt it."""
        return read_character(self.run_dir / CHARACTER_FOLDER)

    @property
    def references(self) -> tuple[Path, ...]:
        """Files of the character's images, best reference first."""
        return reference_files(self.run_dir / CHARACTER_FOLDER, self.character)


def reference_files(character_folder: Path, character: Character) -> tuple[Path, ...]:
    """The files of a character's images in a character folder, best reference first."""
    return tuple(image_path(character_folder, name) for name in ranked_references(character))


def find_checkpoint(text: str) -> CheckpointRef:
    """`RUN` or `RUN:CHECKPOINT` to a reference; without a name the best, or the newest while a run is unfinished.

    Raises RunError naming what there is.
    """
    run, _, name = text.rpartition(":")
    run_dir = Path(run or text).expanduser()
    if not run or (not run_dir.is_dir() and Path(text).is_dir()):  # a colon inside the folder's own name
        run_dir, name = Path(text).expanduser(), ""
    if not (run_dir / "run.json").is_file():
        raise RunError(f"{run_dir} is not a run folder: it has no run.json. Make one with `{as_typed('train')}`")
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
    return CheckpointRef(run_dir, name)


def load_engine(references: Sequence[CheckpointRef]) -> list[tuple[InferenceEngine, str]]:
    """For each checkpoint an engine and the adapter's name in it; each base model is loaded once."""
    engines: dict[str, InferenceEngine] = {}
    found = []
    for number, reference in enumerate(references):
        preset = reference.preset
        if preset not in engines:
            engines[preset] = InferenceEngine(preset)
        name = BASE
        if reference.adapter is not None:
            name = f"{reference.name}-{number}"  # two runs may have checkpoints of the same name
            engines[preset].add(name, reference.adapter)
        found.append((engines[preset], name))
    return found
