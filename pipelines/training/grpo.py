"""Stage 2, Character-GRPO: reinforcement learning on requests without reference answers, on `trl.GRPOTrainer`.

Dimension letters, as suffixes: P prompts of a step, G samples of a prompt (the group), N = P * G samples,
prompt-major, K rewards, C positions of the longest completion.

Read it top to bottom: `pipelines.training.rollout` (text, then an image's codes, in one id space) ->
`pipelines.rewards.rewards` -> `group_advantages` -> `group_token_logps` (a prompt and its group in one packed row) ->
TRL's clipped loss, KL term, optimizer and resume -> `ReplayLoss`, a little of stage 1 in every step ->
`PreferenceLoss`, what people have voted for.

Departures from UniCharacter's stage 2 (arXiv 2605.08129): text is trained as well as images, as one sequence;
plain GRPO (arXiv 2402.03300) on token log-probabilities, since codes are discrete; a LoRA; a KL term to the adapter
that stage 1 left (the paper: none), and beside it stage 1's own loss on half a row of its samples and on some general
chat (as InstructGPT's mixed-in pretraining, arXiv 2203.02155), against forgetting of either; no guidance in rollouts;
each reward is normalised inside its group before it is weighted (after GDPO, arXiv 2601.05242), and only reaches ids
that could still change it. `docs/rewards.md` has the departures of the rewards.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from torch import nn
from transformers import GenerationConfig, PreTrainedTokenizerBase
from trl import GRPOTrainer

from pipelines.core.character.character import Character
from pipelines.core.events import Payload, Report
from pipelines.core.jobs.memory_plan import NO_SAVINGS, StepStrategy
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import CHARACTER_FOLDER, CHECKPOINTS
from pipelines.data.chat_template import NOBODY, ImageTurn, Subject, subject_of
from pipelines.data.packing import ImageBank, encode_images
from pipelines.data.reply_form import uses_brackets
from pipelines.data.samples import GrpoPrompt, grpo_prompts
from pipelines.models.interface import ModelSpec, UnifiedModel
from pipelines.rewards.judge import Judge
from pipelines.rewards.reward_context import Reward, RewardContext
from pipelines.rewards.rewards import TEXT_ONLY, make_rewards
from pipelines.training.early_stop import KeptWeights, RewardWatch, trained_weights
from pipelines.training.fsdp import shard, unsharded
from pipelines.training.grpo_loss import group_advantages, group_token_logps, mean_reward
from pipelines.training.grpo_replay import ReplayLoss
from pipelines.training.grpo_settings import grpo_arguments, step_generators
from pipelines.training.image_practice import OLD_ADAPTER, Drawing, image_practice
from pipelines.training.micro_batches import micro_batches
from pipelines.training.preference_loss import PreferenceLoss
from pipelines.training.rollout import sample_rollouts
from pipelines.training.trainer_mixin import RunTrainerMixin, checkpoint_readme, quiet_libraries


@dataclass(frozen=True)
class GrpoResult:
    """What stage 2 leaves behind."""

    model: PeftModel
    checkpoints: tuple[str, ...]
    """Names of the checkpoints written by this call, oldest first."""
    steps: int
    """Steps done in all, those before a resume included."""
    tokens: int
    """Sampled ids (text and codes) of this call."""
    seconds: float
    """Wall clock of this call's training."""
    rewards: tuple[float, ...]
    """Mean weighted reward of each step of this call."""


class CharacterTrainer(RunTrainerMixin, GRPOTrainer):
    """`GRPOTrainer` with our rollouts, log-probabilities and advantages."""

    stage = "grpo"

    def __init__(
        self,
        *,
        recipe: Recipe,
        prompts: list[GrpoPrompt],
        judge: Judge,
        spec: ModelSpec,
        text_only_K: torch.Tensor,
        subject: Subject = NOBODY,
        reference_codes: torch.Tensor | None = None,
        brackets: bool = False,
        replay: ReplayLoss | None = None,
        preferences: PreferenceLoss | None = None,
        strategy: StepStrategy = NO_SAVINGS,
        **kwargs: Any,
    ) -> None:
        """`text_only_K` bool: rewards that give codes no advantage; `replay`, `preferences`: see `Recipe`.

        subject: who is drawn; reference_codes (1, R, C): the character's references, None for a family without;
        brackets: whether the character writes square brackets.
        """
        with quiet_libraries():
            super().__init__(rollout_func=self.generate_rollouts, **kwargs)
        self.subject, self.reference_codes, self.brackets = subject, reference_codes, brackets
        self.image_turn = ImageTurn.of(subject, spec, self.processing_class)
        self.recipe, self.prompts, self.judge, self.spec = recipe, prompts, judge, spec
        self.text_only_K, self.replay, self.strategy = text_only_K, replay, strategy
        self.preferences = preferences
        self.image_practice = image_practice(self.model, recipe, spec, strategy.parts)
        self.drawings: list[Drawing] = []
        self.image_loss = 0.0
        self.rewards_NK = self.drawn_N = torch.zeros(0)
        self.rewards: list[float] = []
        self.reward_watch, self.best_weights = RewardWatch(), KeptWeights()
        self.tokens = self.step_tokens = 0
        self.last_time = time.perf_counter()

    @staticmethod
    def generate_rollouts(numbers_N: list[str], trainer: CharacterTrainer) -> dict[str, Any]:
        """TRL's `rollout_func`: gets each prompt's number G times in a row, returns ids and columns for the rewards."""
        group_size = trainer.recipe.grpo_group_size
        prompts_P = [trainer.prompts[int(number)] for number in numbers_N[::group_size]]
        policy = trainer.unwrap(trainer.model)
        step, seed = trainer.state.global_step, trainer.recipe.seed
        one_for_all = trainer.spec.one_generator_per_step and trainer.accelerator.num_processes == 1
        generator = step_generators(seed, step, numbers_N[::group_size], policy.device, one_for_all)
        training = policy.training
        policy.eval()
        with trainer.accelerator.autocast(), unsharded(policy):
            rollouts = sample_rollouts(
                policy.get_base_model(),
                trainer.processing_class,
                trainer.judge,
                prompts_P,
                group_size,
                trainer.recipe,
                generator,
                trainer.strategy.parts,
                trainer.subject,
                trainer.reference_codes,
                trainer.brackets,
                trainer.image_practice,
                step,
            )
        policy.train(training)
        trainer.step_tokens = sum(map(len, rollouts.completion_ids))
        trainer.tokens += trainer.step_tokens
        trainer.drawings = [one for one in rollouts.drawings if one is not None]
        trainer.image_loss = 0.0
        # Not dataclasses.asdict, which would copy every tensor of the judge's features.
        return {**vars(rollouts), "grpo_prompts": [prompt for prompt in prompts_P for _ in range(group_size)]}

    def _get_per_token_logps_and_entropies(
        self,
        model: nn.Module,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """Our forward on packed rows; TRL's `batch_size` would split groups and is ignored."""
        with self.accelerator.autocast():
            # One packed row per prompt, so rows of a micro-batch are prompts.
            forward = self.unwrap(model)
            if self.reference_codes is not None:
                forward = partial(forward, reference_codes=self.reference_codes.to(input_ids.device))
            score = micro_batches(forward, self.prompts_per_backward)
            logps, entropies = group_token_logps(
                score, input_ids, attention_mask, logits_to_keep, self.spec, self.image_turn
            )
        return logps, entropies if compute_entropy else None, None

    def _calculate_rewards(self, *args: Any) -> torch.Tensor:
        """TRL's (N, K) of all processes, kept for `group_advantages`."""
        self.rewards_NK = super()._calculate_rewards(*args)
        return self.rewards_NK

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL's batch with its advantages, one per sample (N,), replaced by ours, one per position (N, C)."""
        output = super()._generate_and_score_completions(inputs)
        device = self.rewards_NK.device
        text_N, codes_N = group_advantages(
            self.rewards_NK, self.reward_weights.to(device), self.recipe.grpo_group_size, self.text_only_K.to(device)
        )
        # Rewards were gathered from all processes; each trains on its own samples.
        first = self.accelerator.process_index * len(inputs)
        own = slice(first, first + len(inputs))
        is_code_NC = output["completion_ids"] >= self.spec.text_vocab
        output["advantages"] = torch.where(is_code_NC, codes_N[own, None], text_N[own, None])
        self.drawn_N = codes_N[own]
        return output

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """TRL's loss, passed back a few prompts at a time, so that only their activations are held.

        Exact: the loss of type "dapo" is a sum over ids, divided by their number in the whole batch. What is returned
        is the whole loss; only the last part of it still has a graph for the caller's backward pass.
        """
        size = self.prompts_per_backward * self.recipe.grpo_group_size
        count = len(inputs["completion_ids"])
        passed_back = torch.zeros((), device=self.accelerator.device)
        for start in range(0, count, size):
            part = {
                key: value[start : start + size] if isinstance(value, torch.Tensor) and value.ndim else value
                for key, value in inputs.items()
            }
            loss: torch.Tensor = super().compute_loss(model, part, *args, **kwargs)
            if start + size < count:
                with torch.autocast(self.accelerator.device.type, enabled=False):
                    self.accelerator.backward(loss)
                passed_back += loss.detach()
        return loss + passed_back

    @property
    def prompts_per_backward(self) -> int:
        """One on a CPU, where a batch of rows is no faster than one after the other."""
        if self.accelerator.device.type == "cpu":
            return 1
        return -(-self.recipe.grpo_prompts_per_step // self.strategy.parts)

    def training_step(self, model: nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        """TRL's step plus the gradients of stage 1's loss on replayed data, of DPO's on preferences, and of images'
        that are latents.

        Each has a backward pass of its own: the activations of rollouts and replay are never held together.
        """
        loss: torch.Tensor = super().training_step(model, *args, **kwargs)
        with self.accelerator.autocast():
            for weighted in self._added_losses(self.unwrap(model)):
                self.accelerator.backward(weighted)
                loss += weighted.detach()
        return loss

    def _added_losses(self, model: PeftModel) -> Iterator[torch.Tensor]:
        number = self.state.global_step * self.accelerator.num_processes + self.accelerator.process_index
        if self.replay is not None:
            for loss in self.replay.losses(model, number, self.spec, self.accelerator.device):
                yield self.recipe.grpo_replay_weight * loss
        if self.preferences is not None:
            for loss in self.preferences.losses(model, number):
                yield self.recipe.preference_weight * loss
        if self.image_practice is not None and self.drawings:
            own = self.drawn_N[[one.sample for one in self.drawings]]
            for loss in self.image_practice.losses(self.drawings, own, self.state.global_step):
                self.image_loss += float(loss.detach())
                yield loss

    def after_update(self) -> None:
        """After the optimizer's step."""
        if self.image_practice is not None:
            self.image_practice.after_update(self.state.global_step)

    def checkpoint_payload(self) -> Payload:
        """With preferences, also what the checkpoint has learned from them."""
        payload = super().checkpoint_payload()
        if self.preferences is not None:
            with self.accelerator.autocast():
                payload["preferences"] = self.preferences.counts(self.unwrap(self.model))
        return payload

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """One event per step: the reward and its parts as they were before normalisation, KL, entropy, seconds."""
        super().log(logs, start_time)
        if "reward" not in logs:
            return  # transformers' summary at the end of training
        now = time.perf_counter()
        seconds, self.last_time = now - self.last_time, now
        self.rewards.append(mean_reward(self.rewards_NK.cpu(), self.reward_weights))
        metrics = {key: logs[key] for key in ("loss", "kl", "entropy", "grad_norm") if key in logs}
        means = [key for key in logs if key.startswith("rewards/") and key.endswith("/mean")]
        parts = {key.split("/")[1]: logs[key] for key in means}
        inside = {key: value for key, value in logs.items() if key.startswith("reply/")}
        images = {"image_loss": self.image_loss} if self.drawings else {}
        known = {key: value for key, value in {**metrics, **images, **parts, **inside}.items() if value is not None}
        weights = trained_weights(self.unwrap(self.model))
        told = self.reward_watch.add(self.rewards[-1])
        if told == "best":
            self.best_weights.keep(weights)
        elif told == "collapsed":
            self.best_weights.put_back(weights)
            self.end_early("reward_collapsed")
        self.report_metrics({"reward": self.rewards[-1], **known, "tokens": self.step_tokens, "seconds": seconds})


def make_trainer(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    character: Character,
    recipe: Recipe,
    run_dir: Path,
    judge: Judge,
    report: Report,
    strategy: StepStrategy = NO_SAVINGS,
    trainer_class: type[CharacterTrainer] = CharacterTrainer,
) -> CharacterTrainer:
    """A trainer that goes on from the adapter in `model` and saves checkpoints under `run_dir`.

    Reference images are read from `run_dir`/character/images, decoded and encoded once for rewards and replay.
    """
    base: UnifiedModel = model.get_base_model()
    if not base.can_generate():
        base.generation_config = GenerationConfig()  # TRL writes the pad id into it, whether or not it generates
    arguments = grpo_arguments(recipe, run_dir / CHECKPOINTS, strategy)
    per_step = arguments.per_device_train_batch_size * arguments.world_size // recipe.grpo_group_size
    # As many prompts as the run will see, in order: step n's prompts do not depend on how it was reached.
    prompts = grpo_prompts(character, recipe.grpo_steps * per_step, recipe.seed)
    images = encode_images(base, character, run_dir / CHARACTER_FOLDER)
    replay = None
    if recipe.grpo_replay_weight and any(recipe.task_shares.values()):
        count = recipe.grpo_steps * arguments.world_size
        replay = ReplayLoss.of(character, recipe, base.spec, tokenizer, images, count)
    rewards, arguments.reward_weights = _rewards(character, recipe, judge, images, base.spec.image_px)
    return trainer_class(
        recipe=recipe,
        images=images,
        replay=replay,
        preferences=PreferenceLoss.of(character, recipe, base.spec, tokenizer, arguments.world_size),
        strategy=strategy,
        prompts=prompts,
        judge=judge,
        spec=base.spec,
        subject=subject_of(character, tokenizer),
        reference_codes=images.own_reference_codes(),
        brackets=uses_brackets(character),
        text_only_K=torch.tensor([reward.__name__ in TEXT_ONLY for reward in rewards]),
        run_dir=run_dir,
        report=report,
        readme=checkpoint_readme(character, recipe, "Character-GRPO"),
        model=model,
        reward_funcs=rewards,
        args=arguments,
        train_dataset=Dataset.from_dict({"prompt": [str(number) for number in range(len(prompts))]}),
        processing_class=tokenizer,
    )


def _rewards(
    character: Character, recipe: Recipe, judge: Judge, images: ImageBank, image_px: int
) -> tuple[list[Reward], list[float]]:
    """Reward functions and weights; a character without images is only rewarded for its text."""
    weights = recipe.reward_weights
    pixels = [images.pixels[image.file] for image in character.images]
    if not pixels:
        pixels = [torch.zeros(3, image_px, image_px)]  # no reward that is kept looks at it
        weights = {name: weight for name, weight in weights.items() if name in TEXT_ONLY}
    return make_rewards(RewardContext.of(character, judge, torch.stack(pixels)), weights)


def run_grpo(trainer: CharacterTrainer, resume_from: Path | None = None) -> GrpoResult:
    """Train, and save checkpoints in the run folder.

    resume_from: a checkpoint of this stage, which brings its own copy of stage 1's adapter for the KL term (`ref/`).
    Raises Stopped after saving when the trainer's `report` does, and whatever a reward raises.
    """
    model = trainer.unwrap(trainer.model)
    if trainer.strategy.sharded:
        shard(model)
    started = time.perf_counter()
    with quiet_libraries():
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    for copy in ("ref", OLD_ADAPTER):  # TRL's of the adapter before this stage, and what images are drawn with
        if copy in model.peft_config:
            model.delete_adapter(copy)
    if trainer.stopped is not None:
        raise trainer.stopped
    return GrpoResult(
        model=model,
        checkpoints=tuple(trainer.saved),
        steps=trainer.state.global_step,
        tokens=trainer.tokens,
        seconds=time.perf_counter() - started,
        rewards=tuple(trainer.rewards),
    )
