"""Sampling a known number of positions at fixed shapes: nothing grows, so a GPU can replay one recorded step.

`static_decoding(reading, positions)` takes over what a `DecoderState` has read. Keys and values get their final size at once, the mask
is one tensor that is filled in, and the step's place is a number on the device. On a GPU the step is recorded as a CUDA
graph after three warm runs, so a position costs one launch instead of a thousand; elsewhere the same step is simply run
(a test compares both ways' numbers), and nobody has a reason to: attention then reads the empty places too.

Letters: N rows, H hidden size, S positions at most, T read so far.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from pipelines.models.decoding.prefill import DecoderState

WARM_RUNS = 3
"""Before recording: libraries choose their kernels in the first runs."""


class StaticLayer(DynamicLayer):
    """One layer's keys and values at their final size; a step writes at `place` and hands out all of them."""

    _layer_type = None  # the library makes a subclass with a type the one for all models

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, positions: int, place: torch.Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        rows, heads, read, width = keys.shape
        self.keys, self.values = (
            keys.new_zeros(rows, heads, positions, width),
            values.new_zeros(rows, heads, positions, values.shape[-1]),
        )
        self.keys[:, :, :read], self.values[:, :, :read] = keys, values
        self.place = place  # (1,) the position that is written next, shared by all layers

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one position (N, heads, 1, width)."""
        self.keys.index_copy_(2, self.place, key_states.to(self.keys.dtype))
        self.values.index_copy_(2, self.place, value_states.to(self.values.dtype))
        return self.keys, self.values


class StaticDecoderState:
    """Rows that go on for at most `positions` more steps; `step` and `hidden` as in `DecoderState`."""

    def __init__(self, reading: DecoderState, positions: int) -> None:
        """Nothing of `reading` may be used afterwards. Rows stay: none can leave."""
        first = reading.cache.layers[0].keys
        rows, read, device = len(reading.hidden), first.shape[-2], first.device
        total = read + positions
        self.decoder, self.hidden = reading.decoder, reading.hidden
        self._slot = torch.tensor([read], device=device)  # where keys and values go
        self._place = reading.place.clone().expand(rows, 1).contiguous()  # (N, 1) position ids
        self._cache = DynamicCache(config=reading.decoder.config)
        self._cache.layers = [
            StaticLayer(layer.keys, layer.values, total, self._slot) for layer in reading.cache.layers
        ]
        reading.cache.layers.clear()  # the growing ones are not needed any more
        self._mask = torch.zeros(rows, 1, 1, total, dtype=torch.bool, device=device)
        seen = torch.ones(rows, read, dtype=torch.bool, device=device) if reading.mask is None else reading.mask.bool()
        self._mask[:, 0, 0, :read] = seen
        self._embeds = torch.zeros(rows, 1, reading.hidden.shape[-1], dtype=first.dtype, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._steps = 0

    def step(self, embeds: torch.Tensor) -> None:
        """Read one more position in each row: embeds (N, 1, H)."""
        self._embeds.copy_(embeds)
        if self._graph is not None:
            self._graph.replay()
            return
        if self._embeds.device.type == "cuda" and self._steps >= WARM_RUNS:
            self._record()
            return
        self.hidden = self._run()
        self._steps += 1

    def _run(self) -> torch.Tensor:
        # Autocast keeps rounded weights for a while; a recorded step would read them after they are gone.
        kind = self._embeds.device.type
        settings = {"enabled": torch.is_autocast_enabled(kind), "dtype": torch.get_autocast_dtype(kind)}
        with torch.autocast(kind, cache_enabled=False, **settings):
            return self._read_one()

    def _read_one(self) -> torch.Tensor:
        self._place.add_(1)
        self._mask.index_fill_(3, self._slot, True)
        mask: torch.Tensor = self._mask
        if self.decoder.config._attn_implementation == "eager":  # it adds its mask instead of reading True
            mask = torch.zeros_like(mask, dtype=self._embeds.dtype).masked_fill(
                ~mask, torch.finfo(self._embeds.dtype).min
            )
        hidden = self.decoder(
            inputs_embeds=self._embeds,
            attention_mask=mask,
            position_ids=self._place,
            cache=self._cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        self._slot.add_(1)
        return hidden

    def _record(self) -> None:
        # Recording runs nothing, so the step itself is the first replay.
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.hidden = self._run()
        self._graph = graph
        graph.replay()


def is_faster_on(device: torch.device) -> bool:
    """Whether fixed shapes are faster on this device."""
    return device.type == "cuda"


def static_decoding(reading: DecoderState, positions: int) -> DecoderState | StaticDecoderState:
    """`reading` made ready for `positions` steps: at fixed shapes where they pay, as it is elsewhere."""
    return StaticDecoderState(reading, positions) if is_faster_on(reading.hidden.device) else reading
