"""Writing words: the sampling loop that every family shares, on top of `reading.py`.

Letters: N samples, R those still going on, V the text vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from pipelines.models.family import Dice, OnIds, TextSamples, choose_ids
from pipelines.models.reading import Reading


def write_words(
    reading: Reading,
    head: Callable[[torch.Tensor], torch.Tensor],
    embed: Callable[[torch.Tensor], torch.Tensor],
    *,
    never: int,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    repetition_penalty: float,
    stop_ids: tuple[int, ...],
    generator: Dice,
    on_ids: OnIds | None,
) -> TextSamples:
    """Go on from `reading` (N rows) until each sample's first stop id.

    head: hidden states (R, H) to logits (R, V); embed: ids (R, 1) to (R, 1, H); never: an id that is not to be said.
    The penalty counts a sample's own new ids, not the prompt's. Finished samples leave the batch.
    """
    count, device = len(reading.hidden), reading.hidden.device
    ids = torch.full((count, max_new_tokens), -1, dtype=torch.long, device=device)
    logps = torch.zeros(ids.shape, device=device)
    said: torch.Tensor | None = None  # (N, V), only kept for the penalty
    stops = torch.tensor(stop_ids, dtype=torch.long, device=device)
    rows = torch.arange(count, device=device)  # samples still going on
    for step in range(max_new_tokens):
        logits = head(reading.hidden).float()
        scores = logits.clone()
        scores[:, never] = -torch.inf
        if repetition_penalty != 1.0:
            if said is None:
                said = torch.zeros(count, logits.shape[-1], dtype=torch.bool, device=device)
            less = torch.where(scores > 0, scores / repetition_penalty, scores * repetition_penalty)
            scores = torch.where(said[rows], less, scores)
        new = choose_ids(scores, rows, count, generator, temperature, top_p=top_p)  # (R,)
        ids[rows, step] = new
        logps[rows, step] = logits.log_softmax(-1).gather(-1, new[:, None]).squeeze(-1)
        if said is not None:
            said[rows, new] = True
        if on_ids is not None:
            on_ids(dict(zip(rows.tolist(), new.tolist(), strict=True)))
        going = ~torch.isin(new, stops)
        if step + 1 == max_new_tokens or not bool(going.any()):
            break
        if not bool(going.all()):
            rows, new = rows[going], new[going]
            reading.keep(torch.nonzero(going).squeeze(-1))
        reading.step(embed(new[:, None]))
    lengths = (ids >= 0).sum(1).tolist()
    return TextSamples(
        [row[:length] for row, length in zip(ids.tolist(), lengths, strict=True)],
        [row[:length] for row, length in zip(logps.tolist(), lengths, strict=True)],
    )
