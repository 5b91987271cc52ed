"""Drawing images and writing text behind contexts, many rows at once.

A noised image is a query of its marks and latents on a context, at one position number, and is not kept. Branches of
guidance are more rows of the same pass, each with its own context and position.

Dimension letters: R images, N tokens of one, D width of the decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from pipelines.models.bagel.config import LATENT_PATCH
from pipelines.models.bagel.contexts import Context, ContextBatch
from pipelines.models.bagel.decoder import Routing
from pipelines.models.bagel.flow import (
    FlowSampling,
    euler_step,
    guide,
    noise_levels,
    sde_step,
)
from pipelines.models.bagel.model import BagelModel
from pipelines.models.bagel.patches import from_patches, grid_ids
from pipelines.models.bagel.rows import Segment, Text
from pipelines.models.decoding.decode_text import decode_text
from pipelines.models.decoding.kv_cache import preallocated_cache
from pipelines.models.decoding.multi_lora import Adapter, LoraBatch, apply_loras
from pipelines.models.decoding.prefill import DecoderState, eval_mode
from pipelines.models.decoding.sampling import (
    DEFAULT_SAMPLING,
    FlowStep,
    Generators,
    LogitsProcessor,
    OnIds,
    Sampling,
    TextSamples,
)


@dataclass(frozen=True, eq=False)
class DrawingContexts:
    """What an image is drawn behind, and what guidance compares with."""

    full: Context
    without_text: Context
    """As it was right before the last text."""
    without_images: Context
    """All texts, no image."""


@dataclass(frozen=True, eq=False)
class DrawingStep:
    """Where a drawing stands before a step; shown as progress."""

    step: int
    steps: int
    t: float
    x: torch.Tensor
    """(R, N, 64) at noise level t."""
    velocity: torch.Tensor
    """(R, N, 64) guided."""

    @property
    def estimate(self) -> torch.Tensor:
        """(R, N, 64) the image that the velocity points away from."""
        return self.x - self.t * self.velocity


@dataclass
class Window:
    """Steps that are stochastic; filled while drawing."""

    steps: frozenset[int]
    eta: float
    generator: Generators = None
    """One, or one for each prompt of the images, which come prompt-major."""
    taken: list[FlowStep] = field(default_factory=list)


OnStep = Callable[[DrawingStep], None]
"""Called at every step of a drawing; an exception raised in it ends the drawing and propagates."""


def read_prompts(
    model: BagelModel, prompts: Sequence[Sequence[Segment]], adapters: Sequence[Adapter] | None = None
) -> list[Context]:
    """Contexts of prompts, those with one adapter in one pass; adapters: one for each prompt, None for the base."""
    return read_by_adapter(
        model, len(prompts), lambda places: model.read([prompts[place] for place in places]), adapters
    )


def read_by_adapter(
    model: BagelModel,
    count: int,
    read: Callable[[Sequence[int]], list[Context]],
    adapters: Sequence[Adapter] | None,
) -> list[Context]:
    """Contexts of `count` prompts: `read` is called with the numbers of those that have one adapter."""
    with torch.no_grad(), eval_mode(model):
        if adapters is None:
            return read(range(count))
        found: dict[int, Context] = {}
        for adapter in dict.fromkeys(adapters):
            places = [place for place, own in enumerate(adapters) if own is adapter]
            with apply_loras(model, LoraBatch([adapter])):
                found |= dict(zip(places, read(places), strict=True))
        return [found[place] for place in range(count)]


def drawing_contexts(
    model: BagelModel, prompts: Sequence[Sequence[Segment]], adapters: Sequence[Adapter] | None = None
) -> list[DrawingContexts]:
    """Contexts of prompts, each ending in a text; adapters as in `read_prompts`."""
    for prompt in prompts:
        if not prompt or not isinstance(prompt[-1], Text):
            raise ValueError("an image is drawn from a text: the last segment of a prompt must be one")
    full = read_prompts(model, prompts, adapters)
    before = read_prompts(model, [prompt[:-1] for prompt in prompts], adapters)
    words = [[segment for segment in prompt if isinstance(segment, Text)] for prompt in prompts]
    has_images = [len(texts) < len(prompt) for texts, prompt in zip(words, prompts, strict=True)]
    text_only = read_prompts(model, words, adapters) if any(has_images) else full
    return [DrawingContexts(*kinds) for kinds in zip(full, before, text_only, strict=True)]


def velocities(
    model: BagelModel, contexts: ContextBatch, x: torch.Tensor, t: float, grid: tuple[int, int]
) -> torch.Tensor:
    """(R, N, 64) float32 of noised images x (R, N, 64), each behind its own context."""
    rows, tokens, _ = x.shape
    device, ids = x.device, model.config.ids
    marks = model.get_input_embeddings()(torch.tensor([ids.image_start, ids.image_end], device=device))  # (2, D)
    places = grid_ids(grid, model.config.latent_side).to(device).repeat(rows)
    latents = model.embed_latents(x.flatten(0, 1), places, torch.tensor([t], device=device))
    start, end = (mark.expand(rows, 1, -1) for mark in marks)
    is_latent = torch.ones(tokens + 2, dtype=torch.bool, device=device)
    is_latent[0] = is_latent[-1] = False
    output = model.language_model.model(
        inputs_embeds=torch.cat([start, latents.reshape(rows, tokens, -1), end], 1),
        attention_mask=None if contexts.mask is None else contexts.mask.expand(-1, -1, tokens + 2, -1),
        position_ids=contexts.positions[:, None].expand(-1, tokens + 2),
        cache=contexts,
        routing=Routing(is_latent),
    )
    return model.llm2vae(output.last_hidden_state[:, 1:-1]).float()


@torch.no_grad()
def draw(
    model: BagelModel,
    contexts: Sequence[DrawingContexts],
    grid: tuple[int, int],
    noise: torch.Tensor,
    sampling: FlowSampling = FlowSampling(),  # noqa: B008 (frozen)
    *,
    adapters: Sequence[Adapter] | None = None,
    on_step: OnStep | None = None,
    window: Window | None = None,
) -> torch.Tensor:
    """Latent tokens (R, N, 64) float32 of one image of `grid` (h, w) tokens for each context, from noise (R, N, 64).

    All images go through the model together; an image does not depend on the others. adapters: one for each image.
    """
    x = noise.float()
    count, layers = len(x), len(model.language_model.model.layers)
    kinds = [[one.full for one in contexts]]
    if sampling.text_guidance > 1:
        kinds.append([one.without_text for one in contexts])
        if sampling.image_guidance > 1:
            kinds.append([one.without_images for one in contexts])
    levels = noise_levels(sampling.points, sampling.shift).tolist()
    loras = None if adapters is None else LoraBatch(adapters)
    # Without adapters the very forward of training, so that a window's steps score as they were sampled.
    with eval_mode(model), nullcontext() if loras is None else apply_loras(model, loras):
        batch = ContextBatch([one for kind in kinds for one in kind], x.shape[1] + 2, layers, x.device)
        for step, (t, t_next) in enumerate(pairwise(levels)):
            branches = len(kinds) if sampling.guided_at(t) else 1
            if loras is not None:
                loras.start(branches)
            found = velocities(model, batch.first(branches * count), x.repeat(branches, 1, 1), t, grid).split(count)
            velocity = found[0]
            if branches > 1:
                velocity = guide(velocity, found[1], found[2] if branches > 2 else None, sampling)
            if on_step is not None:
                on_step(DrawingStep(step, len(levels) - 1, t, x, velocity))
            if window is not None and step in window.steps:
                x = _stochastic(x, velocity, t, t_next, levels[1], window)
            else:
                x = euler_step(x, velocity, t, t_next)
    return x


def _stochastic(
    x: torch.Tensor, velocity: torch.Tensor, t: float, t_next: float, first_t: float, window: Window
) -> torch.Tensor:
    """One step of the window, which is written down in it."""
    chosen_from = sde_step(x, velocity, t, t_next, window.eta, first_t)
    x_next = chosen_from.mean + chosen_from.std * noise_for(x.shape, window.generator, x.device)
    logps = chosen_from.log_prob(x_next)
    window.taken.append(FlowStep(t, t_next, first_t, x, x_next, chosen_from.mean, logps))
    return x_next


def noise_for(shape: Sequence[int], generator: Generators, device: torch.device) -> torch.Tensor:
    """Normal numbers (R, ...) of images that come prompt-major, each prompt's own where it has a generator."""
    if generator is None or isinstance(generator, torch.Generator):
        return torch.randn(*shape, generator=generator, device=device)
    group = shape[0] // len(generator)
    return torch.cat([torch.randn(group, *shape[1:], generator=own, device=device) for own in generator])


def latents_from(tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Drawn tokens (R, N, 64) as latents (R, 16, 2 h, 2 w), for the autoencoder."""
    return torch.stack([from_patches(one, grid, LATENT_PATCH) for one in tokens])


@torch.no_grad()
def write(
    model: BagelModel,
    contexts: Sequence[Context],
    sampling: Sampling = DEFAULT_SAMPLING,
    *,
    num_return_sequences: int = 1,
    adapters: Sequence[Adapter] | None = None,
    generator: Generators = None,
    on_ids: OnIds | None = None,
    last_ids: Sequence[int] | None = None,
    stop_ids: tuple[int, ...] | None = None,
    logits_processor: LogitsProcessor | None = None,
) -> TextSamples:
    """Sample a text behind each context, prompt-major; ids are without the start mark, the end mark included.

    adapters: one for each context. last_ids: one id that is read behind each context, the start mark unless given.
    stop_ids: what ends a text, the end mark unless given. Keep the ids rather than the words for what comes after:
    tokenizing again may split them in another way.
    """
    ids, decoder = model.config.ids, model.language_model.model
    loras = None if adapters is None else LoraBatch(adapters)
    with eval_mode(model), apply_loras(model, loras):
        state = _decoder_state(model, contexts, loras, last_ids or [ids.text_start] * len(contexts))
        state.repeat(num_return_sequences)
        return decode_text(
            state,
            model.language_model.lm_head,
            decoder.embed_tokens,
            forbidden_id=ids.pad if stop_ids is None else ids.looked_at,
            sampling=sampling,
            stop_ids=(ids.text_end,) if stop_ids is None else stop_ids,
            generator=generator,
            on_ids=on_ids,
            logits_processor=logits_processor,
        )


def _decoder_state(
    model: BagelModel, contexts: Sequence[Context], loras: LoraBatch | None, last_ids: Sequence[int]
) -> DecoderState:
    """Contexts flush right in one cache, with one id of each text read behind them."""
    decoder, device = model.language_model.model, model.device
    lengths = torch.tensor([len(context) for context in contexts], device=device)
    longest = int(lengths.max())
    cache = preallocated_cache(decoder.config)
    for layer in range(len(decoder.layers)):
        batch = _flush_right(contexts, layer, longest)
        if batch is not None:
            cache.update(*batch, layer)
    before = torch.arange(longest, device=device) >= longest - lengths[:, None]  # (N, P)
    positions = torch.tensor([[context.position] for context in contexts], device=device)
    state = DecoderState(decoder, torch.empty(0, device=device), cache, None, positions - 1, loras)
    state.attention_mask = None if bool(before.all()) else before.long()
    state.step(decoder.embed_tokens(torch.tensor(last_ids, device=device)[:, None]))
    return state


def _flush_right(contexts: Sequence[Context], layer: int, longest: int) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Keys and values (N, K, P, W) of one layer; None where no context has any."""
    like = next((context.layers[layer] for context in contexts if context.layers), None)
    if like is None:
        return None
    rows = []
    for part in range(2):
        blank = like[part].new_zeros(len(contexts), like[part].shape[1], longest, like[part].shape[3])
        for row, context in enumerate(contexts):
            if context.layers:
                blank[row, :, longest - len(context) :] = context.layers[layer][part][0]
        rows.append(blank)
    return rows[0], rows[1]
