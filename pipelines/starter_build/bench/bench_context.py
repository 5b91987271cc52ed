"""What the parts of the benchmark share: where they write, how much they measure, and the models, loaded when needed.

Drawing goes through the same functions as chat and `understudy draw`: `caption_prompt`, references as codes, and
chat's sampling settings. Dimension letters: N images, R references of one, C codes of an image.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image

from pipelines.core.character.character import Character
from pipelines.data.references import code_batch
from pipelines.evaluation.attribute_classifier import AttributeClassifier
from pipelines.evaluation.graders import CLASSIFIER, IDENTITY, grader_revision, load_classifier, load_identity_encoder
from pipelines.evaluation.identity_encoder import IdentityEncoder
from pipelines.inference.engine import InferenceEngine
from pipelines.inference.generate import CHAT_SAMPLING
from pipelines.inference.generate_images import caption_prompt, generate_images, to_image
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.presets import identity_of
from pipelines.models.starter.loading import WEIGHTS
from pipelines.rewards.judge import Judge, load_judge
from pipelines.starter_build.bench.case_log import CaseLog
from pipelines.starter_build.bench.counts import Counts
from pipelines.starter_build.drawings.attributes import WIDE, Domain

BATCH = 8
"""Drawings of one batch."""
CRITIC = "critic"
"""Its folder beside the starter's weights, as those of the graders."""
Item = TypeVar("Item")


@dataclass(frozen=True)
class DrawingRequest:
    """One drawing that is wanted."""

    character: Character
    look: str
    seed: int
    references: tuple[tuple[int, ...], ...] = ()
    """Codes of pictures that are looked at."""


@dataclass
class BenchContext:
    """One call of the benchmark."""

    out: Path
    counts: Counts
    base: str = "starter"
    domain: Domain = WIDE
    weights: Path = WEIGHTS
    """Folder of critic, classifier and identity encoder."""
    say: Callable[[str], None] = field(default=print)

    @cached_property
    def engine(self) -> InferenceEngine:
        """The base model, and adapters on it."""
        return InferenceEngine(self.base)

    @cached_property
    def critic(self) -> Judge:
        """The judge that also gives rewards."""
        return load_judge(self.base)

    @cached_property
    def classifier(self) -> AttributeClassifier:
        """Reads attributes; took no part in any training. Raises WeightsMissing."""
        return load_classifier(self.base, self.weights / CLASSIFIER)

    @cached_property
    def identity_encoder(self) -> IdentityEncoder:
        """Says whose picture it is; took no part in any training. Raises WeightsMissing."""
        return load_identity_encoder(self.base, self.weights / IDENTITY)

    @property
    def px(self) -> int:
        """Side of a drawing."""
        return self.engine.model.spec.image_px

    def log(self, part: str, graders: Sequence[str], settings: Mapping[str, Any]) -> CaseLog:
        """The finished cases of a part. graders: folders of the weights that read them."""
        key = {
            "revision": asdict(identity_of(self.base)),
            "graders": {name: grader_revision(self.weights / name) for name in graders},
            "settings": dict(settings),
        }
        return CaseLog(self.out / f"{part}.jsonl", key, self.say)

    def release(self) -> None:
        """Drop the models, before something else needs the memory."""
        for name in ("engine", "critic", CLASSIFIER, "identity_encoder"):
            self.__dict__.pop(name, None)
        gc.collect()

    def draw(self, requests: Sequence[DrawingRequest], sampling: Sampling = CHAT_SAMPLING) -> torch.Tensor:
        """(N, 3, px, px) in [-1, 1] on the CPU: one drawing for each request by the base model, in one batch."""
        model, tokenizer = self.engine.model, self.engine.tokenizer
        prompts = [caption_prompt(model, tokenizer, one.character, one.look) for one in requests]
        codes = code_batch([one.references for one in requests])
        generators = [torch.Generator(model.device).manual_seed(one.seed) for one in requests]
        pixels = generate_images(
            model,
            prompts,
            sampling,
            reference_codes=None if codes is None else codes.to(model.device),
            generator=generators,
        )
        return pixels.float().cpu()

    @torch.inference_mode()
    def codes(self, pixels: torch.Tensor) -> tuple[tuple[int, ...], ...]:
        """The codes of pictures (R, 3, px, px), as `DrawingRequest.references`."""
        model = self.engine.model
        return tuple(tuple(row) for row in model.encode_images(pixels.to(model.device)).tolist())

    def todo(
        self, log: CaseLog, cases: Sequence[Item], name_of: Callable[[Item], str], size: int
    ) -> Iterator[Sequence[Item]]:
        """The cases without a record in batches of `size`; says after each of them how far the part is."""
        waiting = [case for case in cases if name_of(case) not in log]
        done = len(cases) - len(waiting)
        if done and waiting:
            self.say(f"{log.file.stem}: {done} of {len(cases)} are there already")
        for start in range(0, len(waiting), size):
            batch = waiting[start : start + size]
            yield batch
            done += len(batch)
            self.say(f"{log.file.stem}: {done} of {len(cases)}")

    def keep(self, part: str, name: str, pixels: torch.Tensor) -> Image.Image:
        """Save one drawing (3, px, px), so that the sheet of an interrupted part is whole; returns it."""
        image = to_image(pixels)
        self.keep_image(part, name, image)
        return image

    def keep_image(self, part: str, name: str, image: Image.Image) -> None:
        """The same for an image."""
        path = self.picture(part, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)

    def picture(self, part: str, name: str) -> Path:
        """Where a drawing is kept."""
        return self.out / "pictures" / part / f"{name}.png"


def sampling_settings(sampling: Sampling = CHAT_SAMPLING) -> dict[str, float]:
    """What of the sampling decides a drawing."""
    return {"image_temperature": sampling.image_temperature, "guidance_scale": sampling.guidance_scale}
