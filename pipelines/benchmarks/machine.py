"""`bench_machine`: what a large base model takes on this machine, stage by stage, and what a `standard` run would.

Both stages are done without a trainer: the same rows, sampling, advantages, losses, LoRA in fp32 and AdamW, so no trl
is needed. `random-1b` and `random-7b` are full-size checkpoints with random weights, written to a temporary folder and
read by the loading code of the published ones; speed and memory do not depend on the values. Rewards come from the
toy critic, so the time of the pretrained judges is not in it. The plain path is the library's: `generate` for pictures,
each sample with its own prompt and padding for stage 1.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from peft import get_peft_model
from torch import nn

from pipelines.benchmarks.bench_character import always_draws, bench_character, terse_character
from pipelines.benchmarks.peak_memory import forget_peak, peak_memory, peak_of, wait
from pipelines.benchmarks.random_bases import RANDOM_BASES
from pipelines.core.jobs.durations import planned_seconds
from pipelines.core.jobs.memory_plan import NO_SAVINGS, MemoryPlan, StepStrategy, plan_for
from pipelines.core.jobs.model_specs import LARGE
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import CHARACTER_FOLDER
from pipelines.data.chat_template import NOBODY, ImageTurn
from pipelines.data.packing import PackedRow, collate, encode_images
from pipelines.data.samples import GrpoPrompt, grpo_prompts
from pipelines.models.bagel.random_weights import full_size_config, random_bagel
from pipelines.models.decoding.sampling import Sampling
from pipelines.models.device_memory import device_memory
from pipelines.models.janus_loading import load_folder
from pipelines.models.janus_random_weights import SIZES, write_layout
from pipelines.models.presets import load
from pipelines.rewards.reward_context import RewardContext
from pipelines.rewards.rewards import TEXT_ONLY, make_rewards
from pipelines.rewards.starter_critic import toy_critic
from pipelines.training.grpo_loss import group_advantages, group_token_logps
from pipelines.training.image_practice import LEVELS, image_practice
from pipelines.training.micro_batches import micro_batches
from pipelines.training.rollout import Rollouts, sample_rollouts
from pipelines.training.sft_loss import lora_config, packed_sft_rows, sft_loss

LOADS, DRAWINGS = 3, 14
"""How often a run loads its base model, and how many pictures are drawn to measure a checkpoint."""


class Bench:
    """A base model with a fresh adapter, a character, and the steps of both stages."""

    def __init__(self, base: str, folder: Path, recipe: Recipe, plan: MemoryPlan, terse: bool = False) -> None:
        """`folder`: for pictures, and for the checkpoint of a `random-...` base."""
        began = time.perf_counter()
        if base == "random-bagel":
            written = began
            on_gpu = torch.cuda.is_available()
            device = torch.device("cuda" if on_gpu else "cpu")
            dtype = torch.bfloat16 if on_gpu else torch.float32
            self.model, self.tokenizer = random_bagel(full_size_config(), device, dtype, plan.bits)
        elif base in RANDOM_BASES:
            write_layout(folder / base, SIZES[base.removeprefix("random-")])
            written = time.perf_counter()
            self.model, self.tokenizer = load_folder(folder / base, base, plan.bits)
        else:
            written = began
            self.model, self.tokenizer = load(base, plan.bits)
        if torch.cuda.is_available() and self.model.device.type == "cpu":
            self.model = self.model.to("cuda")  # the small ones are loaded for a processor; a trainer moves them
        self.seconds = {"write": written - began, "load": time.perf_counter() - written}
        self.recipe, self.plan, self.device = recipe, plan, self.model.device
        self.character = (terse_character if terse else bench_character)(folder)
        self.images = encode_images(self.model, self.character, folder / CHARACTER_FOLDER)
        self.student = get_peft_model(self.model, lora_config(self.model, recipe))
        self.trained = [weight for weight in self.student.parameters() if weight.requires_grad]
        for weight in self.trained:
            weight.data = weight.data.float()
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-5, weight_decay=0.0)
        self.judge = toy_critic()
        context = RewardContext.of(self.character, self.judge, torch.zeros(2, 3, 32, 32))
        self.rewards, self.weights = make_rewards(context, recipe.reward_weights)
        self.practice = image_practice(self.student, recipe, self.model.spec, plan.grpo.parts)
        names = re.compile(self.model.language_targets)
        modules = self.model.named_modules()
        # Not the size of the weights themselves: in 4 bits two are one number.
        linears = [m for name, m in modules if self._is_linear(names, name, m)]
        self.linear_weights = sum(linear.in_features * linear.out_features for linear in linears)

    @staticmethod
    def _is_linear(names: re.Pattern[str], name: str, module: nn.Module) -> bool:
        # With a LoRA around it the base linear stands one level deeper.
        return isinstance(module, nn.Linear) and names.fullmatch(name.removesuffix(".base_layer")) is not None

    @contextmanager
    def training(self, strategy: StepStrategy) -> Iterator[None]:
        """Inside, as in a trainer: training mode, bf16 autocast on a GPU, activations as planned."""
        self.student.train()
        if strategy.checkpointing:
            self.model.activation_checkpointing_enable({"use_reentrant": False})
        try:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                yield
        finally:  # a step that goes out of memory must not change the next one
            if strategy.checkpointing:
                self.model.activation_checkpointing_disable()
            self.student.eval()

    def update(self) -> None:
        """One optimizer step on the accumulated gradients."""
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def sft_rows(self, steps: int) -> list[PackedRow]:
        """Rows of `steps` steps of stage 1."""
        parts = self.plan.sft.parts
        return packed_sft_rows(
            self.character,
            self.recipe,
            self.model.spec,
            self.tokenizer,
            self.images,
            steps * parts,
            -(-self.recipe.sft_row_max_tokens // parts),
        )

    def sft_step(self, rows: list[PackedRow]) -> tuple[int, int]:
        """One step of stage 1 on these rows; gives supervised and read positions."""
        supervised = 0
        with self.training(self.plan.sft):
            for row in rows:
                batch = collate([row], self.model.spec, self.images)
                batch = {key: value.to(self.device) for key, value in batch.items()}
                weights = batch.pop("loss_weights", None)
                row_loss = sft_loss(self.student(**batch), batch["labels"], self.model.spec.text_vocab, weights)
                (row_loss.loss / len(rows)).backward()
                supervised += row_loss.tokens
        self.update()
        return supervised, sum(len(row.ids) for row in rows)

    def sample(self, step: int, words: int, draws: bool, prompts: int = 0, group: int = 0) -> Rollouts:
        """The rollouts of GRPO step `step`, all texts of `words` ids, with an image each if it `draws`."""
        prompts, group = prompts or self.recipe.grpo_prompts_per_step, group or self.recipe.grpo_group_size
        chosen = self.prompts_of(step, prompts)
        generators = [torch.Generator(self.device).manual_seed(step * 100 + number) for number in range(prompts)]
        recipe = replace(self.recipe, max_new_tokens=words)
        self.student.eval()
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")
        with autocast, always_draws(self.model, words, draws):
            return sample_rollouts(
                self.model,
                self.tokenizer,
                self.judge,
                chosen,
                group,
                recipe,
                generators,
                self.plan.grpo.parts,
                practice=self.practice,
                step=step,
            )

    def grpo_step(self, rollouts: Rollouts, prompts: list[GrpoPrompt]) -> int:
        """Rewards, advantages, the reference's log-probabilities and ours, and an update; gives positions read."""
        spec, group = self.model.spec, rollouts.group.count(0)
        columns = {**vars(rollouts), "grpo_prompts": prompts}
        rows = [reward(**columns) for reward in self.rewards]
        known = [[float("nan") if value is None else value for value in row] for row in rows]
        rewards_NK = torch.tensor(known).T.contiguous()
        text_only_K = torch.tensor([reward.__name__ in TEXT_ONLY for reward in self.rewards])
        text_N, codes_N = group_advantages(rewards_NK, torch.tensor(self.weights), group, text_only_K)
        longest, turn = max(map(len, rollouts.completion_ids)), ImageTurn.of(NOBODY, spec, self.tokenizer)
        ids, mask = _padded(rollouts, longest, spec.pad_id, self.device)
        score = micro_batches(self.student, -(-len(set(rollouts.group)) // self.plan.grpo.parts))
        with self.training(NO_SAVINGS), torch.no_grad(), self.student.disable_adapter():
            reference, _ = group_token_logps(score, ids, mask, longest, spec, turn)
        with self.training(self.plan.grpo):
            logps, _ = group_token_logps(score, ids, mask, longest, spec, turn)
            is_code = ids[:, -longest:] >= spec.text_vocab
            advantages = torch.where(is_code, codes_N[:, None].to(ids.device), text_N[:, None].to(ids.device))
            # As TRL's loss with one update per rollout: the ratio is 1 and only its gradient counts; KL by Schulman's
            # k3 estimator.
            ratio = (logps - logps.detach()).exp()
            behind = reference - logps
            kl = behind.exp() - behind - 1
            kept = mask[:, -longest:]
            loss = -((ratio * advantages - self.recipe.grpo_beta * kl) * kept).sum() / kept.sum()
        loss.backward()
        drawings = [one for one in rollouts.drawings if one is not None]
        if self.practice is not None and drawings:
            with self.training(self.plan.grpo):
                for part in self.practice.losses(drawings, codes_N[[one.sample for one in drawings]], 0):
                    part.backward()
        self.update()
        return int(kept.sum()) + sum({tuple(ids): len(ids) for ids in rollouts.prompt_ids}.values())

    def prompts_of(self, step: int, prompts: int) -> list[GrpoPrompt]:
        """The prompts of a step."""
        return grpo_prompts(self.character, (step + 1) * prompts, 0)[-prompts:]

    def rollout_prompts(self, step: int) -> list[GrpoPrompt]:
        """The prompt of each rollout of a step."""
        chosen = self.prompts_of(step, self.recipe.grpo_prompts_per_step)
        return [prompt for prompt in chosen for _ in range(self.recipe.grpo_group_size)]

    def timed(self, work: Callable[[], Any]) -> tuple[float, Any]:
        """(seconds, what it gave), the device's work included."""
        wait(self.device)
        began = time.perf_counter()
        made = work()
        wait(self.device)
        return time.perf_counter() - began, made


def _padded(rollouts: Rollouts, longest: int, pad_id: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    # As TRL hands them over: prompts padded left, completions padded right.
    prompt_length = max(map(len, rollouts.prompt_ids))
    ids, mask = [], []
    for prompt, completion in zip(rollouts.prompt_ids, rollouts.completion_ids, strict=True):
        left, right = prompt_length - len(prompt), longest - len(completion)
        ids.append([pad_id] * left + prompt + completion + [pad_id] * right)
        mask.append([0] * left + [1] * (len(prompt) + len(completion)) + [0] * right)
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def settings_of(base: str, effort: str = "standard") -> tuple[Recipe, MemoryPlan]:
    """Recipe and memory plan of a base model on this machine."""
    preset = RANDOM_BASES.get(base, base)
    if preset in LARGE:
        recipe = Recipe.for_effort(preset, effort)  # type: ignore[arg-type]
    else:  # toys read bytes, so their rows are longer than the starter's
        recipe = Recipe.for_effort(preset, effort, sft_row_max_tokens=4096, grpo_prompts_per_step=2, grpo_group_size=2)  # type: ignore[arg-type]
    name, memory = device_memory()
    return recipe, plan_for(preset, recipe, memory, on_gpu=bool(name))


def bench_machine(base: str = "random-1b", repeats: int = 3, words: int = 0) -> dict[str, Any]:
    """Stage times, rates, memory and projection; `ratios` are of pictures a second against the library's `generate`.

    words: ids of every reply, as long as the recipe allows unless given.
    """
    from pipelines.benchmarks.library_baselines import plain_pictures, plain_sft

    recipe, plan = settings_of(base)
    words = words or recipe.max_new_tokens
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(base, Path(name), recipe, plan)
        forget_peak(bench.device)
        found: dict[str, Any] = {"load_s": bench.seconds["load"]}
        found |= measure_sft(bench, repeats)
        found |= measure_grpo(bench, repeats, words)
        found["plain_sft_tokens_per_s"] = plain_sft(bench)
        group = recipe.grpo_prompts_per_step * recipe.grpo_group_size
        plain = plain_pictures(bench, min(group, 8))
        found |= {"scorecard_s": measure_scorecard(bench), "plain_pictures_per_s": plain}
        found |= device_shares(bench, found)
    found["standard_minutes"] = projected_minutes(recipe, recipe, found)
    ours = found["pictures_per_s"]
    ratio = ours / plain
    return {
        "name": "gpu",
        "ours": ours,
        "plain": plain,
        "unit": "pictures/s",
        "ratio_median": ratio,
        "ratios": [ratio],
        "base": base,
        "plan": plan.words,
        **found,
    }


def projected_minutes(recipe: Recipe, measured: Recipe, found: dict[str, Any]) -> float:
    """Minutes of a whole run by `recipe`, from what was `found` of the steps of the recipe `measured`."""
    samples, known = (one.grpo_prompts_per_step * one.grpo_group_size for one in (recipe, measured))
    pace = {
        "prepare": found["load_s"] * LOADS,
        "sft": found["sft_step_s"],
        "grpo": found["grpo_step_s"] * samples / known,
        "evaluate": found["scorecard_s"],
    }
    return planned_seconds(recipe, pace) / 60


def measure_scorecard(bench: Bench) -> float:
    """Seconds of measuring one checkpoint: its pictures, and a third of their time for everything else."""
    return 1.3 * [bench.timed(lambda: _draw(bench, DRAWINGS, 5.0))[0] for _ in range(2)][-1]


def measure_sft(bench: Bench, repeats: int) -> dict[str, float]:
    """Seconds of a step of stage 1 as planned, and its rates; one step before them is not counted."""
    parts = bench.plan.sft.parts
    rows = bench.sft_rows(repeats + 1)
    times, counts = [], []
    for step in range(repeats + 1):
        seconds, made = bench.timed(lambda at=step: bench.sft_step(rows[at * parts : (at + 1) * parts]))
        times.append(seconds)
        counts.append(made)
    seconds = median(times[1:])
    learned, read = (sum(count[place] for count in counts[1:]) / repeats for place in (0, 1))
    return {"sft_step_s": seconds, "sft_tokens_per_s": learned / seconds, "sft_positions": read}


def measure_grpo(bench: Bench, repeats: int, words: int) -> dict[str, float]:
    """Seconds of a step of stage 2 as planned, by what takes them, and its rates; replies have `words` ids."""
    recipe, spec = bench.recipe, bench.model.spec
    samples = recipe.grpo_prompts_per_step * recipe.grpo_group_size
    codes = spec.image_tokens * (LEVELS if spec.latent_width else 1)  # latents are scored at so many noise levels
    text_times, both_times, update_times = [], [], []
    for step in range(repeats + 1):
        text_times.append(bench.timed(lambda n=step: bench.sample(n, words, False))[0])
        seconds, rollouts = bench.timed(lambda n=step: bench.sample(n, words, True))
        both_times.append(seconds)
        prompts = bench.rollout_prompts(step)
        update_times.append(bench.timed(lambda r=rollouts, a=prompts: bench.grpo_step(r, a))[0])
    text_s, both_s, update_s = (median(times[1:]) for times in (text_times, both_times, update_times))
    images_s = max(both_s - text_s, 1e-9)
    # Every other request is for a picture.
    return {
        "words_per_s": samples * words / text_s,
        "pictures_per_s": samples / images_s,
        "talk_s": text_s,
        "draw_s": images_s,
        "learn_s": update_s,
        "practice_positions": float(samples * (words + codes)),
        "grpo_step_s": text_s + images_s / 2 + update_s,
    }


def _draw(bench: Bench, count: int, guidance: float) -> torch.Tensor:
    prompts = [ids for ids in bench.sample(0, 1, False, 1, 2).prompt_ids[:1] for _ in range(count)]
    drawing = [[*ids, bench.model.spec.boi_id] for ids in prompts]
    return bench.model.decode_images(bench.model.sample_images(drawing, Sampling(guidance_scale=guidance)).images)


def device_shares(bench: Bench, found: dict[str, Any]) -> dict[str, Any]:
    """Memory, operations a second, and their shares of the device's peak.

    2 operations a weight and position forwards, 2 more backwards where only a LoRA learns; practice scores everything
    once more without gradient. Each position passes one expert of those that a family has.
    """
    name = torch.cuda.get_device_name(bench.device) if bench.device.type == "cuda" else ""
    peak = peak_of(name)
    shares: dict[str, Any] = {"device": name or "cpu", "peak_memory_gb": peak_memory(bench.device) / 1e9}
    spec, recipe = bench.model.spec, bench.recipe
    work = {
        "sft": 4 * found["sft_positions"] / found["sft_step_s"],
        "learn": 6 * found["practice_positions"] / found["learn_s"],
    }
    if spec.latent_width:
        samples = recipe.grpo_prompts_per_step * recipe.grpo_group_size
        work["draw"] = 2 * samples * spec.image_tokens * recipe.flow_steps / found["draw_s"]
    for stage, passes in work.items():
        operations = bench.linear_weights * passes
        shares[f"{stage}_tflops_per_s"] = operations / 1e12
        if peak:
            shares[f"{stage}_share_of_peak"] = operations / peak
    shares["torch"] = torch.__version__
    return shares
