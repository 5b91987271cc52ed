"""Decoding a known number of positions at static shapes, so that a GPU can replay one captured step.

`static_decoding(state, positions)` takes over what a `DecoderState` has prefilled. Keys and values get their final size
at once, the mask is one tensor that is filled in, and the position to write is a number on the device. On a GPU the
step is captured as a CUDA graph after three warm-up runs, so a position costs one launch instead of a thousand.
Elsewhere the same step simply runs (a test compares the numbers of both), but it is slower than a growing cache, since
attention reads the empty positions too.

Dimension letters: N rows, H hidden size, S positions at most, T positions prefilled.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from pipelines.models.decoding.prefill import DecoderState

WARMUP_STEPS = 3
"""Run before the capture: libraries choose their kernels in the first runs."""


class StaticLayer(DynamicLayer):
    """One layer's keys and values at their final size; a step writes at `write_at` and gets all of them back."""

    _layer_type = None  # a subclass with a type of its own would be used by the library for all models

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, positions: int, write_at: torch.Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        rows, heads, prefilled, width = keys.shape
        self.keys, self.values = (
            keys.new_zeros(rows, heads, positions, width),
            values.new_zeros(rows, heads, positions, values.shape[-1]),
        )
        self.keys[:, :, :prefilled], self.values[:, :, :prefilled] = keys, values
        self.write_at = write_at  # (1,) the position that is written next, shared by all layers

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one position (N, heads, 1, width)."""
        self.keys.index_copy_(2, self.write_at, key_states.to(self.keys.dtype))
        self.values.index_copy_(2, self.write_at, value_states.to(self.values.dtype))
        return self.keys, self.values


class StaticDecoderState:
    """Rows that are decoded for at most `positions` more steps; `step` and `hidden` as in `DecoderState`."""

    def __init__(self, state: DecoderState, positions: int) -> None:
        """Takes `state` over: it may not be used afterwards. Rows cannot leave."""
        first = state.cache.layers[0].keys
        rows, prefilled, device = len(state.hidden), first.shape[-2], first.device
        total = prefilled + positions
        self.decoder, self.hidden = state.decoder, state.hidden
        self._write_at = torch.tensor([prefilled], device=device)
        self._position_ids = state.position_ids.clone().expand(rows, 1).contiguous()  # (N, 1)
        self._cache = DynamicCache(config=state.decoder.config)
        self._cache.layers = [
            StaticLayer(layer.keys, layer.values, total, self._write_at) for layer in state.cache.layers
        ]
        state.cache.layers.clear()  # frees the growing ones
        self._mask = torch.zeros(rows, 1, 1, total, dtype=torch.bool, device=device)
        mask = state.attention_mask
        self._mask[:, 0, 0, :prefilled] = True if mask is None else mask.bool()
        self._embeds = torch.zeros(rows, 1, state.hidden.shape[-1], dtype=first.dtype, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._warmup_steps = 0

    def step(self, embeds: torch.Tensor) -> None:
        """Decode one more position in each row: embeds (N, 1, H)."""
        self._embeds.copy_(embeds)
        if self._graph is not None:
            self._graph.replay()
            return
        if self._embeds.device.type == "cuda" and self._warmup_steps >= WARMUP_STEPS:
            self._capture()
            return
        self.hidden = self._run()
        self._warmup_steps += 1

    def _run(self) -> torch.Tensor:
        # Autocast caches weights it has cast; a replayed graph would read that cache after it is freed.
        kind = self._embeds.device.type
        settings = {"enabled": torch.is_autocast_enabled(kind), "dtype": torch.get_autocast_dtype(kind)}
        with torch.autocast(kind, cache_enabled=False, **settings):
            return self._forward()

    def _forward(self) -> torch.Tensor:
        # Everything that changes from step to step changes in place, on the device: a graph replays addresses.
        self._position_ids.add_(1)
        self._mask.index_fill_(3, self._write_at, True)
        mask: torch.Tensor = self._mask
        if self.decoder.config._attn_implementation == "eager":  # eager attention adds its mask to the scores
            mask = torch.zeros_like(mask, dtype=self._embeds.dtype).masked_fill(
                ~mask, torch.finfo(self._embeds.dtype).min
            )
        hidden = self.decoder(
            inputs_embeds=self._embeds,
            attention_mask=mask,
            position_ids=self._position_ids,
            cache=self._cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        self._write_at.add_(1)
        return hidden

    def _capture(self) -> None:
        # Capturing computes nothing, so the first replay is the step itself.
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.hidden = self._run()
        self._graph = graph
        graph.replay()


def is_faster_on(device: torch.device) -> bool:
    """Whether static shapes are faster on this device."""
    return device.type == "cuda"


def static_decoding(state: DecoderState, positions: int) -> DecoderState | StaticDecoderState:
    """`state` made ready for `positions` steps: at static shapes where they are faster, unchanged elsewhere."""
    return StaticDecoderState(state, positions) if is_faster_on(state.hidden.device) else state
