"""Scoring labelled ids: from which place each is predicted, and how likely it was.

Only labelled positions ever go through a head. Letters: B rows, T positions, L labelled positions, V ids.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

Head = Callable[[torch.Tensor], torch.Tensor]
Pair = tuple[torch.Tensor, torch.Tensor]
LARGE_LOGITS = 2**26
"""Labelled positions times ids from which logits are not kept: 268 MB in fp32, and as much for each copy of them."""
HEAD_ROWS = 512
"""Positions scored at once: 512 x 102400 logits are 210 MB in fp32."""


def previous_places(
    input_ids: torch.Tensor, attention_mask: torch.Tensor | None, segment_ids: torch.Tensor | None
) -> torch.Tensor:
    """(B, T) place from which each id is predicted, -1 for none: the one before it, or the prefix's last."""
    place = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
    before = place - 1
    if segment_ids is not None:
        first = torch.ones_like(segment_ids, dtype=torch.bool)
        first[:, 1:] = segment_ids[:, 1:] != segment_ids[:, :-1]
        prefix = (segment_ids == 0).long().cumprod(1).sum(1, keepdim=True)  # (B, 1)
        before = torch.where(first & (segment_ids != 0), prefix - 1, before)
    if attention_mask is not None:
        real = attention_mask.bool()
        real = real & real.gather(1, before.clamp(min=0))
        before = before.masked_fill(~real, -1)
    return before


def compute_token_logprobs(
    head: Callable[[torch.Tensor], torch.Tensor], hidden: torch.Tensor, ids: torch.Tensor, entropies: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies (L,) of ids (L,) after hidden states (L, H).

    Where the logits of all positions would be large, those of one chunk at a time are kept: for a frozen linear head
    the gradient of the hidden states is made with them, for another head they are made again in the backward pass.
    """
    learning = torch.is_grad_enabled() and hidden.requires_grad
    part = plain_part
    if learning and isinstance(head, nn.Module):
        weight = next(reversed(list(head.parameters())))
        if len(ids) * len(weight) >= LARGE_LOGITS:
            frozen = type(head) is nn.Linear and head.bias is None and not head.weight.requires_grad
            part = frozen_part if frozen else again_part
    found, spreads = [], []
    for start in range(0, len(ids), HEAD_ROWS):
        logps, spread = part(head, hidden[start : start + HEAD_ROWS], ids[start : start + HEAD_ROWS], entropies)
        found.append(logps)
        spreads.append(spread)
    return torch.cat(found), torch.cat(spreads)


def plain_part(head: Head, hidden: torch.Tensor, ids: torch.Tensor, entropies: bool) -> Pair:
    """One chunk, everything kept for the backward pass."""
    logps = head(hidden).float().log_softmax(-1)  # (L', V)
    fixed = logps.detach()
    spread = -(fixed.exp() * fixed).sum(-1) if entropies else torch.zeros_like(fixed[:, 0])
    return logps.gather(-1, ids[:, None]).squeeze(-1), spread


def again_part(head: Head, hidden: torch.Tensor, ids: torch.Tensor, entropies: bool) -> Pair:
    """One chunk whose logits are made again in the backward pass."""
    made: Pair = checkpoint(plain_part, head, hidden, ids, entropies, use_reentrant=False)
    return made


def frozen_part(head: Head, hidden: torch.Tensor, ids: torch.Tensor, entropies: bool) -> Pair:
    """One chunk through a frozen linear head: its logits are gone when it is scored."""
    made: Pair = FrozenHead.apply(hidden, head.weight, ids, entropies)
    return made


class FrozenHead(torch.autograd.Function):
    """log p(id | hidden) under a linear head that does not learn.

    The gradient with respect to a hidden state is g * (weight[id] - probabilities @ weight), g being what comes from
    behind: all but g is known in the forward pass, so (L, H) is kept instead of (L, V).
    """

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, ids: torch.Tensor, entropies: bool) -> Pair:
        """hidden (L, H), weight (V, H), ids (L,) to log-probabilities and entropies (L,), fp32."""
        if torch.is_autocast_enabled(hidden.device.type):
            hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
        hidden = hidden.to(weight.dtype)
        logps = (hidden @ weight.T).float().log_softmax(-1)  # (L, V)
        found = logps.gather(-1, ids[:, None]).squeeze(-1)
        chances = logps.exp()
        spread = -(chances * logps).sum(-1) if entropies else torch.zeros_like(found)
        ctx.save_for_backward(weight[ids].float() - (chances.to(weight.dtype) @ weight).float())
        ctx.mark_non_differentiable(spread)
        return found, spread

    @staticmethod
    def backward(ctx: Any, behind: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        """(L,) to (L, H)."""
        (slope,) = ctx.saved_tensors
        return behind[:, None] * slope, None, None, None
