"""Sampling for the starter: words through the shared reading and writing, pictures in whole groups.

A prompt is read once; what was read is then repeated for the samples of its group. Letters: P prompts, G group,
N = P * G samples, prompt-major.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pipelines.models.decoding.decode_text import decode_text
from pipelines.models.decoding.kv_cache import preallocated_cache
from pipelines.models.decoding.multi_lora import LoraBatch, apply_loras
from pipelines.models.decoding.prefill import eval_mode, pad_right, read_prompts, shared_prefix_length
from pipelines.models.decoding.sampling import (
    DEFAULT_SAMPLING,
    Generators,
    ImageSamples,
    OnIds,
    Sampling,
    TextSamples,
    choose_ids,
)
from pipelines.models.interface import restart_positions

if TYPE_CHECKING:
    from pipelines.models.starter.model import StarterModel


@torch.no_grad()
def sample_text(
    model: StarterModel,
    prompts: list[list[int]],
    sampling: Sampling = DEFAULT_SAMPLING,
    *,
    num_return_sequences: int = 1,
    stop_ids: tuple[int, ...] = (),
    pixel_values: torch.Tensor | None = None,
    generator: Generators = None,
    loras: LoraBatch | None = None,
    on_ids: OnIds | None = None,
) -> TextSamples:
    """See `UnifiedModel.sample_text`."""
    image_placeholder_id, language = model.spec.image_placeholder_id, model.language

    def embed(ids: torch.Tensor) -> torch.Tensor:
        # The shared start of the prompts never holds a look placeholder, so the rest gets all pictures.
        return model.embed_words(ids, pixel_values if bool((ids == image_placeholder_id).any()) else None)

    with eval_mode(model), apply_loras(model, loras):
        if loras is not None:
            loras.start()
        with model.glance.feeding():
            reading = read_prompts(
                language.model,
                embed,
                prompts,
                pad_id=model.spec.pad_id,
                alone_from=image_placeholder_id,
                loras=loras,
            )
        reading.repeat(num_return_sequences)
        return decode_text(
            reading,
            language.lm_head,
            language.get_input_embeddings(),
            never=image_placeholder_id,
            sampling=sampling,
            stop_ids=stop_ids,
            generator=generator,
            on_ids=on_ids,
        )


@torch.no_grad()
def sample_images(
    model: StarterModel,
    prompts: list[list[int]],
    sampling: Sampling = DEFAULT_SAMPLING,
    *,
    num_return_sequences: int = 1,
    pixel_values: torch.Tensor | None = None,
    generator: Generators = None,
    loras: LoraBatch | None = None,
    on_ids: OnIds | None = None,
) -> ImageSamples:
    """See `UnifiedModel.sample_images`."""
    with apply_loras(model, loras):
        if loras is not None:
            loras.start()
        context, mask = _contexts(model, prompts, pixel_values, loras)
        context, mask = (
            context.repeat_interleave(num_return_sequences, 0),
            mask.repeat_interleave(num_return_sequences, 0),
        )
        if loras is not None:
            loras.repeat(num_return_sequences)
            if sampling.guidance_scale != 1.0:
                loras.double()
        return _draw(model, context, mask, sampling, generator, on_ids)


def _draw(
    model: StarterModel,
    context: torch.Tensor,
    mask: torch.Tensor,
    sampling: Sampling,
    generator: Generators,
    on_ids: OnIds | None,
) -> ImageSamples:
    """Codes behind contexts (N, K', D) with their mask."""
    expert, count = model.picture, len(context)
    guidance, temperature, top_k = sampling.guidance_scale, sampling.image_temperature, sampling.image_top_k
    if guidance != 1.0:  # the empty branch stands behind the full one in one batch
        bare = torch.zeros_like(mask)
        bare[:, -1] = True
        context = torch.cat([context, expert.nothing.to(context.dtype).expand_as(context)])
        mask = torch.cat([mask, bare])
    rows, width = mask.shape
    first = model.config.context_tokens - width
    cache = preallocated_cache(expert.decoder.config)
    inputs, positions = context, torch.arange(first, model.config.context_tokens, device=model.device)[None]
    codes = torch.zeros(count, model.spec.image_tokens, dtype=torch.long, device=model.device)
    logps = torch.zeros(codes.shape, device=model.device)
    samples = torch.arange(count, device=model.device)
    for place in range(model.spec.image_tokens):
        hidden = expert.decoder(
            inputs_embeds=inputs,
            attention_mask=mask.long(),
            position_ids=positions.expand(rows, -1),
            cache=cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        logits = expert.head(hidden).float()
        plain = logits[:count]
        mixed = plain if guidance == 1.0 else logits[count:] + guidance * (plain - logits[count:])
        new = choose_ids(mixed, samples, count, generator, temperature, top_k=top_k)
        codes[:, place] = new
        logps[:, place] = plain.log_softmax(-1).gather(-1, new[:, None]).squeeze(-1)
        if on_ids is not None:
            on_ids(dict(enumerate(new.tolist())))
        inputs = expert.embed(new.repeat(rows // count)[:, None], place)
        mask = torch.cat([mask, mask.new_ones(rows, 1)], 1)
        positions = positions[:, -1:] + 1
    return ImageSamples(codes, logps)


def _contexts(
    model: StarterModel, prompts: list[list[int]], pixel_values: torch.Tensor | None, loras: LoraBatch | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Decoder inputs (P, K', D) and mask for prompts that end in the begin-of-picture id."""
    from pipelines.models.starter.model import EncodedText, words_of

    for prompt in prompts:
        if prompt[-1] != model.spec.boi_id:
            raise ValueError("a picture prompt must end in the begin-of-picture id")
    if loras is not None and not loras.alike:  # adapters are told apart by row, so each prompt gets its own
        ids, real = pad_right(prompts, model.spec.pad_id, model.device)
        words = words_of(ids, real.bool(), None)
        _, middle = model.read(words, pixel_values, need_words=False)
        hidden, seen = model.gather_context(
            words, middle, torch.arange(len(prompts), device=model.device), real.sum(1) - 1
        )
        return model.picture.context(hidden, seen)
    # One packed row: what all prompts begin with is read once (segment 0), every rest is a segment of its own.
    shared = shared_prefix_length(prompts, model.spec.image_placeholder_id)
    rests = [prompt[shared:] for prompt in prompts]
    lengths = torch.tensor([len(rest) for rest in rests], device=model.device)
    ids = torch.tensor([prompts[0][:shared] + [token for rest in rests for token in rest]], device=model.device)
    own = torch.arange(1, len(prompts) + 1, device=model.device).repeat_interleave(lengths)
    segments = torch.cat([own.new_zeros(shared), own])[None]  # (1, T)
    places = torch.arange(ids.shape[1], device=model.device)[None]
    words = EncodedText(ids, torch.ones_like(ids, dtype=torch.bool), segments, restart_positions(segments), places)
    _, middle = model.read(words, pixel_values, need_words=False)
    columns = shared + lengths.cumsum(0) - 1
    hidden, seen = model.gather_context(words, middle, torch.zeros_like(columns), columns)
    return model.picture.context(hidden, seen)
