"""The text positions of a batch in the one id space: image codes are taken out before the language expert reads it.

Codes only ever end a row or a packed segment, so what remains is text in its order; `source` says where each position
stood, so that log-probabilities can be put back.

Dimension letters: B rows, T positions of the full rows, W text positions of the longest row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pipelines.models.segments import restart_positions, stands_alone


@dataclass
class EncodedText:
    """Text positions, padded on the right."""

    ids: torch.Tensor
    """(B, W)"""
    mask: torch.Tensor
    """(B, W) bool, True on real positions."""
    segments: torch.Tensor | None
    """(B, W) as `segment_ids` of `UnifiedModel.forward`, -1 at padding; None where rows are not packed."""
    positions: torch.Tensor
    """(B, W) position ids."""
    source: torch.Tensor
    """(B, W) column of each position in the full row."""


def text_of(input_ids: torch.Tensor, keep: torch.Tensor, segment_ids: torch.Tensor | None) -> EncodedText:
    """The kept positions of each row in their order: input_ids, keep and segment_ids (B, T)."""
    order = (~keep).int().argsort(dim=1, stable=True)  # kept columns first, order unchanged
    longest = int(keep.sum(1).max())
    source = order[:, :longest]
    mask = keep.gather(1, source)
    segments = None if segment_ids is None else segment_ids.gather(1, source).where(mask, -1)
    if segments is None:
        positions = torch.arange(longest, device=input_ids.device).expand_as(source)
    else:
        positions = restart_positions(segments)
    return EncodedText(input_ids.gather(1, source).where(mask, 0), mask, segments, positions, source)


def packed_prompts(prompts: list[list[int]], shared: int, device: torch.device) -> tuple[EncodedText, torch.Tensor]:
    """One packed row of prompts whose first `shared` ids are equal, and the last column of each prompt (P,).

    The shared start is segment 0 and stands once; every rest is a segment of its own.
    """
    rests = [prompt[shared:] for prompt in prompts]
    lengths = torch.tensor([len(rest) for rest in rests], device=device)
    ids = torch.tensor([prompts[0][:shared] + [token for rest in rests for token in rest]], device=device)  # (1, T)
    numbers = torch.arange(1, len(prompts) + 1, device=device).repeat_interleave(lengths)
    segments = torch.cat([numbers.new_zeros(shared), numbers])[None]
    source = torch.arange(ids.shape[1], device=device)[None]
    text = EncodedText(ids, torch.ones_like(ids, dtype=torch.bool), segments, restart_positions(segments), source)
    return text, shared + lengths.cumsum(0) - 1


def previous_columns(text: EncodedText) -> torch.Tensor:
    """(B, W) column from which each position is predicted: the one before, or the shared prefix's last."""
    columns = torch.arange(text.ids.shape[1], device=text.ids.device).expand_as(text.ids)
    if text.segments is None:
        return (columns - 1).clamp(min=0)
    prefix = ((text.segments == 0) & text.mask).sum(1, keepdim=True)  # (B, 1) its length
    follows_prefix = (text.positions == prefix) & ~stands_alone(text.segments)
    return torch.where(follows_prefix, prefix - 1, columns - 1).clamp(min=0)
