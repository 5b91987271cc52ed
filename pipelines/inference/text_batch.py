"""One batch of prompts from which the words, and then the looks, of replies are sampled.

Dimension letters: I input images of all prompts together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pipelines.data.packing import open_image
from pipelines.models.decoding.multi_lora import LoraBatch
from pipelines.models.decoding.sampling import Generators, LogitsProcessor, OnIds, Sampling
from pipelines.models.interface import UnifiedModel


@dataclass(frozen=True)
class TextBatch:
    """What both passes of `generate_texts` sample with; each entry belongs to the request at its place."""

    model: UnifiedModel
    sampling: Sampling
    input_images: Sequence[Sequence[Path]]
    generator: Generators
    loras: LoraBatch | None

    def sample(
        self,
        rows: Sequence[int],
        prompts: list[list[int]],
        sampling: Sampling,
        on_ids: OnIds,
        logits_processor: LogitsProcessor,
    ) -> list[tuple[list[int], int | None]]:
        """For each prompt, which goes on the request of that row: the ids before the stop id, and the stop id."""
        spec = self.model.spec
        stop_ids = (spec.eot_id, spec.boi_id)
        samples = self.model.sample_text(
            prompts,
            sampling,
            stop_ids=stop_ids,
            pixel_values=_pixel_values(self.model, [self.input_images[i] for i in rows]),
            generator=generators_of(self.generator, rows),
            loras=loras_of(self.loras, rows),
            on_ids=on_ids,
            logits_processor=logits_processor,
        )
        return [_split_stop(ids, stop_ids) for ids in samples.ids]


def generators_of(generator: Generators, rows: Sequence[int]) -> Generators:
    """Those of the requests in `rows`."""
    return generator if generator is None or isinstance(generator, torch.Generator) else [generator[i] for i in rows]


def loras_of(loras: LoraBatch | None, rows: Sequence[int]) -> LoraBatch | None:
    """Those of the requests in `rows`."""
    return None if loras is None else loras.select(rows)


def _pixel_values(model: UnifiedModel, input_images: Sequence[Sequence[Path]]) -> torch.Tensor | None:
    """(I, 3, px, px) in [-1, 1]: the input images of all prompts in reading order; None without any."""
    opened = [open_image(path, model.spec.image_px) for paths in input_images for path in paths]
    return torch.stack(opened).to(model.device) if opened else None


def _split_stop(ids: list[int], stop_ids: tuple[int, ...]) -> tuple[list[int], int | None]:
    """The ids before the stop id, and which one it was; None when sampling ran out of tokens."""
    return (ids[:-1], ids[-1]) if ids and ids[-1] in stop_ids else (ids, None)
