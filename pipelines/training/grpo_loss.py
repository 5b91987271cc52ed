"""Stage 2 without its trainer: from rewards to advantages, and log-probabilities of whole groups. Needs no trl.

Dimension letters, as suffixes: P prompts of a step, G samples of a prompt, N = P * G samples, prompt-major (rows
p * G .. p * G + G - 1 are one group), K rewards, C positions of the longest completion, R packed rows, T positions of
a packed row.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from pipelines.data.chat_template import ImageTurn
from pipelines.models.interface import ModelSpec, Scores
from pipelines.models.segments import FIRST_ALONE


def group_advantages(
    rewards_NK: torch.Tensor, weights_K: torch.Tensor, group_size: int, text_only_K: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Advantages (N,) of text ids and (N,) of image codes, from rewards in 0..1 or NaN where one does not apply.

    Each reward is normalised inside its group before it is weighted, as in GDPO (arXiv 2601.05242): summed first and
    normalised then, as in GRPO (arXiv 2402.03300), a reward with a small spread would vanish beside one with a large
    spread, whatever its weight. text_only_K: rewards that are settled before the image is drawn; they would only add
    variance to the advantage of its codes, so they are left out there.
    """
    rewards_PGK = rewards_NK.view(-1, group_size, rewards_NK.shape[1])
    known = ~rewards_PGK.isnan()
    count = known.sum(1, keepdim=True)  # (P, 1, K) samples of the group that the reward applies to
    mean = rewards_PGK.nansum(1, keepdim=True) / count.clamp(min=1)
    centred = torch.where(known, rewards_PGK - mean, 0.0)  # not applicable: neither praise nor blame
    deviation = (centred.pow(2).sum(1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    # Where all samples of a group scored the same there is nothing to learn; without the test, rounding errors divided
    # by 1e-4 would become advantages. The 1e-4 is TRL's.
    scores_NK = torch.where(deviation > 1e-6, centred / (deviation + 1e-4), 0.0).view_as(rewards_NK)
    weighted_NK = scores_NK * weights_K
    text_N, codes_N = weighted_NK.sum(1), (weighted_NK * ~text_only_K).sum(1)
    # GDPO's last step: the sum is divided by its spread over the batch, so the scale of an update does not depend on
    # the number of rewards. Codes get the same divisor, so that text and codes stay in proportion.
    scale = text_N.std() + 1e-4
    return text_N / scale, codes_N / scale


def mean_reward(rewards_NK: torch.Tensor, weights_K: torch.Tensor) -> float:
    """0..1: each sample's weighted mean over the rewards that apply to it (not NaN), averaged over samples."""
    weights_NK = weights_K * ~rewards_NK.isnan()
    return float(((rewards_NK.nan_to_num() * weights_NK).sum(1) / weights_NK.sum(1).clamp(min=1e-9)).mean())


def group_token_logps(
    score: Callable[..., Scores],
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    kept: int,
    spec: ModelSpec,
    image_turn: ImageTurn,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies (N, C) of completion ids, nats, 0 on padding; each prompt is forwarded once.

    score: the model's forward. input_ids, attention_mask (N, prompt + C): prompts padded left, completions padded
    right, as TRL concatenates them; kept: C; image_turn: of the character who is drawn.

    The samples of a prompt share one packed row: [prompt short of its last id | last id, completion 1 | last id,
    completion 2 | ...]. What stands before the first bar is segment 0, seen by all; the others see it and themselves
    only (`pipelines.models.segments.block_mask`). Every segment begins with its own copy of the prompt's last id,
    because that position predicts the first id of the completion, and its keys must not be seen by other segments.
    An image's codes stand behind its turn in a segment that sees nothing else, as they were sampled.
    TRL's own forward (`_get_per_token_logps_and_entropies`) computes the prompt G times.
    """
    device = input_ids.device
    real = attention_mask.bool()
    prompts = [tuple(ids[mask].tolist()) for ids, mask in zip(input_ids[:, :-kept], real[:, :-kept], strict=True)]
    samples_of: dict[tuple[int, ...], list[int]] = {}  # prompt -> its samples; R entries, one row each
    for n, prompt in enumerate(prompts):
        samples_of.setdefault(prompt, []).append(n)
    completions = [ids[mask].tolist() for ids, mask in zip(input_ids[:, -kept:], real[:, -kept:], strict=True)]
    texts = [[token for token in ids if token < spec.text_vocab] for ids in completions]
    codes = [ids[len(text) :] for ids, text in zip(completions, texts, strict=True)]  # they only ever end a completion
    turns = [image_turn.ids(text) if ids else [] for text, ids in zip(texts, codes, strict=True)]
    sizes = [1 + len(texts[n]) + len(turns[n]) + len(codes[n]) for n in range(len(completions))]
    length = max(len(prompt) - 1 + sum(sizes[n] for n in samples) for prompt, samples in samples_of.items())
    padding_segment = len(prompts) + 1  # not 0, which would make padding part of the shared prefix
    ids_RT = torch.full((len(samples_of), length), spec.pad_id, device=device)
    labels_RT = torch.full_like(ids_RT, -100)
    segments_RT = torch.full_like(ids_RT, padding_segment)
    # Where each completion id went, as an index into the flattened (R * T); padding points at 0 and is masked below.
    position_NC = torch.zeros(len(prompts), kept, dtype=torch.long, device=device)
    for row, (prompt, samples) in enumerate(samples_of.items()):
        at = len(prompt) - 1
        ids_RT[row, :at] = torch.tensor(prompt[:-1], device=device)
        segments_RT[row, :at] = 0
        for segment, n in enumerate(samples, start=1):
            # (what stands before, what is scored, the segment's id, where the scored ids begin in the completion)
            parts = [([prompt[-1]], texts[n], segment, 0), (turns[n], codes[n], FIRST_ALONE - segment, len(texts[n]))]
            for before, scored, number, first in parts:
                start, end = at + len(before), at + len(before) + len(scored)
                ids_RT[row, at:end] = torch.tensor([*before, *scored], dtype=torch.long, device=device)
                labels_RT[row, start:end] = ids_RT[row, start:end]
                segments_RT[row, at:end] = number
                place = torch.arange(row * length + start, row * length + end, device=device)
                position_NC[n, first : first + len(scored)] = place
                at = end
    padding_RT = segments_RT == padding_segment
    scores = score(
        input_ids=ids_RT, attention_mask=(~padding_RT).long(), labels=labels_RT, segment_ids=segments_RT, entropies=True
    )
    mask_NC = real[:, -kept:]
    logps_NC = scores.logps.flatten()[position_NC] * mask_NC
    return logps_NC, scores.entropies.flatten()[position_NC] * mask_NC
