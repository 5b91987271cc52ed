"""`bench_sample`: words and pictures a second, against the library's own `generate`.

Both sample the same number of words (no stop id) and whole pictures, for the same prompts and groups, with the same
temperature and nucleus. The library reads every sample's prompt; ours reads what prompts share once. The headline is
words; pictures stand under "pictures". Janus' pictures are compared with its `generate(generation_mode="image")`, the
starter's with `generate` of a LlamaForCausalLM made of its decoder and head.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import JanusForConditionalGeneration, LlamaForCausalLM

from pipelines.benchmarks.bench_character import bench_character
from pipelines.benchmarks.paired_timing import compare
from pipelines.data.chat_template import render
from pipelines.data.samples import grpo_prompts
from pipelines.models.decoding.prefill import pad_left
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.interface import ModelSpec
from pipelines.models.janus import JanusModel
from pipelines.models.presets import load

PROMPTS, GROUP, WORDS = 2, 8, 48
"""As in a step of Character-GRPO."""


def bench_sample(base: str = "starter", repeats: int = 3, words: int = WORDS) -> dict[str, Any]:
    """Tokens a second, and under "pictures" pictures a second."""
    model, tokenizer = load(base)
    with tempfile.TemporaryDirectory() as scratch:
        character = bench_character(Path(scratch))
    asked = grpo_prompts(character, PROMPTS, 0)
    prompts = [render(prompt.messages, model.spec, tokenizer, add_reply=True).ids for prompt in asked]
    drawing = [[*prompt, model.spec.boi_id] for prompt in prompts]
    ids, mask = pad_left(prompts, model.spec.pad_id, model.device)
    tokens, pictures = PROMPTS * GROUP * words, PROMPTS * GROUP
    is_janus = isinstance(model, JanusModel)
    library = _library_janus(model) if is_janus else model.language

    def library_words() -> None:
        library.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=True,
            temperature=0.8,
            top_p=0.95,
            top_k=0,
            num_return_sequences=GROUP,
            max_new_tokens=words,
            min_new_tokens=words,
            pad_token_id=model.spec.pad_id,
        )

    def our_words() -> None:
        model.sample_text(prompts, sampling, num_return_sequences=GROUP)

    sampling = Sampling(max_new_tokens=words, temperature=0.8, top_p=0.95)
    # The library's Janus cannot draw without guidance, so both draw with it there.
    guidance = 5.0 if is_janus else 1.0
    guided = Sampling(guidance_scale=guidance)
    plain = _janus_pictures(library, drawing, model.spec, guidance) if is_janus else _starter_pictures(model, drawing)
    answer = compare("sample", "tokens/s", _rate(our_words, tokens), _rate(library_words, tokens), repeats)
    answer["pictures"] = compare(
        "sample pictures",
        "pictures/s",
        _rate(lambda: model.sample_images(drawing, guided, num_return_sequences=GROUP), pictures),
        _rate(plain, pictures),
        repeats,
    )
    return answer


def _rate(work: Callable[[], object], count: int) -> Callable[[], float]:
    # What `compare` calls: do the work once, return how much of it was done a second.
    def measured() -> float:
        started = time.perf_counter()
        with torch.no_grad():
            work()
        return count / (time.perf_counter() - started)

    return measured


def _library_janus(model: JanusModel) -> JanusForConditionalGeneration:
    # The library's own class with the same weights: ours keeps the one forward of its contract.
    library = JanusForConditionalGeneration(model.config).to(model.device, model.dtype).eval()
    library.load_state_dict(model.state_dict())
    library.generation_config = model.generation_config
    return library


def _janus_pictures(
    library: JanusForConditionalGeneration, drawing: list[list[int]], spec: ModelSpec, guidance: float
) -> Callable[[], object]:
    ids, mask = pad_left(drawing, spec.pad_id, library.device)
    return lambda: library.generate(
        input_ids=ids.repeat_interleave(GROUP, 0),
        attention_mask=mask.repeat_interleave(GROUP, 0),
        generation_mode="image",
        do_sample=True,
        top_k=0,
        guidance_scale=guidance,
        pad_token_id=spec.pad_id,
    )


def _starter_pictures(model: Any, drawing: list[list[int]]) -> Callable[[], object]:
    # The decoder's place vectors are left out: the library adds none, and they cost nothing.
    with torch.device("meta"):
        library = LlamaForCausalLM(model.picture.decoder.config)
    library.model, library.lm_head = model.picture.decoder, model.picture.head
    ids, mask = pad_left(drawing, model.spec.pad_id, model.device)
    codes = model.spec.image_tokens

    def draw() -> None:
        hidden = model.language.model(
            input_ids=ids.repeat_interleave(GROUP, 0),
            attention_mask=mask.repeat_interleave(GROUP, 0),
            output_hidden_states=True,
            use_cache=False,
        ).hidden_states[model.config.context_layer]
        context = model.picture.connector(hidden[:, -model.config.context_tokens :])
        library.generate(inputs_embeds=context, do_sample=True, top_k=0, max_new_tokens=codes, min_new_tokens=codes)

    return draw
