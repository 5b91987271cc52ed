"""What `bench_machine` compares with: transformers' `generate` for pictures, padded samples for stage 1.

The library's model is ours under the library's class, so it takes no memory of its own.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import torch
from transformers import JanusForConditionalGeneration

from pipelines.data.chat_template import render
from pipelines.data.packing import collate, packed_row, render_samples, tokens_after_prefix
from pipelines.data.samples import grpo_prompts, sample_order, training_samples
from pipelines.models.decoding.prefill import pad_left
from pipelines.training.sft_loss import sft_loss

if TYPE_CHECKING:
    from pipelines.benchmarks.machine import Bench

GUIDANCE = 1 + 1e-9
"""The library cannot draw without guidance; so it draws both branches, as everybody's code with it does."""


def plain_pictures(bench: Bench, count: int) -> float:
    """Pictures a second of the library for one prompt, `count` in a batch, with the adapter.

    No library draws latents with such a model: there each is drawn alone, its prompt read for each.
    """
    library, spec = bench.model, bench.model.spec
    prompt = render(grpo_prompts(bench.character, 1, 0)[0].messages, spec, bench.tokenizer, add_reply=True).ids
    if spec.latent_width:
        alone = [*prompt, spec.boi_id]
        bench.student.eval()
        return count / bench.timed(lambda: [library.sample_images([alone]) for _ in range(count)])[0]
    ids, mask = pad_left([[*prompt, spec.boi_id]] * count, spec.pad_id, bench.device)

    def draw() -> torch.Tensor:
        with torch.no_grad():
            return library.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_mode="image",
                do_sample=True,
                top_k=0,
                guidance_scale=GUIDANCE,
                pad_token_id=spec.pad_id,
            )

    bench.student.eval()
    ours = type(library)
    library.__class__ = JanusForConditionalGeneration  # ours adds methods and no weights, and closes `generate`
    try:
        return count / [bench.timed(draw)[0] for _ in range(2)][-1]
    finally:
        library.__class__ = ours


def plain_sft(bench: Bench) -> float:
    """Supervised positions a second with each sample in a row of its own, padded, as many as one of our rows holds."""
    recipe, spec = bench.recipe, bench.model.spec
    samples = [it for it in training_samples(bench.character, recipe.seed) if recipe.task_shares.get(it.task, 0)]
    rendered = render_samples(samples, spec, bench.tokenizer, bench.images, recipe.sft_row_max_tokens)
    count = max(bench.sft_rows(1)[0].segments)
    order = sample_order(samples, tokens_after_prefix(rendered, spec), recipe.task_shares, recipe.seed)
    rows = []
    for number in islice(order, count):
        item = rendered[number]
        rows.append(packed_row([item], 0))

    def step() -> int:
        supervised = 0
        with bench.training(bench.plan.sft):
            for start in range(0, len(rows), 4):  # all at once would not fit where ours does
                batch = collate(rows[start : start + 4], spec, bench.images)
                del batch["segment_ids"]
                batch = {key: value.to(bench.device) for key, value in batch.items()}
                row_loss = sft_loss(bench.student(**batch), batch["labels"], spec.text_vocab)
                row_loss.loss.backward()
                supervised += row_loss.tokens
        bench.update()
        return supervised

    seconds, supervised = [bench.timed(step) for _ in range(2)][-1]
    return float(supervised / seconds)
