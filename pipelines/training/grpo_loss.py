"""Stage 2 without its trainer: from rewards to advantages, and log-probabilities of whole groups. Needs no trl.

Suffixes as in `pipelines.training.grpo`: _P prompts of a step, _G samples of a prompt, _N = P * G samples, prompt-major, _K
reward parts, _T positions of a row, _C positions of the longest completion.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from pipelines.models.interface import ModelSpec, Scores


def group_advantages(
    rewards_NK: torch.Tensor, weights_K: torch.Tensor, group_size: int, words_only_K: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Advantages (N,) for words and (N,) for picture codes.

    Each part is normalised inside its group before it is weighted, so a weight means the same whatever a part's scale;
    a part without differences in a group adds nothing, and None (NaN here) is left out. Parts that are settled before
    the picture is drawn only add noise to its codes, so they are left out there. Both are divided by the words'
    spread over the batch, as in GDPO.
    """
    grouped = rewards_NK.view(-1, group_size, rewards_NK.shape[1])  # (P, G, K)
    known = ~grouped.isnan()
    count = known.sum(1, keepdim=True)
    mean = grouped.nansum(1, keepdim=True) / count.clamp(min=1)
    centred = torch.where(known, grouped - mean, 0.0)
    deviation = (centred.pow(2).sum(1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    scores = torch.where(deviation > 1e-6, centred / (deviation + 1e-4), 0.0).view_as(rewards_NK)  # (N, K)
    weighted = scores * weights_K
    words, codes = weighted.sum(1), (weighted * ~words_only_K).sum(1)
    scale = words.std() + 1e-4
    return words / scale, codes / scale


def mean_reward(rewards_NK: torch.Tensor, weights_K: torch.Tensor) -> float:
    """0..1: each sample's weighted mean over the parts that apply to it (not NaN), averaged over samples."""
    weights = weights_K * ~rewards_NK.isnan()
    return float(((rewards_NK.nan_to_num() * weights).sum(1) / weights.sum(1).clamp(min=1e-9)).mean())


def group_token_logps(
    score: Callable[..., Scores], input_ids: torch.Tensor, attention_mask: torch.Tensor, kept: int, spec: ModelSpec
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies (N, C) of completions, each prompt read once for all its samples.

    score: the model's forward. input_ids, attention_mask (N, prompt + C): prompts flush right, completions flush left,
    as the library pads them; kept: C. Samples of equal prompts become one packed row: the prompt short of its last
    id is the shared prefix, and every segment begins with that last id, which predicts the completion's first.
    """
    device = input_ids.device
    rows: dict[tuple[int, ...], list[int]] = {}
    real = attention_mask.bool()
    prompts = [tuple(ids[mask].tolist()) for ids, mask in zip(input_ids[:, :-kept], real[:, :-kept], strict=True)]
    for n, prompt in enumerate(prompts):
        rows.setdefault(prompt, []).append(n)
    counts = real[:, -kept:].sum(1).tolist()
    length = max(len(prompt) - 1 + sum(counts[n] + 1 for n in samples) for prompt, samples in rows.items())
    ids_RT = torch.full((len(rows), length), spec.pad_id, device=device)
    labels_RT = torch.full_like(ids_RT, -100)
    segments_RT = torch.full_like(ids_RT, len(prompts) + 1)  # padding has a segment of its own: 0 would be prefix
    place_NC = torch.zeros(len(prompts), kept, dtype=torch.long, device=device)  # where each id went, row-major
    for row, (prompt, samples) in enumerate(rows.items()):
        at = len(prompt) - 1
        ids_RT[row, :at] = torch.tensor(prompt[:-1], device=device)
        segments_RT[row, :at] = 0
        for segment, n in enumerate(samples, start=1):
            end = at + 1 + counts[n]
            ids_RT[row, at] = prompt[-1]
            ids_RT[row, at + 1 : end] = labels_RT[row, at + 1 : end] = input_ids[n, -kept:][: counts[n]]
            segments_RT[row, at:end] = segment
            place_NC[n, : counts[n]] = torch.arange(row * length + at + 1, row * length + end, device=device)
            at = end
    padded = segments_RT == len(prompts) + 1
    scores = score(
        input_ids=ids_RT, attention_mask=(~padded).long(), labels=labels_RT, segment_ids=segments_RT, entropies=True
    )
    mask_NC = real[:, -kept:]
    logps = scores.logps.flatten()[place_NC] * mask_NC
    return logps, scores.entropies.flatten()[place_NC] * mask_NC
