"""`bench_reply`: seconds of one chat reply, and of two checkpoints answering together.

Ours is what the chat calls: the persona has been read for an earlier reply, the question is new. Plain samples words
with the library's `generate`, then reads prompt and words again and draws with `generate` of a LlamaForCausalLM made of
the decoder and head. Both answer one prompt with the same number of words and one picture, without guidance.
Under "first_text" stands the time to the first words alone (the library's come all at once), under "pair" two adapters
that answer in one batch against the same two one after the other, drawn with the chat's guidance.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from transformers import LlamaForCausalLM

from pipelines.benchmarks.bench_character import WORDS, always_draws, bench_character
from pipelines.benchmarks.paired_timing import compare
from pipelines.core.character.character import Character, Interaction
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import BASE
from pipelines.data.chat_template import prompt, user
from pipelines.inference.engine import InferenceEngine
from pipelines.inference.generate import CHAT_SAMPLING, GenerationRequest
from pipelines.inference.generate_images import to_image
from pipelines.inference.streaming import Reply, ReplyDone
from pipelines.models.starter.model import StarterModel
from pipelines.training.sft_loss import lora_config


def bench_reply(base: str = "starter", repeats: int = 3, words: int = WORDS) -> dict[str, Any]:
    """Seconds of a reply with `words` text ids and a picture; ValueError for a base that is no starter.

    "pair" has also `times_one`: the pair's seconds divided by those of one reply, median.
    """
    engine = InferenceEngine(base)
    if not isinstance(engine.model, StarterModel):
        raise ValueError(f"bench reply compares the starter with the library; {base!r} is another family")
    with tempfile.TemporaryDirectory() as scratch:
        character = bench_character(Path(scratch))
        for number, name in enumerate(("left", "right")):
            _write_adapter(engine.model, Path(scratch) / name, number)
            engine.add(name, Path(scratch) / name)
    numbers = itertools.count(1)

    def question() -> Interaction:
        return (user(f"Hello! This is question {next(numbers)}. Where are you, and what are you wearing today?"),)

    def together(*names: str, guidance: float = CHAT_SAMPLING.guidance_scale) -> list[Reply]:
        history = question()
        requests = [GenerationRequest(character, history, name, next(numbers), "always") for name in names]
        sampling = replace(CHAT_SAMPLING, repetition_penalty=1.0, max_new_tokens=words, guidance_scale=guidance)
        parts = engine.replies(requests, sampling=sampling)
        return [part.reply for part in parts if isinstance(part, ReplyDone)]

    def ours() -> Reply:
        [whole] = together(BASE, guidance=1.0)
        return whole

    def plain() -> tuple[float, float]:
        started = time.perf_counter()
        first_text_s, _ = _plain_reply(engine, character, question(), words, started)
        return first_text_s, time.perf_counter() - started

    def both() -> float:
        return max(reply.seconds for reply in together("left", "right"))

    def one_after_the_other() -> float:
        return sum(reply.seconds for name in ("left", "right") for reply in together(name))

    with always_draws(engine.model, words):
        answer = compare("reply", "s", lambda: ours().seconds, lambda: plain()[1], repeats, more_is_faster=False)
        answer["first_text"] = compare(
            "first text", "s", lambda: ours().first_text_s, lambda: plain()[0], repeats, more_is_faster=False
        )
        pair = compare("pair of replies", "s", both, one_after_the_other, repeats, more_is_faster=False)
    answer["pair"] = pair | {"times_one": 2 / pair["ratio_median"]}
    return answer


def _write_adapter(model: StarterModel, folder: Path, seed: int) -> None:
    # As large as a trained one, and as little as a short training moves the model.
    torch.manual_seed(seed)
    adapted = get_peft_model(model, lora_config(model, Recipe()))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=1e-3)
    adapted.save_pretrained(folder)
    adapted.unload()


@torch.no_grad()
def _plain_reply(
    engine: InferenceEngine, character: Character, history: Interaction, words: int, started: float
) -> tuple[float, Any]:
    """Seconds until the words, and the picture."""
    model: StarterModel = engine.model
    ids = prompt(character, history, model.spec, engine.tokenizer).ids
    sampled = model.language.generate(
        input_ids=torch.tensor([ids], device=model.device),
        do_sample=True,
        temperature=0.8,
        top_p=0.95,
        top_k=0,
        max_new_tokens=words,
        min_new_tokens=words,
        pad_token_id=model.spec.pad_id,
    )
    first_text_s = time.perf_counter() - started
    with torch.device("meta"):
        library = LlamaForCausalLM(model.picture.decoder.config)
    library.model, library.lm_head = model.picture.decoder, model.picture.head
    sampled[0, -1] = model.spec.boi_id
    middle = model.language.model(input_ids=sampled, output_hidden_states=True, use_cache=False).hidden_states[
        model.config.context_layer
    ]
    context = model.picture.connector(middle[:, -model.config.context_tokens :])
    count = model.spec.image_tokens
    codes = library.generate(inputs_embeds=context, do_sample=True, top_k=0, max_new_tokens=count, min_new_tokens=count)
    return first_text_s, to_image(model.decode_images(codes)[0])
