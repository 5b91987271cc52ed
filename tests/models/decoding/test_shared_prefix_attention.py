"""Shared-prefix attention gives the same numbers as a copy of the prefix in every row."""

from __future__ import annotations

import pytest
import torch

from pipelines.models.decoding import prefill as prefill_module
from pipelines.models.decoding.prefill import MIN_SHARED_PREFIX, DecoderState, prefill_prompts
from pipelines.models.decoding.shared_prefix_attention import NAME
from pipelines.models.janus import toy_janus

START = list(range(10, 10 + MIN_SHARED_PREFIX))
ALONE = [[9, 8, 7, 6, 5], [20, 21], [30, 31, 32]]
SAME_START = [[*START, *rest] for rest in ALONE]
PLACEHOLDER = 4


def read(prompts: list[list[int]]) -> DecoderState:
    model, _ = toy_janus()
    return prefill_prompts(model.model.language_model, model.embed, prompts, pad_id=0, unshared_id=PLACEHOLDER)


@pytest.mark.parametrize(
    "prompts", [ALONE, SAME_START, ALONE[:1], [ALONE[0]] * 2], ids=["alone", "start", "one", "even"]
)
@pytest.mark.parametrize("group", [1, 3])
@torch.no_grad()
def test_steps_equal_those_with_copies(monkeypatch: pytest.MonkeyPatch, prompts: list[list[int]], group: int) -> None:
    shared = read(prompts)
    copied = read(prompts)
    shared.repeat(group)
    monkeypatch.setattr(prefill_module, "is_faster_on", lambda device: False)
    copied.repeat(group)
    assert copied.shared_prefix is None
    assert (shared.shared_prefix is not None) == (group > 1 or prompts is SAME_START)
    generator = torch.Generator().manual_seed(0)
    for step in range(6):
        rows = len(shared.hidden)
        if step in (0, 3, 4) and rows > 1:  # rows leave before the first step as well
            left = torch.arange(rows)[torch.arange(rows) != step % rows]
            shared.keep(left)
            copied.keep(left)
        embeds = torch.randn(len(shared.hidden), 1, shared.hidden.shape[-1], generator=generator)
        shared.step(embeds)
        copied.step(embeds)
        assert torch.allclose(shared.hidden, copied.hidden, atol=1e-5)
    assert torch.equal(shared.position_ids, copied.position_ids)


@torch.no_grad()
def test_a_row_keeps_only_its_own_positions() -> None:
    state = read(SAME_START)
    state.repeat(4)
    state.step(torch.zeros(12, 1, state.hidden.shape[-1]))
    assert state.cache.layers[0].keys.shape[:3] == (12, 2, 1)
    assert [part.owners for part in state.shared_prefix.segments] == [1, 3]


@torch.no_grad()
def test_the_decoder_attends_as_before_once_a_step_is_over_or_has_failed() -> None:
    state = read(ALONE)
    state.repeat(2)
    kind = state.decoder.config._attn_implementation
    state.step(torch.zeros(6, 1, state.hidden.shape[-1]))
    assert state.decoder.config._attn_implementation == kind != NAME
    with pytest.raises(RuntimeError):
        state.step(torch.zeros(5, 1, state.hidden.shape[-1]))  # a row is missing
    assert state.decoder.config._attn_implementation == kind
