"""Prompts of ids read into contexts, each by its own adapter, and what an adapter has read before taken from memory.

A context holds keys and values of everything in a prompt, looked-at images included; texts and drawings go on from it.

Dimension letters: N images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipelines.models.bagel.contexts import EMPTY, Context, ReadingCache
from pipelines.models.bagel.id_rows import IdRows, RowImages
from pipelines.models.bagel.model import BagelModel
from pipelines.models.bagel.sampling import read_by_adapter
from pipelines.models.decoding.multi_lora import Adapter
from pipelines.models.decoding.prefill import shared_prefix_length
from pipelines.models.decoding.prefix_cache import PrefixCache
from pipelines.models.interface import ModelSpec

READ_POSITIONS = 4096
"""Positions of one row at most: its mask has their square, of which prompts use the blocks on the diagonal."""


@dataclass(frozen=True)
class IdReader:
    """Reads prompts of ids with a model."""

    model: BagelModel
    spec: ModelSpec
    adapters: Sequence[Adapter] | None = None
    """Of each prompt; None for the model as it stands."""
    prefix_cache: PrefixCache | None = None
    """Remembers what each adapter has read."""

    def read(self, prompts: Sequence[Sequence[int]], pixels: torch.Tensor | None) -> list[Context]:
        """A context of each prompt, which may be empty; pixels (N, 3, px, px): what they look at, in reading order.

        Pixels of images that stand behind a prompt's end stay unread.
        """
        places = self.spec.image_input_tokens
        looks = [sum(token == self.spec.image_placeholder_id for token in prompt) // places for prompt in prompts]
        parts = [None] * len(prompts) if pixels is None else list(pixels[: sum(looks)].split(looks))

        def read(numbers: Sequence[int]) -> list[Context]:
            filled = [number for number in numbers if prompts[number]]
            if self.adapters is not None and self.prefix_cache is not None:
                found = {number: self._remembered(number, prompts[number], parts[number]) for number in filled}
            else:
                together = self._together([prompts[number] for number in filled], [parts[number] for number in filled])
                found = dict(zip(filled, together, strict=True))
            return [found.get(number, EMPTY) for number in numbers]

        return read_by_adapter(self.model, len(prompts), read, self.adapters)

    def _together(
        self, prompts: Sequence[Sequence[int]], pixels: Sequence[torch.Tensor | None], before: Context = EMPTY
    ) -> list[Context]:
        """Prompts that go on from `before`: what all of them begin with once, the rest in rows of READ_POSITIONS."""
        shared = shared_prefix_length([list(prompt) for prompt in prompts], self.spec.image_placeholder_id)
        if shared and any(prompt[shared] == self.spec.image_placeholder_id for prompt in prompts):
            shared -= 1  # the mark before an image sees the image
        if shared:
            before = self._row([prompts[0][:shared]], [None], before)[0]
        contexts: list[Context] = []
        start, positions = 0, 0
        for end, prompt in enumerate(prompts):
            if end > start and positions + len(prompt) - shared > READ_POSITIONS:
                contexts += self._row([one[shared:] for one in prompts[start:end]], pixels[start:end], before)
                start, positions = end, 0
            positions += len(prompt) - shared
        if start < len(prompts):
            contexts += self._row([one[shared:] for one in prompts[start:]], pixels[start:], before)
        return contexts

    def _row(
        self, prompts: Sequence[Sequence[int]], pixels: Sequence[torch.Tensor | None], before: Context
    ) -> list[Context]:
        """Prompts that go on from `before`, in one pass."""
        model = self.model
        shown = [one for one in pixels if one is not None]
        images = RowImages.of(self.spec, model.config, torch.cat(shown) if shown else None)
        rows = IdRows(self.spec, model.config, images)
        for prompt in prompts:
            rows.add(prompt, first_position=before.position)
        row = rows.row().to(model.device)
        cache = ReadingCache(before)
        model.hidden_states(row, cache, len(before))
        return cache.contexts(row.sample_lengths, row.next_positions)

    def _remembered(self, number: int, prompt: Sequence[int], pixels: torch.Tensor | None) -> Context:
        """One prompt, from the longest part of it that its adapter remembers."""
        assert self.adapters is not None and self.prefix_cache is not None
        placeholder = self.spec.image_placeholder_id
        known, layers = self.prefix_cache.lookup(self.adapters[number], prompt, placeholder)
        if known and prompt[known] == placeholder:
            known -= 1  # the mark before an image sees the image
        before = EMPTY
        if known:  # without an image, so each id took one position number
            before = Context(tuple((keys[:, :, :known], values[:, :, :known]) for keys, values in layers), known)
        context = self._row([prompt[known:]], [pixels], before)[0]
        self.prefix_cache.insert(self.adapters[number], prompt, list(context.layers))
        return context
