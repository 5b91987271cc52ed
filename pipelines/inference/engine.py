"""Who speaks: checkpoints of runs as adapters on one base model, one alone or several side by side in one batch.

    speakers = Speakers("starter")                        # the base model, loaded once
    speakers.prepare("nella", folder)                     # its adapter is read in the background
    for part in speakers.replies([Ask(character, history, "nella"), Ask(character, history, "base")]):
        ...                                               # TextPiece, Scene and Answer of both sides, as they are made

Replies of one `InferenceEngine` are made one batch at a time by a thread of its own; who asks while it is busy waits.
`find_checkpoint` and `load_engine` go from `RUN:CHECKPOINT` to speakers.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.core.character.character import Character, Interaction
from pipelines.core.character.character_folder import read_character
from pipelines.core.character.system_prompt import system_message
from pipelines.core.run_folder import BASE, CHARACTER_FOLDER, RunError, adapters, checkpoint_folder, read_json
from pipelines.data.chat_template import render
from pipelines.inference.adapter_cache import AdapterCache
from pipelines.inference.generate import GenerationRequest, ImageMode, generate_replies
from pipelines.inference.streaming import Reply, ReplyDone, ReplyPart
from pipelines.models.decoding.multi_lora import Adapter, LoraBatch, apply_loras, read_adapter
from pipelines.models.decoding.prefix_cache import PrefixCache
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.device_memory import reply_bits
from pipelines.models.presets import load

KEPT_ADAPTERS = 8
"""Adapters kept in memory; one of the starter takes 22 MB, one of janus-pro-7b 150 MB."""


class GenerationAbandoned(Exception):
    """Nobody listens to a reply any more."""


class InferenceEngine:
    """One base model and the adapters that were used lately. All methods may be called from any thread."""

    def __init__(self, preset: str, keep: int = KEPT_ADAPTERS) -> None:
        """Load the base model; `keep` adapters stay in memory, those used longest ago are read again when needed."""
        self.model, self.tokenizer = load(preset, reply_bits(preset))
        self.model.eval()
        self._shelf = AdapterCache(partial(read_adapter, model=self.model), keep)
        self._base = Adapter(BASE, {})
        self._memory = PrefixCache()
        self._speaking = threading.Lock()
        self._mouth = ThreadPoolExecutor(1, thread_name_prefix="speakers")

    def prepare(self, name: str, folder: Path) -> Future[Adapter]:
        """Begin to read an adapter under a name; a running reply goes on. One of the same name is replaced.

        The future is done when the adapter is there, and raises AdapterError when the folder holds none for this base
        model. Nobody needs to wait for it: a reply does. ValueError for "base", which is the model without adapter.
        """
        if name == BASE:
            raise ValueError(f"{BASE!r} is the model before training; give the adapter another name")
        return self._shelf.add(name, folder)

    def add(self, name: str, folder: Path) -> None:
        """`prepare`, and wait until the adapter is there."""
        self.prepare(name, folder).result()

    def drop(self, name: str) -> None:
        """Forget an adapter; its memory is given back when nobody speaks with it. KeyError for an unknown name."""
        self._shelf.drop(name)

    def names(self) -> list[str]:
        """Names that can speak, the base's own among them."""
        return [BASE, *self._shelf.names()]

    def loaded(self) -> list[str]:
        """Names whose adapters are in memory, the one used longest ago first."""
        return self._shelf.loaded()

    def _take(self, name: str) -> Adapter:
        return self._base if name == BASE else self._shelf.take(name)

    @contextlib.contextmanager
    def using(self, name: str) -> Iterator[Any]:
        """The model with that adapter for all it is asked inside, or as it was before training for "base".

        No reply can be made meanwhile. KeyError for an unknown name.
        """
        adapter = self._take(name)
        with self._speaking, apply_loras(self.model, LoraBatch([adapter]) if adapter.weights else None):
            yield self.model

    def warm(self, name: str, character: Character) -> None:
        """Read the adapter and the persona now, so that a conversation's first reply comes as fast as later ones."""
        system = system_message(character)
        ids = render((system,), self.model.spec, self.tokenizer).ids
        loras = LoraBatch([self._take(name)], self._memory)
        with self._speaking:
            self.model.sample_text([ids], Sampling(max_new_tokens=1), loras=loras)

    def replies(self, asks: Sequence[GenerationRequest], *, sampling: Sampling | None = None) -> Iterator[ReplyPart]:
        """Answer all asks in one batch; gives each side's text pieces, scene and answer as they are made.

        `side` of a part is the place in `asks`. The work goes on in a thread of its own while a part is handled.
        Closing the iterator ends it within one step of sampling. Raises KeyError for an unknown name, AdapterError,
        and what the model raises.
        """
        loras = LoraBatch([self._take(ask.name) for ask in asks], self._memory)
        parts: queue.SimpleQueue[ReplyPart | None] = queue.SimpleQueue()
        left = threading.Event()

        def on_step() -> None:
            if left.is_set():
                raise GenerationAbandoned

        def work() -> None:
            on_step()
            with self._speaking:
                generate_replies(
                    self.model,
                    self.tokenizer,
                    asks,
                    sampling=sampling,
                    loras=loras,
                    on_part=parts.put,
                    on_step=on_step,
                )

        done = self._mouth.submit(work)
        done.add_done_callback(lambda _: parts.put(None))
        try:
            while (part := parts.get()) is not None:
                yield part
            done.result()
        finally:
            left.set()

    def reply(
        self,
        name: str,
        character: Character,
        history: Interaction,
        *,
        picture: ImageMode = "auto",
        seed: int = 0,
        sampling: Sampling | None = None,
    ) -> Reply:
        """Answer one turn with the adapter `name`, and wait for it."""
        ask = GenerationRequest(character, history, name, seed, picture)
        [whole] = [part.reply for part in self.replies([ask], sampling=sampling) if isinstance(part, ReplyDone)]
        return whole


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


def find_checkpoint(text: str) -> CheckpointRef:
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
    return CheckpointRef(run_dir, name)


def load_engine(places: Sequence[CheckpointRef]) -> list[tuple[InferenceEngine, str]]:
    """For each place its speakers and the adapter's name in them; each base model is loaded once."""
    loaded: dict[str, InferenceEngine] = {}
    found = []
    for number, place in enumerate(places):
        preset = place.preset
        if preset not in loaded:
            loaded[preset] = InferenceEngine(preset)
        name = BASE
        if place.adapter is not None:
            name = f"{place.name}-{number}"  # two runs may have checkpoints of the same name
            loaded[preset].add(name, place.adapter)
        found.append((loaded[preset], name))
    return found
