"""Rollouts of stage 2: replies sampled from the current policy, text first and then the codes of an image.

Dimension letters: P prompts of a step, G samples of a prompt (the group), N = P * G samples, prompt-major (sample g of
prompt p is row p * G + g); M of the N that draw an image in one micro-batch; D the judge's embedding width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedTokenizerBase

from pipelines.core.jobs.recipe import Recipe
from pipelines.data.chat_template import NOBODY, ImageTurn, Subject, render, scene_text, turn_end
from pipelines.data.reply_form import LOOK_TOKENS, LookProcessor, WordsProcessor
from pipelines.data.samples import GrpoPrompt
from pipelines.models.decoding.sampling import Generators, LogitsProcessor, Sampling, TextSamples
from pipelines.models.interface import UnifiedModel
from pipelines.rewards.image_features import ImageFeatures
from pipelines.rewards.judge import Judge


@dataclass(frozen=True)
class Rollouts:
    """N sampled replies, prompt-major; each list has N entries.

    The first four are what TRL's `rollout_func` must return (trl/trainer/grpo_trainer.py, `_generate`); the others
    become columns of the reward functions.
    """

    prompt_ids: list[list[int]]
    completion_ids: list[list[int]]
    """Words and their stop id; with an image also the scene's turn and all codes, as `text_vocab + code`."""
    logprobs: list[list[float]]
    """Log-probability of each completion id under the policy at temperature 1 and without top-p, nats; 0 for ids that
    were not sampled."""
    env_mask: list[list[int]]
    """1 for sampled ids, 0 for those that the form gives; TRL's name for what the loss leaves out."""
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
    subject: Subject = NOBODY,
    reference_codes: torch.Tensor | None = None,
) -> Rollouts:
    """Answer each prompt `group_size` times: all words in one batch, then all looks, then all images.

    Images are sampled at temperature 1 without guidance: the loss scores the plain conditional distribution, and
    samples from another one would make its policy gradient biased. The form of a reply is enforced
    (`pipelines/data/reply_form.py`), whether it has an image is not.
    generator: one, or one per prompt, so that its replies do not depend on which prompts share its process.
    micro_batches: how many batches to split the N samples into, where their KV caches would not fit together.
    subject: who is drawn; reference_codes (1, R, C): the character's references.
    """
    spec = model.spec
    batch_size = -(-len(prompts_P) * group_size // micro_batches)
    ids_N = [
        ids
        for prompt in prompts_P
        for ids in [render(prompt.messages, spec, tokenizer, add_reply=True, subject=subject).ids] * group_size
    ]
    # Temperature and top-p are of text; images keep this class's defaults, temperature 1 and no guidance.
    sampling = Sampling(max_new_tokens=recipe.max_new_tokens, temperature=recipe.temperature, top_p=recipe.top_p)
    batches = _Batches(model, sampling, generator, group_size, batch_size)
    words = WordsProcessor(spec, tokenizer, ["auto"] * batch_size, recipe.max_new_tokens, sample_decision=True)
    text = batches.sample_text(range(len(ids_N)), ids_N, sampling, words)
    completions, logps = [list(ids) for ids in text.ids], [list(row) for row in text.logps]
    sampled_masks = [[1] * len(ids) for ids in completions]
    mark = len(words.mark)
    announced = [n for n, ids in enumerate(completions) if ids[:mark] == words.mark and ids[-1] == spec.eot_id]
    texts = [
        tokenizer.decode(ids[mark:] if ids[:mark] == words.mark else ids, skip_special_tokens=True).strip()
        for ids in completions
    ]
    finished = [ids[-1] == spec.eot_id for ids in completions]
    scenes = [""] * len(completions)
    image_features: list[ImageFeatures | None] = [None] * len(completions)
    turn = ImageTurn.of(subject, spec, tokenizer)
    if announced:
        # The end-of-turn id was sampled with the words; what a family writes behind it and the scene's head is given.
        given = turn_end(spec, tokenizer)[1:] + turn.chat_head
        prompts = [ids_N[n] + completions[n] + given for n in announced]
        looks = batches.sample_text(
            announced, prompts, replace(sampling, max_new_tokens=LOOK_TOKENS), LookProcessor(spec, tokenizer)
        )
        for m, n in enumerate(announced):
            look, look_logps = looks.ids[m], looks.logps[m]
            cut = [spec.boi_id] if look[-1] != spec.boi_id else []  # a look that is too long ends without being asked
            completions[n] += [*given, *look, *cut]
            logps[n] += [*[0.0] * len(given), *look_logps, *[0.0] * len(cut)]
            sampled_masks[n] += [*[0] * len(given), *[1] * len(look), *[0] * len(cut)]
            said = tokenizer.decode(look, skip_special_tokens=True)
            scenes[n], finished[n] = scene_text(subject.name, " ".join(said.split())), not cut
    for start in range(0, len(announced), batch_size):
        rows_M = announced[start : start + batch_size]
        own = rollout_generators(generator, rows_M, group_size)
        codes_of = None if reference_codes is None else reference_codes.expand(len(rows_M), -1, -1)
        turns = [turn.ids(completions[n]) for n in rows_M]
        images = model.sample_images(turns, sampling, reference_codes=codes_of, generator=own)
        features = judge.encode_images(model.decode_images(images.codes).float())  # codes (M, C) -> (M, 3, px, px)
        for m, n in enumerate(rows_M):
            completions[n] += (images.codes[m] + spec.text_vocab).tolist()
            logps[n] += images.logps[m].tolist()
            sampled_masks[n] += [1] * spec.image_tokens
            image_features[n] = features[m]
    return Rollouts(
        prompt_ids=ids_N,
        completion_ids=completions,
        logprobs=logps,
        env_mask=sampled_masks,
        texts=texts,
        scenes=scenes,
        image_features=image_features,
        finished=finished,
        group=[n // group_size for n in range(len(completions))],
    )


@dataclass(frozen=True)
class _Batches:
    # Text sampling of N samples, prompt-major, in batches of at most `size`.
    model: UnifiedModel
    sampling: Sampling
    generator: Generators
    group_size: int
    size: int

    def sample_text(
        self, samples: Sequence[int], prompts: list[list[int]], sampling: Sampling, processor: LogitsProcessor
    ) -> TextSamples:
        """One text behind each prompt, which belongs to the sample at its place."""
        spec, text = self.model.spec, TextSamples([], [])
        whole_groups = len(prompts) <= self.size and list(samples) == list(range(len(prompts)))
        for start in range(0, len(prompts), self.size):
            some = prompts[start : start + self.size]
            # Whole groups share a prefilled prompt; else each sample brings its own copy.
            group = self.group_size if whole_groups else 1
            own = rollout_generators(self.generator, samples[start : start + len(some)], self.group_size)
            more = self.model.sample_text(
                some[::group],
                sampling,
                num_return_sequences=group,
                stop_ids=(spec.eot_id, spec.boi_id),
                generator=self.generator if whole_groups else own,
                logits_processor=processor,
            )
            text.ids += more.ids
            text.logps += more.logps
        return text
