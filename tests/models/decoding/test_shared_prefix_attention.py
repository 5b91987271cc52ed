"""What rows have in common is looked at once: the same numbers as with a copy in every row."""

from __future__ import annotations

import pytest
import torch

from pipelines.models.decoding import prefill as reading_module
from pipelines.models.decoding.prefill import MIN_SHARED_PREFIX, DecoderState, read_prompts
from pipelines.models.decoding.shared_prefix_attention import NAME
from pipelines.models.janus import toy_janus

START = list(range(10, 10 + MIN_SHARED_PREFIX))
ALONE = [[9, 8, 7, 6, 5], [20, 21], [30, 31, 32]]
SAME_START = [[*START, *rest] for rest in ALONE]
LOOK = 4


def read(prompts: list[list[int]]) -> DecoderState:
    model, _ = toy_janus()
    return read_prompts(model.model.language_model, model.embed, prompts, pad_id=0, alone_from=LOOK)


@pytest.mark.parametrize(
    "prompts", [ALONE, SAME_START, ALONE[:1], [ALONE[0]] * 2], ids=["alone", "start", "one", "even"]
)
@pytest.mark.parametrize("group", [1, 3])
@torch.no_grad()
def test_steps_equal_those_with_copies(monkeypatch: pytest.MonkeyPatch, prompts: list[list[int]], group: int) -> None:
    shared = read(prompts)
    copied = read(prompts)
    shared.repeat(group)
    monkeypatch.setattr(reading_module, "is_faster_on", lambda device: False)
    copied.repeat(group)
    assert copied.past is None
    assert (shared.past is not None) == (group > 1 or prompts is SAME_START)
    dice = torch.Generator().manual_seed(0)
    for step in range(6):
        rows = len(shared.hidden)
        if step in (0, 3, 4) and rows > 1:  # rows leave before the first step as well
            left = torch.arange(rows)[torch.arange(rows) != step % rows]
            shared.keep(left)
            copied.keep(left)
        embeds = torch.randn(len(shared.hidden), 1, shared.hidden.shape[-1], generator=dice)
        shared.step(embeds)
        copied.step(embeds)
        assert torch.allclose(shared.hidden, copied.hidden, atol=1e-5)
    assert torch.equal(shared.place, copied.place)


@torch.no_grad()
def test_a_row_keeps_only_its_own_positions() -> None:
    reading = read(SAME_START)
    reading.repeat(4)
    reading.step(torch.zeros(12, 1, reading.hidden.shape[-1]))
    assert reading.cache.layers[0].keys.shape[:3] == (12, 2, 1)
    assert [part.owners for part in reading.past.parts] == [1, 3]


@torch.no_grad()
def test_the_decoder_attends_as_before_once_a_step_is_over_or_has_failed() -> None:
    reading = read(ALONE)
    reading.repeat(2)
    kind = reading.decoder.config._attn_implementation
    reading.step(torch.zeros(6, 1, reading.hidden.shape[-1]))
    assert reading.decoder.config._attn_implementation == kind != NAME
    with pytest.raises(RuntimeError):
        reading.step(torch.zeros(5, 1, reading.hidden.shape[-1]))  # a row is missing
    assert reading.decoder.config._attn_implementation == kind
