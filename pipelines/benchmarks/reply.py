"""`bench_reply`: seconds until the picture of one chat reply, against the library's own `generate`.

Ours is `preview.reply` as the chat calls it. Plain samples words with `generate`, then reads prompt and words again
and draws with `generate` of a LlamaForCausalLM made of the decoder and head. Both answer one prompt with the same
number of words and one picture, without guidance. Time to the words alone stands under "first_text".
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM

from pipelines.benchmarks.grpo import WORDS, always_draws, bench_character
from pipelines.benchmarks.pairs import compare
from pipelines.models import load
from pipelines.models.starter.model import StarterModel
from pipelines.preview import Sampling, reply, to_image
from pipelines.render import prompt, user

ASKED = "Hello! Where are you, and what are you wearing today?"


def bench_reply(base: str = "starter", repeats: int = 3, words: int = WORDS) -> dict[str, Any]:
    """Seconds of a reply with `words` text ids and a picture; ValueError for a base that is no starter."""
    model, tokenizer = load(base)
    if not isinstance(model, StarterModel):
        raise ValueError(f"bench reply compares the starter with the library; {base!r} is another family")
    with tempfile.TemporaryDirectory() as scratch:
        character = bench_character(Path(scratch))
    history = (user(ASKED),)
    sampling = Sampling(reply_tokens=words, guidance=1.0)
    ids = prompt(character, history, model.shape, tokenizer).ids
    firsts: dict[str, float] = {}

    def ours() -> float:
        with always_draws(model, words):
            answer = reply(model, tokenizer, character, history, picture="always", sampling=sampling)
        firsts["ours"] = answer.first_text_s
        return answer.seconds

    def plain() -> float:
        started = time.perf_counter()
        firsts["plain"], _ = _plain_reply(model, ids, words, started)
        return time.perf_counter() - started

    answer = compare("reply", "s", ours, plain, repeats, more_is_faster=False)

    def first(which: str, whole: Any) -> float:
        whole()
        return firsts[which]

    answer["first_text"] = compare(
        "first text", "s", lambda: first("ours", ours), lambda: first("plain", plain), repeats, more_is_faster=False
    )
    return answer


@torch.no_grad()
def _plain_reply(model: StarterModel, ids: list[int], words: int, started: float) -> tuple[float, Any]:
    """Seconds until the words, and the picture."""
    sampled = model.language.generate(
        input_ids=torch.tensor([ids], device=model.device), do_sample=True, temperature=0.8, top_p=0.95, top_k=0,
        max_new_tokens=words, min_new_tokens=words, pad_token_id=model.shape.pad_id,
    )  # fmt: skip
    first_text_s = time.perf_counter() - started
    with torch.device("meta"):
        library = LlamaForCausalLM(model.picture.decoder.config)
    library.model, library.lm_head = model.picture.decoder, model.picture.head
    sampled[0, -1] = model.shape.boi_id
    middle = model.language.model(
        input_ids=sampled, output_hidden_states=True, use_cache=False
    ).hidden_states[model.config.context_layer]  # fmt: skip
    context = model.picture.connector(middle[:, -model.config.context_tokens :])
    count = model.shape.picture_tokens
    codes = library.generate(
        inputs_embeds=context, do_sample=True, top_k=0, max_new_tokens=count, min_new_tokens=count
    )  # fmt: skip
    return first_text_s, to_image(model.decode_pictures(codes)[0])
