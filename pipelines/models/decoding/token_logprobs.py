"""Log-probabilities and entropies of labelled ids, without keeping logits where that costs nothing or they are large.

Only labelled positions ever go through a head.

Dimension letters: B rows, T positions, L labelled positions, V ids, H hidden size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from pipelines.models.segments import stands_alone

Head = Callable[[torch.Tensor], torch.Tensor]
Pair = tuple[torch.Tensor, torch.Tensor]
LARGE_LOGITS = 2**26
"""From this many (labelled positions times ids) on, a head that learns computes its logits again instead of keeping
them: 268 MB in fp32, and as much for each copy. A frozen head never keeps any: what it does more in the forward pass it
does less in the backward pass."""
CHUNK_POSITIONS = 512
"""Labelled positions of one chunk: 512 x 102400 logits are 210 MB in fp32."""


def previous_positions(
    input_ids: torch.Tensor, attention_mask: torch.Tensor | None, segment_ids: torch.Tensor | None
) -> torch.Tensor:
    """(B, T) the position whose hidden state predicts each id, -1 for none.

    That is the one before it; for the first of a packed segment, the last of the shared prefix.
    """
    position = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
    before = position - 1
    if segment_ids is not None:
        first = torch.ones_like(segment_ids, dtype=torch.bool)
        first[:, 1:] = segment_ids[:, 1:] != segment_ids[:, :-1]
        prefix = (segment_ids == 0).long().cumprod(1).sum(1, keepdim=True)  # (B, 1)
        alone = stands_alone(segment_ids)
        before = torch.where(first & (segment_ids != 0), torch.where(alone, -1, prefix - 1), before)
    if attention_mask is not None:
        real = attention_mask.bool()
        real = real & real.gather(1, before.clamp(min=0))
        before = before.masked_fill(~real, -1)
    return before


def compute_token_logprobs(
    head: Head, hidden: torch.Tensor, ids: torch.Tensor, entropies: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies (L,) of ids (L,) after hidden states (L, H).

    With a frozen linear head only the logits of one chunk exist at a time: the gradient of the hidden states is
    computed along with them. Other heads' logits are recomputed in the backward pass where (L, V) would be large.
    """
    needs_gradient = torch.is_grad_enabled() and hidden.requires_grad
    score = chunk_logprobs
    if needs_gradient and isinstance(head, nn.Module):
        weight = next(reversed(list(head.parameters())))  # (V, H) of its last layer
        if _is_weight_alone(head) and not head.weight.requires_grad:
            score = frozen_head_logprobs
        elif len(ids) * len(weight) >= LARGE_LOGITS:
            score = recomputed_chunk_logprobs
    logps_of_chunks, entropies_of_chunks = [], []
    for start in range(0, len(ids), CHUNK_POSITIONS):
        chunk = slice(start, start + CHUNK_POSITIONS)
        logps, entropy = score(head, hidden[chunk], ids[chunk], entropies)
        logps_of_chunks.append(logps)
        entropies_of_chunks.append(entropy)
    return torch.cat(logps_of_chunks), torch.cat(entropies_of_chunks)


def _is_weight_alone(head: nn.Module) -> TypeGuard[nn.Linear]:
    # Who hooks a head wants it called, with what the hook makes of it.
    return type(head) is nn.Linear and head.bias is None and not head._forward_hooks and not head._forward_pre_hooks


def chunk_logprobs(head: Head, hidden: torch.Tensor, ids: torch.Tensor, entropies: bool) -> Pair:
    """One chunk by autograd, logits kept for the backward pass."""
    logps = head(hidden).float().log_softmax(-1)  # (L', V)
    detached = logps.detach()
    entropy = -(detached.exp() * detached).sum(-1) if entropies else torch.zeros_like(detached[:, 0])
    return logps.gather(-1, ids[:, None]).squeeze(-1), entropy


def recomputed_chunk_logprobs(head: Head, hidden: torch.Tensor, ids: torch.Tensor, entropies: bool) -> Pair:
    """One chunk whose logits are computed again in the backward pass (activation checkpointing)."""
    pair: Pair = checkpoint(chunk_logprobs, head, hidden, ids, entropies, use_reentrant=False)
    return pair


def frozen_head_logprobs(head: Head, hidden: torch.Tensor, ids: torch.Tensor, entropies: bool) -> Pair:
    """One chunk through a frozen linear head: its logits are freed before the next chunk."""
    pair: Pair = FrozenHeadLogprobs.apply(hidden, head.weight, ids, entropies)
    return pair


class FrozenHeadLogprobs(torch.autograd.Function):
    """log p(id | hidden) under a frozen linear head.

    The gradient with respect to a hidden state is g * (weight[id] - probabilities @ weight), g being the incoming
    gradient. All but g is known in the forward pass, so (L, H) is kept instead of (L, V).
    """

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, ids: torch.Tensor, entropies: bool) -> Pair:
        """hidden (L, H), weight (V, H), ids (L,) to log-probabilities and entropies (L,), fp32."""
        if torch.is_autocast_enabled(hidden.device.type):
            hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
        hidden = hidden.to(weight.dtype)
        logps = (hidden @ weight.T).float().log_softmax(-1)  # (L, V)
        found = logps.gather(-1, ids[:, None]).squeeze(-1)
        probabilities = logps.exp()
        entropy = -(probabilities * logps).sum(-1) if entropies else torch.zeros_like(found)
        ctx.save_for_backward(weight[ids].float() - (probabilities.to(weight.dtype) @ weight).float())
        ctx.mark_non_differentiable(entropy)
        return found, entropy

    @staticmethod
    def backward(ctx: Any, incoming: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        """(L,) to (L, H)."""
        (gradient,) = ctx.saved_tensors
        return incoming[:, None] * gradient, None, None, None
