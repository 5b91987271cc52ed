"""Sampling for the starter: text by the shared prefill and decoding, images by the image expert's own loop.

A prompt is prefilled once; its state is then repeated for the samples of its group.

Dimension letters: P prompts, G samples of a prompt, N = P * G samples, prompt-major; R rows of the decoder (2 N with
guidance), K' context positions in use, C codes of an image, D width of the image expert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache

from pipelines.models.decoding.decode_text import decode_text
from pipelines.models.decoding.kv_cache import preallocated_cache
from pipelines.models.decoding.multi_lora import LoraBatch, apply_loras
from pipelines.models.decoding.prefill import eval_mode, pad_right, prefill_prompts, shared_prefix_length
from pipelines.models.decoding.sampling import (
    DEFAULT_SAMPLING,
    Generators,
    ImageSamples,
    LogitsProcessor,
    OnIds,
    Sampling,
    TextSamples,
    choose_ids,
)
from pipelines.models.starter.encoded_text import packed_prompts, text_of
from pipelines.models.starter.references import EncodedReferences

if TYPE_CHECKING:
    from pipelines.models.starter.model import StarterModel

WORDS_ALONE = 4.0
"""How many times further a drawing without references is guided: 3 where 1.5 is asked for.

Measured on 96 unseen combinations, the expression is as asked in .896 at 1.5 and in .969 at 3. With references 3 draws
their faces instead (.938 at 1.5, .854 at 3, of 48). docs/log.md, 2026-11-27.
"""


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
    logits_processor: LogitsProcessor | None = None,
) -> TextSamples:
    """See `UnifiedModel.sample_text`."""
    image_placeholder_id, language = model.spec.image_placeholder_id, model.language

    def embed(ids: torch.Tensor) -> torch.Tensor:
        # The shared start of the prompts never has an image placeholder, so the rest gets all of pixel_values.
        return model.embed_text(ids, pixel_values if bool((ids == image_placeholder_id).any()) else None)

    with eval_mode(model), apply_loras(model, loras):
        if loras is not None:
            loras.start()
        with model.deep_stack.injecting():
            state = prefill_prompts(
                language.model,
                embed,
                prompts,
                pad_id=model.spec.pad_id,
                unshared_id=image_placeholder_id,
                loras=loras,
            )
        state.repeat(num_return_sequences)
        return decode_text(
            state,
            language.lm_head,
            language.get_input_embeddings(),
            forbidden_id=image_placeholder_id,
            sampling=sampling,
            stop_ids=stop_ids,
            generator=generator,
            on_ids=on_ids,
            logits_processor=logits_processor,
        )


@torch.no_grad()
def sample_images(
    model: StarterModel,
    prompts: list[list[int]],
    sampling: Sampling = DEFAULT_SAMPLING,
    *,
    num_return_sequences: int = 1,
    pixel_values: torch.Tensor | None = None,
    reference_codes: torch.Tensor | None = None,
    generator: Generators = None,
    loras: LoraBatch | None = None,
    on_ids: OnIds | None = None,
) -> ImageSamples:
    """See `UnifiedModel.sample_images`."""
    uniform = loras is None or loras.is_uniform
    with apply_loras(model, loras):
        if loras is not None:
            loras.start()
        context, mask = _contexts(model, prompts, pixel_values, loras)
        references = model.read_references(reference_codes, own_rows=not uniform)
        rows = torch.arange(len(prompts), device=model.device).repeat_interleave(num_return_sequences)
        context, mask = context[rows], mask[rows]
        if loras is not None:
            loras.repeat(num_return_sequences)
            if sampling.guidance_scale != 1.0:
                loras.double()
        if references is not None:
            references = references.select(rows)
        return _sample_codes(model, context, mask, references, sampling, generator, on_ids)


def guidance_of_rows(
    guidance: float, count: int, references: EncodedReferences | None, device: torch.device
) -> torch.Tensor:
    """(N, 1) guidance scale of each row, with WORDS_ALONE for those that see no reference."""
    scale_N1 = torch.full((count, 1), 1 + WORDS_ALONE * (guidance - 1), device=device)
    if references is not None:
        scale_N1[references.mask[:count].any(1)] = guidance
    return scale_N1


def _sample_codes(
    model: StarterModel,
    context: torch.Tensor,
    mask: torch.Tensor,
    references: EncodedReferences | None,
    sampling: Sampling,
    generator: Generators,
    on_ids: OnIds | None,
) -> ImageSamples:
    """Codes behind contexts (N, K', D) with their mask (N, K') and references."""
    expert, count = model.picture, len(context)
    guidance, temperature, top_k = sampling.guidance_scale, sampling.image_temperature, sampling.image_top_k
    if guidance != 1.0:  # the unconditional rows stand behind the conditional ones in one batch
        last_only = torch.zeros_like(mask)
        last_only[:, -1] = True
        context = torch.cat([context, expert.nothing.to(context.dtype).expand_as(context)])
        mask = torch.cat([mask, last_only])
    rows, width = mask.shape
    first = model.config.context_tokens - width
    cache = preallocated_cache(expert.decoder.config)
    scale_N1 = guidance_of_rows(guidance, count, references, model.device)
    if references is not None:
        start_with(cache, references, rows)
        # The unconditional rows see neither words nor references.
        seen = torch.cat([references.mask, torch.zeros_like(references.mask)])[:rows]
        mask = torch.cat([seen, mask], 1)
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
        logits = expert.head(hidden).float()  # (R, codebook)
        conditional = logits[:count]
        guided = conditional if guidance == 1.0 else logits[count:] + scale_N1 * (conditional - logits[count:])
        new = choose_ids(guided, samples, count, generator, temperature, top_k=top_k)  # (N,)
        codes[:, place] = new
        # Of the model itself, untempered and without guidance: what the loss of training scores.
        logps[:, place] = conditional.log_softmax(-1).gather(-1, new[:, None]).squeeze(-1)
        if on_ids is not None:
            on_ids(dict(enumerate(new.tolist())))
        inputs = expert.embed(new.repeat(rows // count)[:, None], place)  # (R, 1, D)
        mask = torch.cat([mask, mask.new_ones(rows, 1)], 1)
        positions = positions[:, -1:] + 1
    return ImageSamples(codes, logps)


def start_with(cache: DynamicCache, references: EncodedReferences, rows: int) -> None:
    """Put the references' keys and values into an empty cache, repeated to `rows` rows."""
    for number, layer in enumerate(references.cache.layers):
        times = rows // len(references.mask)
        cache.update(layer.keys.repeat(times, 1, 1, 1), layer.values.repeat(times, 1, 1, 1), number)


def _contexts(
    model: StarterModel, prompts: list[list[int]], pixel_values: torch.Tensor | None, loras: LoraBatch | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Decoder inputs (P, K', D) and mask (P, K') for prompts that end in the begin-of-image id."""
    for prompt in prompts:
        if prompt[-1] != model.spec.boi_id:
            raise ValueError("a picture prompt must end in the begin-of-picture id")
    if loras is not None and not loras.is_uniform:  # adapters are told apart by row, so each prompt gets a row
        ids, real = pad_right(prompts, model.spec.pad_id, model.device)
        text, columns = text_of(ids, real.bool(), None), real.sum(1) - 1
        rows = torch.arange(len(prompts), device=model.device)
    else:  # one packed row, so that what all prompts begin with is read once
        shared = shared_prefix_length(prompts, model.spec.image_placeholder_id)
        text, columns = packed_prompts(prompts, shared, model.device)
        rows = torch.zeros_like(columns)
    _, context_states = model.hidden_states(text, pixel_values, need_text=False)
    return model.picture.context(*model.gather_context(text, context_states, rows, columns))
