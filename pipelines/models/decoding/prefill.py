"""Reading prompts once with a KV cache, and going on from there in many rows.

For families whose words and codes pass through one decoder (`janus.py`). What all prompts have in common at their
start (the character's system text) is read once for all of them; each prompt's cache is then repeated for its group.
With `voices` (adapters by prompt) nothing is shared between prompts, but each goes on from what its own adapter has
read before (`prefix_cache.py`).
Letters: P prompts, N rows, T positions, H hidden size.
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
from pipelines.models.decoding.prefix_cache import Layers
from pipelines.models.decoding.shared_prefix_attention import (
    SharedPrefixCache,
    is_faster_on,
    use_shared_prefix_attention,
)

MIN_SHARED_PREFIX = 16
"""Fewer common ids than this are not worth a pass of their own."""


@dataclass
class DecoderState:
    """Rows that a decoder has read, ready to go on."""

    decoder: PreTrainedModel
    hidden: torch.Tensor
    """(N, H) last layer at the last position read."""
    cache: DynamicCache
    mask: torch.Tensor | None
    """(N, T) 0 where a cached position is padding; None when nothing is."""
    place: torch.Tensor
    """(N, 1) position id of the last position read."""
    loras: LoraBatch | None = None
    """Told which rows go on; None when rows need not be told apart."""
    start: int = 0
    """Positions at the start that are the same in all rows."""
    past: SharedPrefixCache | None = None
    """What rows have in common, once it is no longer in `cache`."""

    def repeat(self, group: int) -> None:
        """Every row `group` times, copies side by side; called once, before the first step."""
        count = len(self.hidden)
        if is_faster_on(self.hidden.device) and (group > 1 or (self.start and count > 1)):
            self.past = SharedPrefixCache(self.cache, self.mask, self.start, group)
            self.cache, self.mask = preallocated_cache(self.decoder.config), None
        elif group > 1:
            self.cache.batch_repeat_interleave(group)
            self.mask = None if self.mask is None else self.mask.repeat_interleave(group, 0)
        if group > 1:
            self.hidden, self.place = self.hidden.repeat_interleave(group, 0), self.place.repeat_interleave(group, 0)
            if self.loras is not None:
                self.loras.repeat(group)

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only; rows (M,) indices."""
        if self.past is not None:
            self.past.keep(rows)
        if self.cache.get_seq_length():
            self.cache.batch_select_indices(rows)
        self.hidden, self.place = self.hidden[rows], self.place[rows]
        self.mask = None if self.mask is None else self.mask[rows]
        if self.loras is not None:
            self.loras.keep(rows.tolist())

    def step(self, embeds: torch.Tensor) -> None:
        """Read one more position in each row: embeds (N, 1, H)."""
        self.place = self.place + 1
        if self.past is None:
            self._read(embeds, None if self.mask is None else self.mask.new_ones(len(embeds), 1), self.place)
            return
        with use_shared_prefix_attention(self.decoder.config):
            self._read(embeds, None, self.place, shared_past=self.past)

    def _read(
        self, embeds: torch.Tensor, mask: torch.Tensor | None, places: torch.Tensor, **more: SharedPrefixCache
    ) -> None:
        if mask is not None:
            self.mask = mask if self.mask is None else torch.cat([self.mask, mask], 1)
        self.hidden = self.decoder(
            inputs_embeds=embeds,
            attention_mask=self.mask,
            position_ids=places,
            cache=self.cache,
            use_cache=True,
            **more,
        ).last_hidden_state[:, -1]


def read_prompts(
    decoder: PreTrainedModel,
    embed: Callable[[torch.Tensor], torch.Tensor],
    prompts: list[list[int]],
    *,
    pad_id: int,
    alone_from: int,
    loras: LoraBatch | None = None,
) -> DecoderState:
    """Read prompts of any lengths, padded on the left; with `voices`, whose rows are the prompts, each with its own.

    `embed` makes (B, T) ids into (B, T, H); it is called with whole rows, so it can fill in looked-at pictures in
    reading order. `alone_from` is an id from whose first place on nothing is shared (the look placeholder).
    Raises ValueError on no prompts or an empty one.
    """
    if not prompts or not all(prompts):
        raise ValueError("sampling needs at least one prompt, and no prompt may be empty")
    if loras is not None:
        return _extend(decoder, embed, prompts, pad_id, alone_from, loras)
    device = decoder.device
    shared = shared_prefix_length(prompts, alone_from)
    cache = preallocated_cache(decoder.config)
    reading = DecoderState(decoder, torch.empty(0, device=device), cache, None, torch.zeros(1, 1, dtype=torch.long))
    rest, mask = pad_left([prompt[shared:] for prompt in prompts], pad_id, device)
    if shared:
        start = torch.tensor([prompts[0][:shared]], device=device)
        reading._read(embed(start), None, torch.arange(shared, device=device)[None])
        reading.start = shared
        cache.batch_repeat_interleave(len(prompts))
    places = (shared + mask.cumsum(1) - 1).clamp(min=0)  # (P, T); what padding gets does not matter
    embeds = embed(rest)
    if bool(mask.all()):
        reading._read(embeds, None, places)
    else:
        reading.mask = mask.new_ones(len(prompts), shared)
        reading._read(embeds, mask, places)
    reading.place = places[:, -1:]
    return reading


def _extend(
    decoder: PreTrainedModel,
    embed: Callable[[torch.Tensor], torch.Tensor],
    prompts: list[list[int]],
    pad_id: int,
    alone_from: int,
    loras: LoraBatch,
) -> DecoderState:
    """Read what each row's own adapter does not remember, and remember the whole; K positions are known at most."""
    device = decoder.device
    pasts: list[tuple[int, Layers]] = [
        (0, []) if loras.memory is None else loras.memory.recall(loras.of_row(row), prompt, alone_from)
        for row, prompt in enumerate(prompts)
    ]
    known = torch.tensor([length for length, _ in pasts], device=device)[:, None]  # (N, 1)
    longest = int(known.max())
    rest, mask = pad_left([prompt[length:] for prompt, (length, _) in zip(prompts, pasts, strict=True)], pad_id, device)
    cache = preallocated_cache(decoder.config)
    if longest:
        _fill(cache, pasts, longest)
    places = (known + mask.cumsum(1) - 1).clamp(min=0)  # (N, T)
    before = (torch.arange(longest, device=device) >= longest - known).long()  # (N, K), flush right
    reading = DecoderState(decoder, torch.empty(0, device=device), cache, None, places[:, -1:], loras)
    embeds = embed(rest)
    if bool(mask.all()) and bool(before.all()):
        reading._read(embeds, None, places)
    else:
        reading.mask = before
        reading._read(embeds, mask, places)
    if loras.memory is not None:
        seen = torch.cat([before, mask], 1).bool()
        for row, prompt in enumerate(prompts):
            layers = [
                (layer.keys[row : row + 1, :, seen[row]], layer.values[row : row + 1, :, seen[row]])
                for layer in cache.layers
            ]
            loras.memory.remember(loras.of_row(row), prompt, layers)
    return reading


def _fill(cache: DynamicCache, pasts: list[tuple[int, Layers]], longest: int) -> None:
    """Put remembered keys and values (1, heads, positions, width) into an empty cache, flush right in N rows."""
    like = next(layers for _, layers in pasts if layers)

    def rows(index: int, part: int) -> torch.Tensor:
        blank = like[index][part]
        return torch.cat(
            [
                torch.cat(
                    [
                        blank.new_zeros(1, blank.shape[1], longest - length, blank.shape[3]),
                        *([layers[index][part]] if layers else []),
                    ],
                    2,
                )
                for length, layers in pasts
            ]
        )

    for index in range(len(like)):
        cache.update(rows(index, 0), rows(index, 1), index)


def shared_prefix_length(prompts: list[list[int]], alone_from: int) -> int:
    """How many ids at the start all prompts share, leaving each at least one; 0 when too few to matter."""
    if len(prompts) < 2:
        return 0
    shortest, first = min(map(len, prompts)), prompts[0]
    shared = 0
    while shared < shortest - 1 and first[shared] != alone_from and all(p[shared] == first[shared] for p in prompts):
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
    """Eval mode inside (no LoRA dropout, and gradient checkpointing would refuse the cache), as before after."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
