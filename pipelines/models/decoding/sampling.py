"""Sampling of next tokens: the settings, one step from logits to ids, and what a sampler returns.

The samplers of the families (`sample_text`, `sample_images`) take a `Sampling` and unpack it before their loops.

Dimension letters: B rows, R rows still in the batch, P prompts, G samples of a prompt, V ids, N images, C codes of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

Generators = torch.Generator | Sequence[torch.Generator] | None
"""One generator for a whole batch, or one for each prompt: then its samples do not depend on the other prompts."""

OnIds = Callable[[dict[int, int]], None]
"""Called after every step with {sample: its new id} for the samples that have not stopped. An exception raised in it
ends the sampling and propagates."""

LogitsProcessor = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(step, rows (R,), ids (N, T), scores (R, V)) -> scores (R, V) to sample from: rows are the samples still in the
batch, ids what every sample has so far, scores the logits. As transformers' class of that name, but told which rows it
gets."""


@dataclass(frozen=True)
class Sampling:
    """How text and images are sampled; names as in transformers' `GenerationConfig` where it has one."""

    max_new_tokens: int = 96
    """Text ids at most; an image always has all its codes."""
    temperature: float = 0.8
    """Of text; 0 is greedy."""
    top_p: float = 0.95
    """Of text: the smallest set of ids that has this share of the probability; 1 keeps all."""
    repetition_penalty: float = 1.0
    """Divides positive logits of ids that the reply already has, multiplies negative ones; prompts do not count."""
    guidance_scale: float = 1.0
    """Classifier-free guidance g of images: logits are u + g * (c - u); 1 needs no unconditional branch."""
    image_temperature: float = 1.0
    """Of image codes; 0 is greedy."""
    image_top_k: int = 0
    """Of image codes: the k likeliest; 0 keeps all."""
    flow_steps: int = 0
    """Steps in which latents are drawn, by a family that has them instead of codes; 0: as many as for people."""
    flow_window: tuple[int, ...] = ()
    """Which of these steps are stochastic and written down, so that practice can learn from their probabilities."""
    flow_noise: float = 1.0
    """Strength of the noise of stochastic steps."""


DEFAULT_SAMPLING = Sampling()


@dataclass
class TextSamples:
    """Sampled text, prompt-major: sample g of prompt p is entry p * G + g."""

    ids: list[list[int]]
    """New ids only, the stop id included when it was sampled."""
    logps: list[list[float]]
    """Log-probability of each id under the untempered, unfiltered model."""


@dataclass(frozen=True, eq=False)
class FlowStep:
    """One stochastic step of N drawings of latents."""

    t: float
    """Noise level before it."""
    t_next: float
    first_t: float
    """The second noise level of the drawing, which stands for `t` in a formula where `t` is 1."""
    x: torch.Tensor
    """(N, C, W) before it, float32."""
    x_next: torch.Tensor
    """(N, C, W) after it, as sampled."""
    mean: torch.Tensor
    """(N, C, W) of what it was sampled from."""
    logps: torch.Tensor
    """(N,) log-probability of what was sampled, a mean over all numbers."""

    def select(self, images: Sequence[int]) -> FlowStep:
        """The same of some of the drawings."""
        rows = torch.tensor(images, device=self.x.device)
        x, x_next, mean, logps = (part[rows] for part in (self.x, self.x_next, self.mean, self.logps))
        return replace(self, x=x, x_next=x_next, mean=mean, logps=logps)


def joined_steps(steps: Sequence[FlowStep]) -> FlowStep:
    """The same step of several batches of drawings as one of all of them."""
    x, x_next, mean, logps = (
        torch.cat(parts) for parts in zip(*((one.x, one.x_next, one.mean, one.logps) for one in steps), strict=True)
    )
    return replace(steps[0], x=x, x_next=x_next, mean=mean, logps=logps)


@dataclass
class ImageSamples:
    """Sampled images, prompt-major."""

    codes: torch.Tensor
    """(N, C) int64 in [0, codebook)."""
    logps: torch.Tensor
    """(N, C) float32, under the untempered, unfiltered model without guidance; zeros where images are latents."""
    latents: torch.Tensor | None = None
    """(N, C, W) float32 of a family that draws latents, whose codes are all 0."""
    steps: list[FlowStep] = field(default_factory=list)
    """The stochastic steps of `Sampling.flow_window`."""

    @property
    def images(self) -> torch.Tensor:
        """What `UnifiedModel.decode_images` takes."""
        return self.codes if self.latents is None else self.latents


NUCLEUS_WIDTHS = (1024, 8192)
"""How many of the likeliest ids are searched for the nucleus (top-p) first, and second, before all are sorted."""


def next_ids(
    logits: torch.Tensor,
    temperature: float,
    top_p: float = 1.0,
    top_k: int = 0,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Sample one id for each row of logits (B, V): greedy at temperature 0, else top-k, then nucleus (top-p)."""
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits.float() / temperature
    if top_k:
        kept = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < kept, -torch.inf)
    if top_p < 1:
        ranked, order, share = _likeliest(logits, top_p)
        outside = share.cumsum(-1) - share >= top_p  # the id that crosses the nucleus is kept
        outside[:, 0] = False  # and always the likeliest, whatever top_p
        rank = torch.multinomial(ranked.masked_fill(outside, -torch.inf).softmax(-1), 1, generator=generator)  # (B, 1)
        return order.gather(-1, rank).squeeze(-1)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1)


def _likeliest(logits: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of the likeliest ids in descending order: logits, ids and probabilities (B, K) that sum to `top_p` at least."""
    # A full sort of 49,152 logits costs more than the head that made them, and the nucleus is nearly always short.
    # On a GPU the sort is cheap, and asking whether it is needed would wait for everything launched before.
    if not logits.is_cuda:
        total = logits.logsumexp(-1, keepdim=True)
        for width in NUCLEUS_WIDTHS:
            ranked, order = logits.topk(min(width, logits.shape[-1]), dim=-1)
            share = (ranked - total).exp()
            if bool((share.sum(-1) >= top_p).all()):
                return ranked, order, share
    ranked, order = logits.sort(dim=-1, descending=True)
    return ranked, order, ranked.softmax(-1)


def choose_ids(
    logits: torch.Tensor,
    rows: torch.Tensor | range,
    samples: int,
    generator: Generators,
    temperature: float,
    top_p: float = 1.0,
    top_k: int = 0,
) -> torch.Tensor:
    """`next_ids` with one generator for all rows, or with each prompt's own for the rows that are its samples.

    logits (R, V); rows (R,) which of the `samples` prompt-major samples each row is, ascending.
    """
    if generator is None or isinstance(generator, torch.Generator):
        return next_ids(logits, temperature, top_p, top_k, generator)
    # Each generator draws alone: the width of a draw depends on the rows drawn together (NUCLEUS_WIDTHS), so a sample
    # would otherwise depend on the other prompts.
    row_numbers = rows if isinstance(rows, range) else rows.tolist()
    prompts = [row // (samples // len(generator)) for row in row_numbers]
    draws: list[tuple[torch.Generator, int]] = []  # (generator, how many rows it draws)
    for own, count in zip(generator, map(prompts.count, range(len(generator))), strict=True):
        if draws and draws[-1][0] is own:  # a prompt that is given once for each sample: they draw together
            draws[-1] = (own, draws[-1][1] + count)
        else:
            draws.append((own, count))
    parts = logits.split([count for _, count in draws])
    drawn = zip(parts, draws, strict=True)
    return torch.cat([next_ids(part, temperature, top_p, top_k, own) for part, (own, _) in drawn if len(part)])
