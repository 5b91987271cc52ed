"""Prefilling prompts: what they share, how they are padded, and from which position each id is predicted."""

from __future__ import annotations

import pytest
import torch

from pipelines.models.decoding.prefill import MIN_SHARED_PREFIX, pad_left, prefill_prompts, shared_prefix_length
from pipelines.models.decoding.token_logprobs import previous_positions
from pipelines.models.janus import toy_janus

PLACEHOLDER = 4
START = list(range(10, 10 + MIN_SHARED_PREFIX))


def test_prompts_share_their_start_but_keep_one_id_each():
    assert shared_prefix_length([[*START, 1, 2], [*START, 3]], PLACEHOLDER) == MIN_SHARED_PREFIX
    assert (
        shared_prefix_length([[*START, 9], [*START, 9]], PLACEHOLDER) == MIN_SHARED_PREFIX
    )  # the last id is read for each
    assert shared_prefix_length([START, START], PLACEHOLDER) == 0  # one fewer than pays
    assert shared_prefix_length([[*START, 1]], PLACEHOLDER) == 0  # alone
    assert shared_prefix_length([[*START, PLACEHOLDER, 1], [*START, PLACEHOLDER, 1]], PLACEHOLDER) == MIN_SHARED_PREFIX
    assert (
        shared_prefix_length([[PLACEHOLDER, *START, 1], [PLACEHOLDER, *START, 1]], PLACEHOLDER) == 0
    )  # nothing after a looked-at picture


def test_rows_are_padded_on_the_left():
    ids, mask = pad_left([[7, 8], [9]], 0, torch.device("cpu"))
    assert ids.tolist() == [[7, 8], [0, 9]] and mask.tolist() == [[1, 1], [0, 1]]


def test_an_empty_prompt_is_refused():
    model, _ = toy_janus()
    for prompts in ([], [[5], []]):
        with pytest.raises(ValueError, match="no prompt may be empty"):
            prefill_prompts(model.model.language_model, model.embed, prompts, pad_id=0, unshared_id=PLACEHOLDER)


def test_the_shared_start_is_read_once_and_changes_nothing():
    model, _ = toy_janus()
    widths: list[tuple[int, ...]] = []

    def embed(ids: torch.Tensor) -> torch.Tensor:
        widths.append(tuple(ids.shape))
        return model.embed(ids)

    prompts = [[*START, 30, 31, 32], [*START, 33], [*START, 34, 35]]
    with torch.no_grad():
        state = prefill_prompts(model.model.language_model, embed, prompts, pad_id=0, unshared_id=PLACEHOLDER)
        alone = [
            prefill_prompts(model.model.language_model, model.embed, [prompt], pad_id=0, unshared_id=PLACEHOLDER)
            for prompt in prompts
        ]
    assert widths == [(1, MIN_SHARED_PREFIX), (3, 3)]
    assert state.position_ids.flatten().tolist() == [len(prompt) - 1 for prompt in prompts]
    assert torch.allclose(state.hidden, torch.cat([one.hidden for one in alone]), atol=1e-4)


def test_each_id_is_predicted_from_the_one_before_or_the_end_of_the_prefix():
    ids = torch.zeros(1, 7, dtype=torch.long)
    assert previous_positions(ids, None, None).tolist() == [[-1, 0, 1, 2, 3, 4, 5]]
    segments = torch.tensor([[0, 0, 1, 1, 2, 2, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 0]])
    assert previous_positions(ids, mask, segments).tolist() == [[-1, 0, 1, 2, 1, 4, -1]]
    left = torch.tensor([[0, 0, 1, 1, 1, 1, 1]])
    assert previous_positions(ids, left, None).tolist() == [[-1, -1, -1, 2, 3, 4, 5]]
