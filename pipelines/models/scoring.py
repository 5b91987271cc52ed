"""Scoring labelled ids: from which place each is predicted, and how likely it was.

Only labelled positions ever go through a head. Letters: B rows, T positions, L labelled positions, V ids.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

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


def score(
    head: Callable[[torch.Tensor], torch.Tensor], hidden: torch.Tensor, ids: torch.Tensor, entropies: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies (L,) of ids (L,) after hidden states (L, H)."""
    found, spreads = [], []
    for start in range(0, len(ids), HEAD_ROWS):
        logps = head(hidden[start : start + HEAD_ROWS]).float().log_softmax(-1)  # (L', V)
        found.append(logps.gather(-1, ids[start : start + HEAD_ROWS, None]).squeeze(-1))
        fixed = logps.detach()
        spreads.append(-(fixed.exp() * fixed).sum(-1) if entropies else torch.zeros_like(fixed[:, 0]))
    return torch.cat(found), torch.cat(spreads)
