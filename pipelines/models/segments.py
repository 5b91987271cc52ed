"""Packed rows: which segment each position belongs to, where its positions begin, and what it sees.

`segment_ids` (B, T) are 0 in the prefix that a row's segments share, 1.. in segments that go on from it, and at most
FIRST_ALONE in segments that stand alone: images are drawn from their own turn. Padding stands on the right, in a
segment of its own.
"""

from __future__ import annotations

import torch

FIRST_ALONE = -2
"""Segments with this id and those below it do not see the shared prefix (-1 is padding inside the starter)."""


def restart_positions(segment_ids: torch.Tensor) -> torch.Tensor:
    """Position ids (B, T) of packed rows: a segment goes on where the shared prefix ends, one alone begins at 0."""
    prefix = (
        (segment_ids == 0).long().cumprod(1).sum(1, keepdim=True)
    )  # (B, 1) its length; zeros further right are padding
    place = torch.arange(segment_ids.shape[1], device=segment_ids.device).expand_as(segment_ids)
    starts = torch.ones_like(segment_ids, dtype=torch.bool)
    starts[:, 1:] = segment_ids[:, 1:] != segment_ids[:, :-1]
    start = torch.where(starts, place, torch.zeros_like(place)).cummax(1).values  # (B, T) first position of own segment
    return torch.where(segment_ids == 0, place, place - start + prefix * ~stands_alone(segment_ids))


def stands_alone(segment_ids: torch.Tensor) -> torch.Tensor:
    """(B, T) bool: positions of segments that do not see the shared prefix."""
    return segment_ids <= FIRST_ALONE


def block_mask(segment_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """(B, 1, T, T) bool, True where a query (row) attends: the prefix and its own segment, causally."""
    own = segment_ids[:, :, None] == segment_ids[:, None, :]
    prefix = (segment_ids == 0)[:, None, :] & ~stands_alone(segment_ids)[:, :, None]
    seen = (own | prefix).tril()
    if attention_mask is not None:
        seen = seen & attention_mask.bool()[:, None, :]
        # A padded query must attend to something, or softmax gives NaN.
        seen = seen | torch.eye(seen.shape[1], dtype=torch.bool, device=seen.device)
    return seen[:, None]
