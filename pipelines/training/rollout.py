"""What stage 2 learns from: replies sampled from the model as it stands, words first and then a picture's codes.

Letters of shapes: P prompts of a step, N = P times the group's size samples, prompt-major; D the critic's width.
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
from pipelines.rewards.starter_critic import ImageFeatures, StarterCritic


@dataclass(frozen=True)
class Rollouts:
    """N sampled replies, prompt-major; each list has N entries."""

    prompt_ids: list[list[int]]
    completion_ids: list[list[int]]
    """Words and their stop id; after `boi_id`, all codes of a picture as `text_vocab + code`."""
    logprobs: list[list[float]]
    """Of each completion id, under the untempered, unfiltered model."""
    words: list[str]
    scene: list[str]
    sight: list[ImageFeatures | None]
    """The critic's look (D,) at the picture drawn; None without one."""
    finished: list[bool]
    """Stopped by itself, not cut off."""
    group: list[int]
    """Which prompt of the step."""


def rollout_generators(generator: Generators, samples: Sequence[int], size: int) -> Generators:
    """The generator of each of these samples, where every prompt has its own; else the one there is."""
    if generator is None or isinstance(generator, torch.Generator):
        return generator
    return [generator[n // size] for n in samples]


@torch.no_grad()
def generate_rollouts(
    model: UnifiedModel,
    tokenizer: PreTrainedTokenizerBase,
    critic: StarterCritic,
    prompts_P: list[GrpoPrompt],
    size: int,
    recipe: Recipe,
    generator: Generators,
    parts: int = 1,
) -> Rollouts:
    """Answer each prompt `size` times: all words in one batch, then all pictures in one batch.

    A prompt is read once for its group. Pictures are drawn at temperature 1 without guidance, as the loss scores them.
    generator: one, or one for each prompt, so that its replies do not depend on who is answered beside it. parts: in
    how many goes, where keys and values of all samples would not fit.
    """
    spec, count = model.spec, len(prompts_P) * size
    at_once = -(-count // parts)
    ids_P = [render(prompt.messages, spec, tokenizer, add_reply=True).ids for prompt in prompts_P]
    ids_N = [ids for ids in ids_P for _ in range(size)]
    # Images keep temperature 1 and no guidance, which is what the loss scores.
    sampling = Sampling(max_new_tokens=recipe.max_new_tokens, temperature=recipe.temperature, top_p=recipe.top_p)
    text = TextSamples([], [])
    for start in range(0, count, at_once):
        own = range(start, min(start + at_once, count))
        whole = parts == 1  # then a prompt stands once and its samples are its group
        more = model.sample_text(
            ids_P if whole else [ids_N[n] for n in own],
            sampling,
            num_return_sequences=size if whole else 1,
            stop_ids=(spec.eot_id, spec.boi_id),
            generator=generator if whole else rollout_generators(generator, own, size),
        )
        text.ids += more.ids
        text.logps += more.logps
    completions, logps = [list(ids) for ids in text.ids], [list(row) for row in text.logps]
    sight: list[ImageFeatures | None] = [None] * len(completions)
    drawn = [n for n, ids in enumerate(completions) if ids[-1] == spec.boi_id]
    for start in range(0, len(drawn), at_once):
        own_M = drawn[start : start + at_once]
        made = model.sample_images(
            [ids_N[n] + completions[n] for n in own_M], sampling, generator=rollout_generators(generator, own_M, size)
        )
        seen = critic.look(model.decode_images(made.codes).float())
        for m, n in enumerate(own_M):
            completions[n] += (made.codes[m] + spec.text_vocab).tolist()
            logps[n] += made.logps[m].tolist()
            sight[n] = seen[m]
    replies = [split_reply(tokenizer.decode(ids, skip_special_tokens=True)) for ids in text.ids]
    return Rollouts(
        prompt_ids=ids_N,
        completion_ids=completions,
        logprobs=logps,
        words=[words for words, _ in replies],
        scene=[scene for _, scene in replies],
        sight=sight,
        finished=[ids[-1] in (spec.eot_id, spec.boi_id) for ids in text.ids],
        group=[n // size for n in range(len(completions))],
    )
