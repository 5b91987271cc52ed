"""Log-probabilities without keeping logits: the numbers and gradients of plain autograd."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipelines.models.decoding import token_logprobs
from pipelines.models.decoding.token_logprobs import CHUNK_POSITIONS, compute_token_logprobs
from pipelines.models.janus import toy_janus


class Head(nn.Module):
    """A head with two layers that learns, as a LoRA's does."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(16, 16), nn.Linear(16, 40)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.outer(torch.nn.functional.gelu(self.inner(hidden)))


def frozen() -> nn.Module:
    return nn.Linear(16, 40, bias=False).requires_grad_(False)


def keep_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain autograd for every head."""
    monkeypatch.setattr(token_logprobs, "LARGE_LOGITS", 2**60)
    monkeypatch.setattr(token_logprobs, "frozen_head_logprobs", token_logprobs.chunk_logprobs)


@pytest.mark.parametrize("make", [frozen, Head])
def test_chunks_give_the_values_and_gradients_of_the_plain_way(make, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    head, count = make(), CHUNK_POSITIONS + 7
    hidden, ids, behind = torch.randn(count, 16), torch.randint(40, (count,)), torch.randn(count)
    found = []
    for plain in (True, False):
        if plain:
            keep_logits(monkeypatch)
        else:
            monkeypatch.undo()
            monkeypatch.setattr(token_logprobs, "LARGE_LOGITS", 1)
        given = hidden.clone().requires_grad_()
        head.zero_grad()
        logps, spread = compute_token_logprobs(head, given, ids, True)
        (logps * behind).sum().backward()
        found.append((logps.detach(), spread, given.grad, [weight.grad for weight in head.parameters()]))
    plain, chunked = found
    for mine, other in zip(plain[:3], chunked[:3], strict=True):
        assert torch.allclose(mine, other, atol=1e-5)
    for mine, other in zip(plain[3], chunked[3], strict=True):
        assert (mine is None and other is None) or torch.allclose(mine, other, atol=1e-4)
    assert not spread.requires_grad


def test_a_frozen_head_keeps_hidden_states_and_no_logits() -> None:
    head, hidden, kept = frozen(), torch.randn(64, 16, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda it: it):
        compute_token_logprobs(head, hidden, torch.randint(40, (64,)), False)
    assert max(kept) == 64 * 16


def test_a_hook_on_a_frozen_head_is_heard() -> None:
    head, hidden, ids = frozen(), torch.randn(8, 16, requires_grad=True), torch.randint(40, (8,))
    handle = head.register_forward_hook(lambda module, given, made: made.masked_fill(torch.arange(40) > 20, -1e9))
    with torch.no_grad():
        wanted, _ = compute_token_logprobs(head, hidden, ids, False)
    assert torch.equal(compute_token_logprobs(head, hidden, ids, False)[0], wanted)
    handle.remove()
    assert not torch.allclose(compute_token_logprobs(head, hidden, ids, False)[0], wanted)


def test_the_whole_model_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    grads = []
    for plain in (True, False):
        if plain:
            keep_logits(monkeypatch)
        else:
            monkeypatch.undo()
            monkeypatch.setattr(token_logprobs, "LARGE_LOGITS", 1)
        model, tokenizer = toy_janus()
        model.lm_head.requires_grad_(False)
        ids = torch.tensor([tokenizer("Hello, I am Mira.")["input_ids"] + [model.spec.boi_id, 270, 280, 290]])
        model(ids, labels=ids).loss.backward()
        grads.append(model.model.language_model.layers[0].mlp.up_proj.weight.grad)
    assert torch.allclose(grads[0], grads[1], atol=1e-6)
