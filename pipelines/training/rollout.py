"""Rollouts of stage 2: replies sampled from the current policy, text first and then the codes of an image.

Dimension letters: P prompts of a step, G samples of a prompt (the group), N = P * G samples, prompt-major (sample g of
prompt p is row p * G + g); M of the N that draw an image in one micro-batch; D the judge's embedding width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase

from pipelines.core.jobs.recipe import Recipe
from pipelines.data.chat_template import render, split_reply
from pipelines.data.samples import GrpoPrompt
from pipelines.models.decoding.sampling import Generators, Sampling, TextSamples
from pipelines.models.interface import UnifiedModel
from pipelines.rewards.image_features import ImageFeatures
from pipelines.rewards.judge import Judge


@dataclass(frozen=True)
class Rollouts:
    """N sampled replies, prompt-major; each list has N entries.

    The first three are what TRL's `rollout_func` must return (trl/trainer/grpo_trainer.py, `_generate`); the others
    become columns of the reward functions.
    """

    prompt_ids: list[list[int]]
    completion_ids: list[list[int]]
    """Text ids and their stop id; after `boi_id`, all codes of an image as `text_vocab + code`."""
    logprobs: list[list[float]]
    """Log-probability of each completion id under the policy at temperature 1 and without top-p, nats."""
    texts: list[str]
    scenes: list[str]
    image_features: list[ImageFeatures | None]
    """The judge's features (D,) of the drawn image; None without one."""
    finished: list[bool]
    """Ended by a stop id, not cut off at `max_new_tokens`."""
    group: list[int]
    """Index of the prompt in this step."""


def rollout_generators(generator: Generators, samples: Sequence[int], group_size: int) -> Generators:
    """The random generator of each of these samples, where every prompt has its own; else the one there is."""
    if generator is None or isinstance(generator, torch.Generator):
        return generator
    return [generator[n // group_size] for n in samples]


@torch.no_grad()
def sample_rollouts(
    model: UnifiedModel,
    tokenizer: PreTrainedTokenizerBase,
    judge: Judge,
    prompts_P: list[GrpoPrompt],
    group_size: int,
    recipe: Recipe,
    generator: Generators,
    micro_batches: int = 1,
) -> Rollouts:
    """Answer each prompt `group_size` times: all texts in one batch, then all images in one batch.

    Images are sampled at temperature 1 without guidance: the loss scores the plain conditional distribution, and
    samples from another one would make its policy gradient biased.
    generator: one, or one per prompt, so that its replies do not depend on which prompts share its process.
    micro_batches: how many batches to split the N samples into, where their KV caches would not fit together.
    """
    spec = model.spec
    batch_size = -(-len(prompts_P) * group_size // micro_batches)
    ids_P = [render(prompt.messages, spec, tokenizer, add_reply=True).ids for prompt in prompts_P]
    ids_N = [ids for ids in ids_P for _ in range(group_size)]
    # Temperature and top-p are of text; images keep this class's defaults, temperature 1 and no guidance.
    sampling = Sampling(max_new_tokens=recipe.max_new_tokens, temperature=recipe.temperature, top_p=recipe.top_p)
    if micro_batches == 1:
        # Each prompt is prefilled once for its whole group.
        text = _sample_texts(model, ids_P, group_size, sampling, generator)
    else:
        # A group may lie in two batches, so each sample brings its own copy of the prompt.
        text = TextSamples([], [])
        for start in range(0, len(ids_N), batch_size):
            prompts = ids_N[start : start + batch_size]
            own = rollout_generators(generator, range(start, start + len(prompts)), group_size)
            more = _sample_texts(model, prompts, 1, sampling, own)
            text.ids += more.ids
            text.logps += more.logps
    completions, logps = [list(ids) for ids in text.ids], [list(row) for row in text.logps]
    image_features: list[ImageFeatures | None] = [None] * len(completions)
    # A text that stopped at begin-of-image announces an image; one that ran out of tokens or ended its turn has none.
    drawn = [n for n, ids in enumerate(completions) if ids[-1] == spec.boi_id]
    for start in range(0, len(drawn), batch_size):
        rows_M = drawn[start : start + batch_size]
        own = rollout_generators(generator, rows_M, group_size)
        images = model.sample_images([ids_N[n] + completions[n] for n in rows_M], sampling, generator=own)
        features = judge.encode_images(model.decode_images(images.codes).float())  # codes (M, C) -> (M, 3, px, px)
        for m, n in enumerate(rows_M):
            completions[n] += (images.codes[m] + spec.text_vocab).tolist()
            logps[n] += images.logps[m].tolist()
            image_features[n] = features[m]
    replies = [split_reply(tokenizer.decode(ids, skip_special_tokens=True)) for ids in text.ids]
    return Rollouts(
        prompt_ids=ids_N,
        completion_ids=completions,
        logprobs=logps,
        texts=[text for text, _ in replies],
        scenes=[scene for _, scene in replies],
        image_features=image_features,
        finished=[ids[-1] in (spec.eot_id, spec.boi_id) for ids in text.ids],
        group=[n // group_size for n in range(len(completions))],
    )


def _sample_texts(
    model: UnifiedModel, prompts: list[list[int]], group_size: int, sampling: Sampling, generator: Generators
) -> TextSamples:
    spec = model.spec
    return model.sample_text(
        prompts,
        sampling,
        num_return_sequences=group_size,
        stop_ids=(spec.eot_id, spec.boi_id),
        generator=generator,
    )
