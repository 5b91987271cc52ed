"""The text sampling loop that every family shares, on top of `prefill.py`.

Dimension letters: N samples, R samples still in the batch, H hidden size, T new positions, V the text vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from pipelines.models.decoding.prefill import DecoderState
from pipelines.models.decoding.sampling import (
    Generators,
    LogitsProcessor,
    OnIds,
    Sampling,
    TextSamples,
    choose_ids,
)
from pipelines.models.decoding.static_decode import is_faster_on, static_decoding

STOP_CHECK_INTERVAL = 8
"""Steps between asking a GPU whether all samples have stopped: asking waits for everything launched before."""


def decode_text(
    state: DecoderState,
    head: Callable[[torch.Tensor], torch.Tensor],
    embed: Callable[[torch.Tensor], torch.Tensor],
    *,
    forbidden_id: int,
    sampling: Sampling,
    stop_ids: tuple[int, ...],
    generator: Generators,
    on_ids: OnIds | None,
    logits_processor: LogitsProcessor | None = None,
) -> TextSamples:
    """Continue the N rows of `state`, each up to and including its first stop id.

    head: hidden states (R, H) to logits (R, V); embed: ids (R, 1) to (R, 1, H); forbidden_id: never sampled;
    logits_processor: changes the scores of each step last, before temperature and nucleus.
    The repetition penalty counts a sample's own new ids. Samples that have stopped leave the batch; on a GPU they stay,
    since a captured step has static shapes (`static_decode.py`), and their further ids are dropped.
    """
    max_new_tokens, penalty, temperature = sampling.max_new_tokens, sampling.repetition_penalty, sampling.temperature
    static_shapes = is_faster_on(state.hidden.device)
    decoder = static_decoding(state, max_new_tokens)
    count, device = len(state.hidden), state.hidden.device
    ids = torch.full((count, max_new_tokens), -1, dtype=torch.long, device=device)  # (N, T), -1: not sampled
    logps = torch.zeros(ids.shape, device=device)
    used: torch.Tensor | None = None  # (N, V) ids that a sample already has; only needed for the penalty
    stops = torch.tensor(stop_ids, dtype=torch.long, device=device)
    rows = torch.arange(count, device=device)  # (R,) samples still in the batch
    unfinished = torch.ones_like(rows, dtype=torch.bool)  # (R,)
    for step in range(max_new_tokens):
        logits = head(decoder.hidden).float()  # (R, V)
        if penalty != 1.0 and used is None:
            used = logits.new_zeros(count, logits.shape[-1], dtype=torch.bool)
        scores = _adjusted(logits, forbidden_id, None if used is None else used[rows], penalty)
        scores = scores if logits_processor is None else logits_processor(step, rows, ids, scores)
        # With static shapes all rows stay in order, so a range serves: reading `rows` would wait for the GPU.
        chosen_rows = range(count) if static_shapes else rows
        new = choose_ids(scores, chosen_rows, count, generator, temperature, top_p=sampling.top_p)  # (R,)
        ids[rows, step] = new
        # What training needs: log-probabilities of the model itself, before penalty, temperature and nucleus.
        logps[rows, step] = logits.log_softmax(-1).gather(-1, new[:, None]).squeeze(-1)
        if used is not None:
            used[rows, new] = True
        if on_ids is not None:
            on_ids(dict(zip(rows[unfinished].tolist(), new[unfinished].tolist(), strict=True)))
        unfinished = unfinished & ~torch.isin(new, stops)
        if step + 1 == max_new_tokens:
            break
        if (not static_shapes or step % STOP_CHECK_INTERVAL == STOP_CHECK_INTERVAL - 1) and not unfinished.any():
            break
        if not static_shapes and not bool(unfinished.all()):
            rows, new = rows[unfinished], new[unfinished]
            state.keep(torch.nonzero(unfinished).squeeze(-1))
            unfinished = unfinished[unfinished]
        decoder.step(embed(new[:, None]))
    lengths = _lengths(ids, stops).tolist()
    return TextSamples(
        [row[:length] for row, length in zip(ids.tolist(), lengths, strict=True)],
        [row[:length] for row, length in zip(logps.tolist(), lengths, strict=True)],
    )


def _adjusted(logits: torch.Tensor, forbidden_id: int, used: torch.Tensor | None, penalty: float) -> torch.Tensor:
    """A copy of logits (R, V) without the forbidden id and with the penalty on ids (R, V) already used."""
    scores = logits.clone()
    scores[:, forbidden_id] = -torch.inf
    if used is None:
        return scores
    return torch.where(used, torch.where(scores > 0, scores / penalty, scores * penalty), scores)


def _lengths(ids: torch.Tensor, stops: torch.Tensor) -> torch.Tensor:
    """(N,) how many ids of each row (N, T) count: up to and including its first stop id, or all that were sampled."""
    sampled = (ids >= 0).sum(1)
    is_stop = torch.isin(ids, stops)
    first = torch.where(is_stop.any(1), is_stop.int().argmax(1) + 1, sampled)
    return torch.minimum(first, sampled)
