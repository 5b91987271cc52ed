"""Prefill: prompts are read once with a KV cache, then each is decoded in as many rows as it has samples.

For decoders whose inputs are embeddings of text and image codes alike. What all prompts have in common at their start
(the character's system text) is computed once for all of them; each prompt's cache is then repeated for its group.
With `loras` (an adapter for each prompt) nothing is shared between prompts, but each continues what its own adapter has
read before (`prefix_cache.py`).

Dimension letters: P prompts, N rows, T positions, C cached positions at most, H hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from pipelines.models.decoding.kv_cache import preallocated_cache
from pipelines.models.decoding.multi_lora import LoraBatch
from pipelines.models.decoding.prefix_cache import LayerStates
from pipelines.models.decoding.shared_prefix_attention import (
    SharedPrefixCache,
    is_faster_on,
    use_shared_prefix_attention,
)

MIN_SHARED_PREFIX = 16
"""Fewer common ids than this are not worth a forward pass of their own."""


@dataclass
class DecoderState:
    """Rows that a decoder has read, ready for the next position."""

    decoder: PreTrainedModel
    hidden: torch.Tensor
    """(N, H) last layer at the last position read."""
    cache: DynamicCache
    attention_mask: torch.Tensor | None
    """(N, T) 0 where a cached position is padding; None when nothing is."""
    position_ids: torch.Tensor
    """(N, 1) of the last position read."""
    loras: LoraBatch | None = None
    """Told which rows are repeated and kept; None without adapters."""
    shared_length: int = 0
    """Positions at the start that are the same in all rows."""
    shared_prefix: SharedPrefixCache | None = None
    """The prompts, where they are no longer in `cache` (which then holds only the new positions)."""

    def repeat(self, group: int) -> None:
        """Every row `group` times, copies side by side; called once, before the first step."""
        count = len(self.hidden)
        if is_faster_on(self.hidden.device) and (group > 1 or (self.shared_length and count > 1)):
            self.shared_prefix = SharedPrefixCache(self.cache, self.attention_mask, self.shared_length, group)
            self.cache, self.attention_mask = preallocated_cache(self.decoder.config), None
        elif group > 1:
            self.cache.batch_repeat_interleave(group)
            if self.attention_mask is not None:
                self.attention_mask = self.attention_mask.repeat_interleave(group, 0)
        if group > 1:
            self.hidden = self.hidden.repeat_interleave(group, 0)
            self.position_ids = self.position_ids.repeat_interleave(group, 0)
            if self.loras is not None:
                self.loras.repeat(group)

    def keep(self, rows: torch.Tensor) -> None:
        """Continue with these rows only; rows (M,) indices."""
        if self.shared_prefix is not None:
            self.shared_prefix.keep(rows)
        if self.cache.get_seq_length():
            self.cache.batch_select_indices(rows)
        self.hidden, self.position_ids = self.hidden[rows], self.position_ids[rows]
        self.attention_mask = None if self.attention_mask is None else self.attention_mask[rows]
        if self.loras is not None:
            self.loras.keep(rows.tolist())

    def step(self, embeds: torch.Tensor) -> None:
        """Decode one more position in each row: embeds (N, 1, H)."""
        self.position_ids = self.position_ids + 1
        if self.shared_prefix is None:
            mask = None if self.attention_mask is None else self.attention_mask.new_ones(len(embeds), 1)
            self._forward(embeds, mask, self.position_ids)
            return
        with use_shared_prefix_attention(self.decoder.config):
            self._forward(embeds, None, self.position_ids, shared_prefix=self.shared_prefix)

    def _forward(
        self, embeds: torch.Tensor, mask: torch.Tensor | None, position_ids: torch.Tensor, **more: SharedPrefixCache
    ) -> None:
        """Read embeds (N, T, H); mask (N, T) of these positions is appended to what is cached."""
        if mask is not None:
            self.attention_mask = mask if self.attention_mask is None else torch.cat([self.attention_mask, mask], 1)
        self.hidden = self.decoder(
            inputs_embeds=embeds,
            attention_mask=self.attention_mask,
            position_ids=position_ids,
            cache=self.cache,
            use_cache=True,
            **more,
        ).last_hidden_state[:, -1]


def prefill_prompts(
    decoder: PreTrainedModel,
    embed: Callable[[torch.Tensor], torch.Tensor],
    prompts: list[list[int]],
    *,
    pad_id: int,
    unshared_id: int,
    loras: LoraBatch | None = None,
) -> DecoderState:
    """Read prompts of any lengths, padded on the left. loras: has one row for each prompt.

    `embed` turns ids (B, T) into (B, T, H); it is called with whole rows, so it can fill in looked-at images in reading
    order. Nothing is shared from the first `unshared_id` on (the image placeholder: equal ids, other images).
    Raises ValueError on no prompts or an empty one.
    """
    if not prompts or not all(prompts):
        raise ValueError("sampling needs at least one prompt, and no prompt may be empty")
    if loras is not None:
        return _prefill_with_loras(decoder, embed, prompts, pad_id, unshared_id, loras)
    device = decoder.device
    shared = shared_prefix_length(prompts, unshared_id)
    cache = preallocated_cache(decoder.config)
    state = DecoderState(decoder, torch.empty(0, device=device), cache, None, torch.zeros(1, 1, dtype=torch.long))
    rest, mask = pad_left([prompt[shared:] for prompt in prompts], pad_id, device)  # (P, T)
    if shared:
        # One row for the common start; its keys and values are then those of every prompt.
        start = torch.tensor([prompts[0][:shared]], device=device)  # (1, shared)
        state._forward(embed(start), None, torch.arange(shared, device=device)[None])
        state.shared_length = shared
        cache.batch_repeat_interleave(len(prompts))
    position_ids = (shared + mask.cumsum(1) - 1).clamp(min=0)  # (P, T); those of padding do not matter
    embeds = embed(rest)
    if bool(mask.all()):
        state._forward(embeds, None, position_ids)  # no mask: the fused causal kernel
    else:
        state.attention_mask = mask.new_ones(len(prompts), shared)
        state._forward(embeds, mask, position_ids)
    state.position_ids = position_ids[:, -1:]
    return state


def _prefill_with_loras(
    decoder: PreTrainedModel,
    embed: Callable[[torch.Tensor], torch.Tensor],
    prompts: list[list[int]],
    pad_id: int,
    unshared_id: int,
    loras: LoraBatch,
) -> DecoderState:
    """Read what the prefix cache does not have for each row's own adapter, and insert the whole."""
    device, prefix_cache = decoder.device, loras.prefix_cache
    cached: list[tuple[int, LayerStates]] = [
        (0, []) if prefix_cache is None else prefix_cache.lookup(loras.adapter_of_row(row), prompt, unshared_id)
        for row, prompt in enumerate(prompts)
    ]
    lengths = torch.tensor([length for length, _ in cached], device=device)[:, None]  # (N, 1)
    longest = int(lengths.max())  # C
    rest, mask = pad_left(
        [prompt[length:] for prompt, (length, _) in zip(prompts, cached, strict=True)], pad_id, device
    )
    cache = preallocated_cache(decoder.config)
    if longest:
        _load_prefixes(cache, cached, longest)
    position_ids = (lengths + mask.cumsum(1) - 1).clamp(min=0)  # (N, T)
    before = (torch.arange(longest, device=device) >= longest - lengths).long()  # (N, C), prefixes flush right
    state = DecoderState(decoder, torch.empty(0, device=device), cache, None, position_ids[:, -1:], loras)
    embeds = embed(rest)
    if bool(mask.all()) and bool(before.all()):
        state._forward(embeds, None, position_ids)
    else:
        state.attention_mask = before
        state._forward(embeds, mask, position_ids)
    if prefix_cache is not None:
        real = torch.cat([before, mask], 1).bool()  # (N, C + T)
        for row, prompt in enumerate(prompts):
            layers = [
                (layer.keys[row : row + 1, :, real[row]], layer.values[row : row + 1, :, real[row]])
                for layer in cache.layers
            ]
            prefix_cache.insert(loras.adapter_of_row(row), prompt, layers)
    return state


def _load_prefixes(cache: DynamicCache, cached: list[tuple[int, LayerStates]], longest: int) -> None:
    """Fill an empty cache with the prefixes of N rows, flush right; each (1, heads, its length, width) or none."""
    like = next(layers for _, layers in cached if layers)

    def rows(layer: int, part: int) -> torch.Tensor:
        """(N, heads, C, width) of one layer; part 0 keys, 1 values."""
        blank = like[layer][part]
        return torch.cat(
            [
                torch.cat(
                    [
                        blank.new_zeros(1, blank.shape[1], longest - length, blank.shape[3]),
                        *([layers[layer][part]] if layers else []),
                    ],
                    2,
                )
                for length, layers in cached
            ]
        )

    for layer in range(len(like)):
        cache.update(rows(layer, 0), rows(layer, 1), layer)


def shared_prefix_length(prompts: list[list[int]], unshared_id: int) -> int:
    """How many ids at the start all prompts share, leaving each at least one; 0 when too few to matter."""
    if len(prompts) < 2:
        return 0
    shortest, first = min(map(len, prompts)), prompts[0]
    shared = 0
    while shared < shortest - 1 and first[shared] != unshared_id and all(p[shared] == first[shared] for p in prompts):
        shared += 1
    return shared if shared >= MIN_SHARED_PREFIX else 0


def pad_left(rows: list[list[int]], pad_id: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask (P, T), int64, rows flush right."""
    longest = max(map(len, rows))
    ids = [[pad_id] * (longest - len(row)) + row for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def pad_right(rows: list[list[int]], pad_id: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask (P, T), int64, rows flush left."""
    ids, mask = pad_left([row[::-1] for row in rows], pad_id, device)
    return ids.flip(1), mask.flip(1)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside (no LoRA dropout; gradient checkpointing would refuse the cache), the old mode afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
