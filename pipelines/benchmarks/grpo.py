"""`bench_grpo`: seconds a step of Character-GRPO, against doing each sample alone.

Both run the same trainer on the same model, prompts, lengths (every reply has the same number of words and a picture),
rewards, KL term and optimizer. The plain one samples each reply and each picture alone, encodes each picture again for
every reward and the references at every call, scores samples one by one, and sends each sample through the model
with its own copy of the prompt: the order of work in UniCharacter's published code.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from transformers.trainer_utils import SaveStrategy

from pipelines.benchmarks.bench_character import WORDS, always_draws, bench_character
from pipelines.benchmarks.paired_timing import compare
from pipelines.core.jobs.recipe import Recipe
from pipelines.models.presets import load
from pipelines.rewards.judge import Judge, load_judge
from pipelines.rewards.reward_context import Reward
from pipelines.training.grpo import CharacterTrainer, make_trainer
from pipelines.training.rollout import sample_rollouts
from pipelines.training.sft_loss import lora_config


class PlainTrainer(CharacterTrainer):
    """The same stage with every sample handled alone."""

    @staticmethod
    def generate_rollouts(numbers_N: list[str], trainer: CharacterTrainer) -> dict[str, Any]:
        """One reply at a time, each with its own prefill of the prompt, each picture by itself."""
        policy = trainer.unwrap(trainer.model)
        generator = torch.Generator(policy.device).manual_seed(trainer.state.global_step)
        policy.eval()
        columns: dict[str, list[Any]] = {}
        for number in numbers_N:
            prompt = trainer.prompts[int(number)]
            model, tokenizer, judge = policy.get_base_model(), trainer.processing_class, trainer.judge
            who = {"subject": trainer.subject, "reference_codes": trainer.reference_codes}
            rollout = sample_rollouts(model, tokenizer, judge, [prompt], 1, trainer.recipe, generator, **who)
            for key, values in {**vars(rollout), "grpo_prompts": [prompt]}.items():
                columns.setdefault(key, []).extend(values)
        columns["group"] = [n // trainer.recipe.grpo_group_size for n in range(len(numbers_N))]
        policy.train()
        return columns

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """One sample at a time, prompt included; then its image's turn with the codes."""
        logps = torch.zeros(input_ids[:, -logits_to_keep:].shape, device=input_ids.device)
        entropies = torch.zeros_like(logps)

        def score(n: int, row: list[int], scored: int, places: torch.Tensor, **more: Any) -> None:
            ids = torch.tensor([row], device=input_ids.device)
            labels = ids.clone()
            labels[:, :-scored] = -100
            scores = model(input_ids=ids, labels=labels, entropies=compute_entropy, **more)
            logps[n, places] = scores.logps[0, -scored:]
            entropies[n, places] = scores.entropies[0, -scored:]

        for n, (ids, mask) in enumerate(zip(input_ids, attention_mask.bool(), strict=True)):
            completion, real = ids[-logits_to_keep:], mask[-logits_to_keep:]
            is_code = completion >= self.spec.text_vocab
            text, codes = completion[real & ~is_code].tolist(), completion[real & is_code].tolist()
            prompt = ids[:-logits_to_keep][mask[:-logits_to_keep]].tolist()
            score(n, prompt + text, len(text), (real & ~is_code).nonzero()[:, 0])
            if codes:
                turn = self.image_turn.ids(text)
                places = (real & is_code).nonzero()[:, 0]
                score(n, turn + codes, len(codes), places, reference_codes=self.reference_codes)
        return logps, entropies if compute_entropy else None, None


def one_by_one(reward: Reward, judge: Judge, references: torch.Tensor) -> Reward:
    """The same reward, called for each sample alone, which encodes its picture (and the references) again."""
    name = reward.__name__

    def score(**columns: Any) -> list[float | None]:
        listed = {key: values for key, values in columns.items() if isinstance(values, list)}
        values: list[float | None] = []
        for n, group in enumerate(columns["group"]):
            # Only variety needs the others of the group.
            rows = [m for m, other in enumerate(columns["group"]) if other == group] if name == "variety" else [n]
            if name != "reply":
                judge.encode_images(references[: len(rows)])
            if name == "likeness":
                judge.encode_images(references)
            values.append(reward(**{key: [column[m] for m in rows] for key, column in listed.items()})[rows.index(n)])
        return values

    score.__name__ = name
    return score


def bench_grpo(base: str = "starter", repeats: int = 3, words: int = WORDS) -> dict[str, Any]:
    """Seconds of one step of the default recipe, ours and plain."""
    recipe = Recipe(base=base, grpo_steps=1, grpo_replay_weight=0.0)  # stage 1's loss has its own benchmark
    with tempfile.TemporaryDirectory() as scratch:
        run_dir = Path(scratch)
        character = bench_character(run_dir)
        base_model, tokenizer = load(base)
        judge = load_judge(base)
        model = get_peft_model(base_model, lora_config(base_model, recipe))
        references = torch.zeros(len(character.images), 3, base_model.spec.image_px, base_model.spec.image_px)

        def step(kind: type[CharacterTrainer]) -> float:
            trainer = make_trainer(
                model, tokenizer, character, recipe, run_dir, judge, lambda event: None, trainer_class=kind
            )
            trainer.args.save_strategy = SaveStrategy.NO
            if kind is PlainTrainer:
                trainer.reward_funcs = [one_by_one(reward, judge, references) for reward in trainer.reward_funcs]
            with always_draws(base_model, words):
                started = time.perf_counter()
                trainer.train()
                seconds = time.perf_counter() - started
            model.delete_adapter("ref")
            return seconds

        return compare(
            "grpo", "s/step", lambda: step(CharacterTrainer), lambda: step(PlainTrainer), repeats, more_is_faster=False
        )
