"""Writing words: the sampling loop that every family shares, on top of `prefill.py`.

Letters: N samples, R those still going on, V the text vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from pipelines.models.decoding.prefill import DecoderState
from pipelines.models.decoding.sampling import Generators, OnIds, Sampling, TextSamples, choose_ids
from pipelines.models.decoding.static_decode import is_faster_on, static_decoding

CHECK_EVERY = 8
"""Steps between asking a GPU whether all samples are finished: to ask is to wait for it."""


def decode_text(
    reading: DecoderState,
    head: Callable[[torch.Tensor], torch.Tensor],
    embed: Callable[[torch.Tensor], torch.Tensor],
    *,
    never: int,
    sampling: Sampling,
    stop_ids: tuple[int, ...],
    generator: Generators,
    on_ids: OnIds | None,
) -> TextSamples:
    """Go on from `reading` (N rows) until each sample's first stop id.

    head: hidden states (R, H) to logits (R, V); embed: ids (R, 1) to (R, 1, H); never: an id that is not to be said.
    The penalty counts a sample's own new ids, not the prompt's. Finished samples leave the batch; on a GPU they stay,
    since a recorded step has a fixed shape (`static_decoding.py`), and what they say is dropped.
    """
    max_new_tokens, repetition_penalty = sampling.max_new_tokens, sampling.repetition_penalty
    temperature, top_p = sampling.temperature, sampling.top_p
    stays = is_faster_on(reading.hidden.device)
    going_on = static_decoding(reading, max_new_tokens)
    count, device = len(reading.hidden), reading.hidden.device
    ids = torch.full((count, max_new_tokens), -1, dtype=torch.long, device=device)
    logps = torch.zeros(ids.shape, device=device)
    said: torch.Tensor | None = None  # (N, V), only kept for the penalty
    stops = torch.tensor(stop_ids, dtype=torch.long, device=device)
    rows = torch.arange(count, device=device)  # samples still in the batch
    going = torch.ones(count, dtype=torch.bool, device=device)
    for step in range(max_new_tokens):
        logits = head(going_on.hidden).float()
        if repetition_penalty != 1.0 and said is None:
            said = torch.zeros(count, logits.shape[-1], dtype=torch.bool, device=device)
        scores = _penalised(logits, never, None if said is None else said[rows], repetition_penalty)
        # A GPU's numbers are not asked for at every step; all rows stay there, in order.
        which = range(count) if stays else rows
        new = choose_ids(scores, which, count, generator, temperature, top_p=top_p)  # (R,)
        ids[rows, step] = new
        logps[rows, step] = logits.log_softmax(-1).gather(-1, new[:, None]).squeeze(-1)
        if said is not None:
            said[rows, new] = True
        if on_ids is not None:
            on_ids(dict(zip(rows[going].tolist(), new[going].tolist(), strict=True)))
        going = going & ~torch.isin(new, stops)
        if step + 1 == max_new_tokens:
            break
        if (not stays or step % CHECK_EVERY == CHECK_EVERY - 1) and not bool(going.any()):
            break
        if not stays and not bool(going.all()):
            rows, new = rows[going], new[going]
            reading.keep(torch.nonzero(going).squeeze(-1))
            going = going[going]
        going_on.step(embed(new[:, None]))
    lengths = _until_stop(ids, stops).tolist()
    return TextSamples(
        [row[:length] for row, length in zip(ids.tolist(), lengths, strict=True)],
        [row[:length] for row, length in zip(logps.tolist(), lengths, strict=True)],
    )


def _penalised(logits: torch.Tensor, never: int, said: torch.Tensor | None, penalty: float) -> torch.Tensor:
    """What is chosen by: logits (R, V) without the id that is never said, and less for ids (R, V) already said."""
    scores = logits.clone()
    scores[:, never] = -torch.inf
    if said is None:
        return scores
    return torch.where(said, torch.where(scores > 0, scores / penalty, scores * penalty), scores)


def _until_stop(ids: torch.Tensor, stops: torch.Tensor) -> torch.Tensor:
    """(N,) how many ids of each row (N, T) count: those before its first stop id and that one; -1 was never written."""
    written = (ids >= 0).sum(1)
    ends = torch.isin(ids, stops)
    first = torch.where(ends.any(1), ends.int().argmax(1) + 1, written)
    return torch.minimum(first, written)
