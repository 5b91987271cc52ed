"""Rollouts of stage 2: replies sampled from the current policy, text first and then the codes of an image.

Dimension letters: P prompts of a step, G samples of a prompt (the group), N = P * G samples, prompt-major (sample g of
prompt p is row p * G + g); M of the N that draw an image in one micro-batch; D the judge's embedding width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

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
from pipelines.training.image_practice import Drawing, ImagePractice


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
    drawings: list[Drawing | None]
    """The image itself where images are latents, which no id stands for; None without one."""


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
    brackets: bool = False,
    practice: ImagePractice | None = None,
    step: int = 0,
) -> Rollouts:
    """Answer each prompt `group_size` times: all words in one batch, then all looks, then all images.

    Images are sampled at temperature 1 without guidance: the loss scores the plain conditional distribution, and
    samples from another one would make its policy gradient biased. The form of a reply is enforced
    (`pipelines/data/reply_form.py`), whether it has an image is not.
    generator: one, or one per prompt, so that its replies do not depend on which prompts share its process.
    micro_batches: how many batches to split the N samples into, where their KV caches would not fit together.
    subject: who is drawn; reference_codes (1, R, C): the character's references; brackets: whether the character
    writes square brackets. practice: how images are drawn that are latents, in this step; None for codes.
    """
    prompt_ids_P = [
        render(prompt.messages, model.spec, tokenizer, add_reply=True, subject=subject).ids for prompt in prompts_P
    ]
    sampler = _Sampler(
        model,
        tokenizer,
        # Temperature and top-p are of text; images keep this class's defaults, temperature 1 and no guidance.
        Sampling(max_new_tokens=recipe.max_new_tokens, temperature=recipe.temperature, top_p=recipe.top_p),
        generator,
        group_size,
        size=-(-len(prompts_P) * group_size // micro_batches),
        subject=subject,
    )
    replies = sampler.words([ids for ids in prompt_ids_P for _ in range(group_size)], brackets)
    drawn = [reply for reply in replies if reply.marked and reply.finished]
    sampler.looks(drawn)
    if practice is None:
        sampler.images(drawn, reference_codes, judge)
    else:
        with practice.drawing():
            replace(sampler, sampling=practice.sampling(sampler.sampling, step)).images(drawn, reference_codes, judge)
    return Rollouts(
        prompt_ids=[reply.prompt for reply in replies],
        completion_ids=[reply.ids for reply in replies],
        logprobs=[reply.logps for reply in replies],
        env_mask=[reply.sampled for reply in replies],
        texts=[reply.text for reply in replies],
        scenes=[reply.scene for reply in replies],
        image_features=[reply.image_features for reply in replies],
        finished=[reply.finished for reply in replies],
        group=[reply.number // group_size for reply in replies],
        drawings=[reply.drawing for reply in replies],
    )


@dataclass
class _Reply:
    """One of the N replies, as far as it is sampled; the columns of `Rollouts`."""

    number: int
    prompt: list[int]
    ids: list[int] = field(default_factory=list)
    logps: list[float] = field(default_factory=list)
    sampled: list[int] = field(default_factory=list)
    text: str = ""
    marked: bool = False
    """Announces an image."""
    scene: str = ""
    image_features: ImageFeatures | None = None
    drawing: Drawing | None = None
    finished: bool = False

    def give(self, ids: Sequence[int]) -> None:
        """Ids that belong to the form: nobody chose them."""
        self._add(ids, [0.0] * len(ids), sampled=0)

    def take(self, ids: Sequence[int], logps: Sequence[float]) -> None:
        """Sampled ids."""
        self._add(ids, logps, sampled=1)

    def _add(self, ids: Sequence[int], logps: Sequence[float], sampled: int) -> None:
        self.ids += ids
        self.logps += logps
        self.sampled += [sampled] * len(ids)


@dataclass(frozen=True)
class _Sampler:
    # Samples the parts of N replies, prompt-major, in batches of at most `size`.
    model: UnifiedModel
    tokenizer: PreTrainedTokenizerBase
    sampling: Sampling
    generator: Generators
    group_size: int
    size: int
    subject: Subject

    def words(self, prompt_ids_N: list[list[int]], brackets: bool) -> list[_Reply]:
        """All replies with their words, up to the end-of-turn id."""
        spec, tokenizer = self.model.spec, self.tokenizer
        limit = self.sampling.max_new_tokens
        processor = WordsProcessor(spec, tokenizer, ["auto"] * self.size, limit, brackets, sample_decision=True)
        replies = [_Reply(number, prompt) for number, prompt in enumerate(prompt_ids_N)]
        # The samples of a prompt share its prefill where all fit into one batch.
        group = self.group_size if len(replies) <= self.size else 1
        text = self._sample_text(replies, prompt_ids_N, self.sampling, processor, group)
        mark, decisive = len(processor.mark), processor.decisive
        for reply, ids, logps in zip(replies, text.ids, text.logps, strict=True):
            reply.marked, reply.finished = ids[:mark] == processor.mark, ids[-1] == spec.eot_id
            # One id decides whether there is an image; what stands before it, and the rest of the mark, is given.
            reply.give(ids[:decisive])
            reply.take(ids[decisive : decisive + 1], logps[decisive : decisive + 1])
            words = mark if reply.marked else decisive + 1
            reply.give(ids[decisive + 1 : words])
            reply.take(ids[words:], logps[words:])
            reply.text = tokenizer.decode(ids[mark if reply.marked else 0 :], skip_special_tokens=True).strip()
        return replies

    def looks(self, replies: list[_Reply]) -> None:
        """Behind the words of each the turn of its image, up to begin-of-image."""
        if not replies:
            return
        spec = self.model.spec
        # The end-of-turn id was sampled with the words; what a family writes behind it and the scene's head is given.
        given = turn_end(spec, self.tokenizer)[1:] + ImageTurn.of(self.subject, spec, self.tokenizer).chat_head
        for reply in replies:
            reply.give(given)
        prompts = [reply.prompt + reply.ids for reply in replies]
        limited = replace(self.sampling, max_new_tokens=LOOK_TOKENS)
        looks = self._sample_text(replies, prompts, limited, LookProcessor(spec, self.tokenizer))
        for reply, ids, logps in zip(replies, looks.ids, looks.logps, strict=True):
            reply.take(ids, logps)
            reply.finished = ids[-1] == spec.boi_id
            if not reply.finished:  # a look that is too long ends without being asked
                reply.give([spec.boi_id])
            look = self.tokenizer.decode(ids, skip_special_tokens=True)
            reply.scene = scene_text(self.subject.name, " ".join(look.split()))

    def images(self, replies: list[_Reply], reference_codes: torch.Tensor | None, judge: Judge) -> None:
        """Behind the turn of each the codes of its image, drawn from that turn alone."""
        spec, turn = self.model.spec, ImageTurn.of(self.subject, self.model.spec, self.tokenizer)
        for start in range(0, len(replies), self.size):
            some = replies[start : start + self.size]
            turns = [turn.ids(reply.ids) for reply in some]
            images = self.model.sample_images(
                turns,
                self.sampling,
                reference_codes=None if reference_codes is None else reference_codes.expand(len(some), -1, -1),
                generator=self._generators(some),
            )
            pixels = self.model.decode_images(images.images).float()  # codes (M, C) -> (M, 3, px, px)
            features = judge.encode_images(pixels)
            for m, reply in enumerate(some):
                reply.image_features = features[m]
                if images.latents is None:
                    reply.take((images.codes[m] + spec.text_vocab).tolist(), images.logps[m].tolist())
                else:
                    steps = tuple(one.select([m]) for one in images.steps)
                    reply.drawing = Drawing(reply.number, turns[m], images.latents[m], steps)

    def _generators(self, replies: Sequence[_Reply]) -> Generators:
        # Of each of these, where every prompt has its own; else the one there is.
        if self.generator is None or isinstance(self.generator, torch.Generator):
            return self.generator
        return [self.generator[reply.number // self.group_size] for reply in replies]

    def _sample_text(
        self,
        replies: Sequence[_Reply],
        prompts: list[list[int]],
        sampling: Sampling,
        processor: LogitsProcessor,
        group: int = 1,
    ) -> TextSamples:
        """One text behind each prompt, which goes on the reply at its place; of `group` prompts each all are equal."""
        spec, text = self.model.spec, TextSamples([], [])
        for start in range(0, len(prompts), self.size):
            some = slice(start, start + self.size)
            more = self.model.sample_text(
                prompts[some][::group],
                sampling,
                num_return_sequences=group,
                stop_ids=(spec.eot_id, spec.boi_id),
                generator=self._generators(replies[some][::group]),
                logits_processor=processor,
            )
            text.ids += more.ids
            text.logps += more.logps
        return text
