"""Stage 2, Character-GRPO: the character practises on requests nobody answered, on `trl.GRPOTrainer`.

Legend of suffixes: _P prompts of a step, _G samples of a prompt (the group), _N = P * G samples, prompt-major,
_K reward parts, _T positions of a row, _C positions of the longest completion.

Read it top to bottom: `pipelines.training.rollout` (words, then a picture's codes, in one id space) -> `pipelines.rewards.rewards` ->
`group_advantages` -> `group_token_logps` (a prompt and its whole group in one packed row) -> the library's clipped loss, KL, optimiser
and resume -> `ReplayLoss`, a little of stage 1 in every step.

Departures from UniCharacter's stage 2 (arXiv 2605.08129): words are practised as well as pictures, as one sequence;
plain GRPO (arXiv 2402.03300) on token log-probabilities, since codes are discrete; a LoRA; a KL term to the adapter
that stage 1 left (the paper: none), and beside it stage 1's own loss on half a row of its samples and on some plain
chat (as InstructGPT's mixed-in pretraining, arXiv 2203.02155), so that practice unlearns neither; no guidance while
practising; each part of the reward is normalised inside its group before it is weighted (after GDPO, arXiv
2601.05242) and credits only ids that could still change it.
`docs/rewards.md` has the departures of the rewards.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from peft import PeftModel
from transformers import GenerationConfig, PreTrainedTokenizerBase
from trl import GRPOConfig, GRPOTrainer

from pipelines.core.character.character import Character
from pipelines.core.events import Report
from pipelines.core.jobs.memory_plan import NO_SAVINGS, StepStrategy
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import CHARACTER_FOLDER, CHECKPOINTS
from pipelines.data.packing import ImageBank, PackedRow, collate, encode_images, open_image
from pipelines.data.replay_chat import general_replay_rows
from pipelines.data.samples import GrpoPrompt, grpo_prompts
from pipelines.models.decoding.sampling import Generators
from pipelines.models.interface import ModelSpec
from pipelines.rewards.rewards import WORDS_ONLY, RewardContext, make_rewards
from pipelines.rewards.starter_critic import StarterCritic
from pipelines.training.fsdp import shard, unsharded
from pipelines.training.grpo_loss import group_advantages, group_token_logps, mean_reward
from pipelines.training.micro_batches import micro_batches
from pipelines.training.rollout import generate_rollouts
from pipelines.training.sft_loss import packed_sft_rows, sft_loss
from pipelines.training.trainer_mixin import RunTrainerMixin, card

PLAIN_SHARE = 0.1
"""What plain chat counts for beside stage 1's own samples. At 1 practice learned to chat plainly, and drew less
(docs/log.md)."""


@dataclass(frozen=True)
class GrpoResult:
    """What stage 2 leaves behind."""

    model: PeftModel
    checkpoints: tuple[str, ...]
    """Names of the checkpoints written by this call, oldest first."""
    steps: int
    """Steps done in all, those before a resume included."""
    tokens: int
    """Sampled positions (words and codes) of this call."""
    seconds: float
    """Wall clock of this call's training."""
    rewards: tuple[float, ...]
    """Mean weighted reward of each step of this call."""


@dataclass(frozen=True)
class ReplayLoss:
    """What goes with practice so that it unlearns nothing: rows of stage 1, one a step and process, and plain chat."""

    rows: list[PackedRow]
    pictures: ImageBank
    plain: list[PackedRow]
    """Chat without the character, taken in turn."""

    @classmethod
    def of(
        cls, character: Character, recipe: Recipe, base: Any, tokenizer: Any, folder: Path, count: int
    ) -> ReplayLoss:
        """Rows of half of stage 1's size in an order that stage 1 did not see; the pictures are in `folder`."""
        pictures = encode_images(base, character, folder)
        other = replace(recipe, seed=recipe.seed + 1)
        rows = packed_sft_rows(character, other, base.spec, tokenizer, pictures, count, recipe.sft_row_max_tokens // 2)
        return cls(rows, pictures, general_replay_rows(base.spec, tokenizer))

    def loss(self, model: Any, number: int, spec: ModelSpec, device: torch.device) -> torch.Tensor:
        """Stage 1's loss on row `number`, and on a row of plain chat."""
        losses = []
        for row in (self.rows[number], self.plain[number % len(self.plain)]):
            batch = collate([row], spec, self.pictures.pixels)
            batch = {key: value.to(device) for key, value in batch.items()}
            weights = batch.pop("loss_weights", None)
            losses.append(sft_loss(model(**batch).logps, batch["labels"], spec.text_vocab, weights).loss)
        return losses[0] + PLAIN_SHARE * losses[1]


class CharacterTrainer(RunTrainerMixin, GRPOTrainer):
    """`GRPOTrainer` with our rollout, log-probabilities and credit."""

    stage = "grpo"

    def __init__(
        self,
        *,
        recipe: Recipe,
        prompts: list[GrpoPrompt],
        critic: StarterCritic,
        spec: ModelSpec,
        words_only: torch.Tensor,
        anchor: ReplayLoss | None = None,
        way: StepStrategy = NO_SAVINGS,
        **kwargs: Any,
    ) -> None:
        """`words_only` (K,) bool: which reward parts never credit codes; `anchor`: see `Recipe.grpo_replay_weight`."""
        super().__init__(rollout_func=self.practise, **kwargs)
        self.way = way
        self.anchor = anchor
        self.recipe, self.prompts, self.critic, self.spec, self.words_only = recipe, prompts, critic, spec, words_only
        self.rewards_NK = torch.zeros(0)
        self.rewards: list[float] = []
        self.tokens = self.step_tokens = 0
        self.last_time = time.perf_counter()

    @staticmethod
    def practise(numbers_N: list[str], trainer: CharacterTrainer) -> dict[str, Any]:
        """The library's `rollout_func`: each prompt's number comes `grpo_group_size` times; columns for rewards go out."""
        size = trainer.recipe.grpo_group_size
        prompts_P = [trainer.prompts[int(number)] for number in numbers_N[::size]]
        policy = trainer.accelerator.unwrap_model(trainer.model)
        generator = train_generators(trainer, numbers_N[::size], policy.device)
        training = policy.training
        policy.eval()
        with trainer.accelerator.autocast(), unsharded(policy):
            model, tokenizer, critic = policy.get_base_model(), trainer.processing_class, trainer.critic
            replies = generate_rollouts(
                model, tokenizer, critic, prompts_P, size, trainer.recipe, generator, trainer.way.parts
            )
        policy.train(training)
        trainer.step_tokens = sum(map(len, replies.completion_ids))
        trainer.tokens += trainer.step_tokens
        asked = [prompt for prompt in prompts_P for _ in range(size)]
        return {**vars(replies), "asked": asked}

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """Our forward on packed rows; `batch_size` would split groups and is not followed."""
        with self.accelerator.autocast():
            score = micro_batches(self.bare(model), -(-self.recipe.grpo_prompts_per_step // self.way.parts))
            logps, entropies = group_token_logps(score, input_ids, attention_mask, logits_to_keep, self.spec)
        return logps, entropies if compute_entropy else None, None

    def _calculate_rewards(self, *args: Any) -> torch.Tensor:
        """The library's (N, K) of all processes, kept for `group_advantages`."""
        self.rewards_NK = super()._calculate_rewards(*args)
        return self.rewards_NK

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """The library's batch, its advantages (N,) replaced by ours (N, C)."""
        output = super()._generate_and_score_completions(inputs)
        device = self.rewards_NK.device
        words, codes = group_advantages(
            self.rewards_NK, self.reward_weights.to(device), self.recipe.grpo_group_size, self.words_only.to(device)
        )
        first = self.accelerator.process_index * len(inputs)
        mine = slice(first, first + len(inputs))
        is_code_NC = output["completion_ids"] >= self.spec.text_vocab
        output["advantages"] = torch.where(is_code_NC, codes[mine, None], words[mine, None])
        return output

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The library's loss and, with an anchor, stage 1's on a row of its samples and one of plain chat."""
        loss: torch.Tensor = super().compute_loss(model, inputs, *args, **kwargs)
        if self.anchor is None:
            return loss
        number = self.state.global_step * self.accelerator.num_processes + self.accelerator.process_index
        with self.accelerator.autocast():
            kept = self.anchor.loss(self.bare(model), number, self.spec, self.accelerator.device)
        return loss + self.recipe.grpo_replay_weight * kept

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """One event a step: the reward and its parts as they were before normalisation, KL, entropy, seconds."""
        super().log(logs, start_time)
        if "reward" not in logs:
            return  # the library's summary at the end
        now = time.perf_counter()
        seconds, self.last_time = now - self.last_time, now
        self.rewards.append(mean_reward(self.rewards_NK.cpu(), self.reward_weights))
        metrics = {key: logs[key] for key in ("loss", "kl", "entropy", "grad_norm") if key in logs}
        means = [key for key in logs if key.startswith("rewards/") and key.endswith("/mean")]
        parts = {key.split("/")[1]: logs[key] for key in means}
        inside = {key: value for key, value in logs.items() if key.startswith("reply/")}
        known = {key: value for key, value in {**metrics, **parts, **inside}.items() if value is not None}
        self.tell({"reward": self.rewards[-1], **known, "tokens": self.step_tokens, "seconds": seconds})


def train_generators(trainer: CharacterTrainer, numbers_P: list[str], device: torch.device) -> Generators:
    """What samples a step: the same whether the run was resumed, and for large models on however many processes."""
    seed = trainer.recipe.seed * 1_000_003
    if trainer.recipe.base.startswith("starter") and trainer.accelerator.num_processes == 1:
        return torch.Generator(device).manual_seed((seed + trainer.state.global_step) * 1009)
    return [torch.Generator(device).manual_seed((seed + int(number)) * 1009) for number in numbers_P]


def grpo_arguments(recipe: Recipe, scratch: Path, way: StepStrategy = NO_SAVINGS) -> GRPOConfig:
    """The library's settings: one update a rollout, AdamW at a constant rate, prompts in order, no outside reports."""
    per_process = -(-recipe.grpo_prompts_per_step // PartialState().num_processes)  # whole groups on every process
    return GRPOConfig(
        output_dir=str(scratch),
        max_steps=recipe.grpo_steps,
        per_device_train_batch_size=per_process * recipe.grpo_group_size,
        num_generations=recipe.grpo_group_size,
        steps_per_generation=1,
        max_completion_length=recipe.max_new_tokens,
        learning_rate=recipe.grpo_learning_rate,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=1.0,
        beta=recipe.grpo_beta,
        loss_type="dapo",
        temperature=1.0,
        multi_objective_aggregation="normalize_then_sum",
        shuffle_dataset=False,
        seed=recipe.seed,
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        use_cpu=not torch.cuda.is_available(),
        activation_checkpointing=way.checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if way.checkpointing else None,
        dataloader_pin_memory=torch.cuda.is_available(),
        save_strategy="steps",
        save_steps=recipe.grpo_save_every,
        logging_strategy="steps",
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
    )


def run_grpo(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    character: Character,
    recipe: Recipe,
    run_dir: Path,
    critic: StarterCritic,
    report: Report,
    resume_from: Path | None = None,
    way: StepStrategy = NO_SAVINGS,
) -> GrpoResult:
    """Practise with the adapter that stage 1 left in `model` and save checkpoints under `run_dir`.

    The references are the pictures in `run_dir`/character/images. resume_from: a checkpoint of this stage, which brings
    its own copy of stage 1's adapter for the KL term (`ref/`). Raises Stopped after saving when `report` does, and
    whatever a reward raises.
    """
    trainer = make_trainer(CharacterTrainer, model, tokenizer, character, recipe, run_dir, critic, report, way)
    if way.sharded:
        shard(model)
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    if recipe.grpo_beta:
        model.delete_adapter("ref")
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


def make_trainer(
    kind: type[CharacterTrainer],
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    character: Character,
    recipe: Recipe,
    run_dir: Path,
    critic: StarterCritic,
    report: Report,
    way: StepStrategy = NO_SAVINGS,
) -> CharacterTrainer:
    """Everything of a run but the running; `kind` is the trainer's class, the rest as in `run_grpo`."""
    base = model.get_base_model()
    if not base.can_generate():
        base.generation_config = GenerationConfig()  # the library writes the pad id into one, generating or not
    arguments = grpo_arguments(recipe, run_dir / CHECKPOINTS, way)
    per_step = arguments.per_device_train_batch_size * arguments.world_size // recipe.grpo_group_size
    # As many prompts as the run will see, in order: step n's prompts do not depend on how it was reached.
    prompts = grpo_prompts(character, recipe.grpo_steps * per_step, recipe.seed)
    images = run_dir / CHARACTER_FOLDER / "images"
    pixels = [open_image(images / image.file, base.spec.image_px) for image in character.images]
    weights = recipe.reward_weights
    if not pixels:  # nobody has seen the character: only its words can be practised
        pixels = [torch.zeros(3, base.spec.image_px, base.spec.image_px)]
        weights = {name: weight for name, weight in weights.items() if name in WORDS_ONLY}
    anchor = None
    if recipe.grpo_replay_weight and any(recipe.task_shares.values()):
        count = recipe.grpo_steps * arguments.world_size
        anchor = ReplayLoss.of(character, recipe, base, tokenizer, run_dir / CHARACTER_FOLDER, count)
    judge = RewardContext.of(character, critic, torch.stack(pixels).to(critic.device))
    rewards, arguments.reward_weights = make_rewards(judge, weights)
    return kind(
        recipe=recipe,
        anchor=anchor,
        way=way,
        prompts=prompts,
        critic=critic,
        spec=base.spec,
        words_only=torch.tensor([reward.__name__ in WORDS_ONLY for reward in rewards]),
        run_dir=run_dir,
        report=report,
        card=card(character, recipe, "Character-GRPO"),
        model=model,
        reward_funcs=rewards,
        args=arguments,
        train_dataset=Dataset.from_dict({"prompt": [str(number) for number in range(len(prompts))]}),
        processing_class=tokenizer,
    )
