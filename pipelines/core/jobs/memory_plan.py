"""What fits into how much memory: one function from base model, recipe and device to the way a run is made to fit.

    plan = plan_for("janus-pro-7b", recipe, memory=24 * GIB)      plan.fits, plan.bits, plan.sft, plan.grpo

Training (`pipelines.train`), `understudy doctor` and whoever starts jobs ask the same function. It adds up weights, the
LoRA in fp32 with gradients and AdamW's two moments, activations, keys and values, logits and what surrounds
them; the constants say how they were counted. Imports no torch. docs/performance.md compares it with measurements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipelines.core.jobs.model_specs import LARGE, Dimensions
from pipelines.core.jobs.recipe import Effort, Recipe

GIB = 2**30
USABLE = 0.94
"""Share of a device's memory that can be planned with: the rest is lost between blocks."""
CONTEXT = 0.9e9
"""The device's own library, kernels and workspaces."""
REWARD_MODEL_BYTES = 2.4e9
"""The four reward models in bf16 with one batch of pictures, at `standard` and `thorough` on a GPU."""
PICTURE_BYTES = 1.2e9
"""Decoding or encoding `PICTURES_DECODED` pictures of 384 px: 128 channels at full size, a few copies."""
ROW_IMAGES = 4
"""Images of latents that practice scores in one row at most, where all activations of a step are held."""
DRAWN_ROWS = 8
"""Images of latents that are drawn in one pass at most, branches of guidance counted."""
TURN_TOKENS = 96
"""The turn that an image is drawn from, and its two marks."""
HEAD_ROWS = 512
"""Positions scored at once (`pipelines.models.decoding.token_logprobs`)."""
PROMPT_TOKENS = 700
"""Persona and request of a GRPO prompt: the longest that the checks allow, and some."""
FOUR_BIT_BYTES = 0.5 + 4 / 64 / 2
"""A weight in NF4 with doubly quantised scales, and the copy that is unpacked while a layer runs spread over them."""
SMALL_GB = {"starter": (4.0, 1.5), "starter-toy": (0.7, 0.5), "janus-toy": (0.7, 0.5), "bagel-toy": (0.7, 0.5)}
"""The small ones were measured: (training, replying) in units of 10^9 bytes, on a CPU or a GPU."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes at the worst moment of a run, by what takes them."""

    weights: float
    lora: float
    """fp32 weights of the adapter, and of the reference copy for the KL term of GRPO."""
    optimiser: float
    """Gradients and both moments, fp32."""
    activations: float
    """Kept for the backward pass."""
    cache: float
    """Keys and values while sampling, and layers gathered for it; never at the same time as activations."""
    logits: float
    around: float
    """Device context, reward models, pictures."""

    @property
    def total(self) -> float:
        """Bytes in all."""
        held = self.weights + self.lora + self.optimiser + self.logits + self.around
        return held + max(self.activations, self.cache)


@dataclass(frozen=True)
class StepStrategy:
    """How the steps of one stage are made to fit."""

    checkpointing: bool = False
    """Whether activations are computed again in the backward pass instead of kept."""
    parts: int = 1
    """Micro-batches of one optimiser step: rows of stage 1 become as much shorter; in stage 2 so many batches are
    sampled and passed back through."""
    sharded: bool = False
    """Whether the base model's layers are spread over all GPUs of the run (`pipelines.training.fsdp`)."""


NO_SAVINGS = StepStrategy()
"""All activations kept, a step in one batch."""
STRATEGIES = (NO_SAVINGS, StepStrategy(True), StepStrategy(True, 2), StepStrategy(True, 4), StepStrategy(True, 8))
"""From fast to small."""
SFT_PARTS = 2
"""Most micro-batches of stage 1: a row must hold the persona and a picture or two."""


@dataclass(frozen=True)
class MemoryPlan:
    """How a run is made to fit."""

    base: str
    fits: bool
    """Whether the need is below the memory; else this is the smallest way there is."""
    need: MemoryEstimate
    """Of the stage that needs more."""
    bits: int = 16
    """Of the base model's weights on a GPU; 4 needs the extra `four-bit`."""
    sft: StepStrategy = NO_SAVINGS
    grpo: StepStrategy = NO_SAVINGS

    @property
    def words(self) -> str:
        """For people."""
        if not self.fits:
            return f"needs {self.need.total / 1e9:.1f} GB even in its smallest form"
        how = ["4-bit base"] if self.bits == 4 else []
        how += ["base spread over the GPUs"] if self.sft.sharded else []
        again = [name for name, way in (("basics", self.sft), ("practice", self.grpo)) if way.checkpointing]
        how += [f"activations computed again in {' and '.join(again)}"] if again else []
        parts = max(self.sft.parts, self.grpo.parts)
        how += [f"steps in up to {parts} parts"] if parts > 1 else []
        return f"{', '.join(how) or 'everything kept'}: about {self.need.total / 1e9:.1f} GB"


def plan_for(
    base: str, recipe: Recipe, memory: float, on_gpu: bool = True, replying: bool = False, gpus: int = 1
) -> MemoryPlan:
    """The fastest way in which a run, or only a reply, fits into `memory` bytes of each device; see `MemoryPlan.fits`.

    Ways are tried from fast to small: everything kept, activations computed again, steps in parts; then with the base
    spread over `gpus`, when there are several; then with 4 bits.
    """
    if base not in LARGE:
        gigabytes = SMALL_GB.get(base, (0.0, 0.0))[replying] * 1e9
        return MemoryPlan(base, gigabytes <= memory, MemoryEstimate(gigabytes, 0, 0, 0, 0, 0, 0))
    model, room = LARGE[base], USABLE * memory

    def smallest(bits: int, stage: str, sharded: bool) -> tuple[StepStrategy, MemoryEstimate]:
        for way in (replace(way, sharded=sharded) for way in STRATEGIES):
            need = need_of(model, recipe, stage, bits, way, on_gpu, gpus)
            if need.total <= room or (stage == "sft" and way.parts == SFT_PARTS):
                break
        return way, need

    forms = [(16, False)]
    # Processes draw different numbers of images, and whoever learns from none would not join in gathering a layer.
    if on_gpu and gpus > 1 and not replying and not model.latents:
        forms.append((16, True))
    if on_gpu:
        forms.append((4, False))
    for bits, sharded in forms:
        if replying:
            sft = grpo = (NO_SAVINGS, reply_need(model, recipe, bits, on_gpu))
        else:
            sft, grpo = smallest(bits, "sft", sharded), smallest(bits, "grpo", sharded)
        need = max(sft[1], grpo[1], key=lambda one: one.total)
        plan = MemoryPlan(base, need.total <= room, need, bits, sft[0], grpo[0])
        if plan.fits:
            break
    return plan


MOST_SAVINGS = len(STRATEGIES) - 1
"""How many steps smaller than planned a run can become."""


def smaller_plan(plan: MemoryPlan, steps: int) -> MemoryPlan:
    """The plan so many steps further down `STRATEGIES`, for a run that went out of memory all the same.

    The small base models cannot compute activations again: their steps are only cut into more micro-batches.
    """

    def shrunk(way: StepStrategy, most_parts: int) -> StepStrategy:
        for _ in range(steps):
            if way.checkpointing or plan.base not in LARGE:
                way = replace(way, parts=max(way.parts, min(2 * way.parts, most_parts)))
            else:
                way = replace(way, checkpointing=True)
        return way

    return replace(plan, sft=shrunk(plan.sft, SFT_PARTS), grpo=shrunk(plan.grpo, STRATEGIES[-1].parts))


def _held(model: Dimensions, bits: int, on_gpu: bool) -> tuple[float, float]:
    """Bytes of the weights, and of the keys and values of one position."""
    width = 2 if on_gpu else 4  # bf16 on a GPU, fp32 on a CPU
    linears = model.linears * (FOUR_BIT_BYTES if bits == 4 else width)
    return linears + (model.weights - model.linears) * width, 2.0 * model.layers * model.keys * width


def reply_need(model: Dimensions, recipe: Recipe, bits: int, on_gpu: bool = True) -> MemoryEstimate:
    """Bytes of a single answer to both sides of a comparison, each with its unguided branch.

    Eight adapters stay in memory (`pipelines.inference.engine.KEPT_ADAPTERS`).
    """
    weights, position = _held(model, bits, on_gpu)
    cache = 4 * (2048 + recipe.max_new_tokens + model.image_tokens) * position
    if model.latents:
        cache += drawing_bytes(model, DRAWN_ROWS, 2 if on_gpu else 4)
    adapters = 8 * 4.0 * model.lora_width * recipe.lora_rank
    return MemoryEstimate(weights, adapters, 0, 0, cache, 0, (CONTEXT if on_gpu else 0.5e9) + PICTURE_BYTES)


def need_of(
    model: Dimensions, recipe: Recipe, stage: str, bits: int, way: StepStrategy, on_gpu: bool = True, gpus: int = 1
) -> MemoryEstimate:
    """Bytes of one stage (`sft` or `grpo`) in one way, on each of `gpus`."""
    weights, position = _held(model, bits, on_gpu)
    away = 0.0  # of the weights: on other GPUs while a step is learnt, here while samples are drawn
    if way.sharded:
        linears = 2.0 * model.linears
        away = linears * (1 - 1 / gpus) - 2 * linears / model.layers  # the layer at work and the next are here
        weights -= away
    adapter = 4.0 * model.lora_width * recipe.lora_rank
    around = (CONTEXT if on_gpu else 0.5e9) + PICTURE_BYTES
    reply = recipe.max_new_tokens + (0 if model.latents else model.image_tokens)
    cache = 0.0
    if stage == "sft":
        row = held = -(-recipe.sft_row_max_tokens // way.parts)
        copies = 1
    else:
        samples = -(-recipe.grpo_prompts_per_step * recipe.grpo_group_size // way.parts)
        row = PROMPT_TOKENS + recipe.grpo_group_size * reply
        held = -(-recipe.grpo_prompts_per_step // way.parts) * row
        cache = away + samples * (PROMPT_TOKENS + reply) * position
        around += REWARD_MODEL_BYTES if on_gpu and recipe.effort != "quick" else 0.0
        copies = 2  # the reference adapter of the KL term
        if model.latents:
            copies = 3  # and the slow copy that draws
            images = max(1, ROW_IMAGES // way.parts) * (TURN_TOKENS + model.image_tokens)
            row, held = max(row, images), max(held, images)
            cache = max(cache, away + drawing_bytes(model, DRAWN_ROWS, 2 if on_gpu else 4))
    kept = activation_bytes(model, 2 if on_gpu else 4)
    layers = model.layers * held * (model.hidden * (2 if on_gpu else 4) if way.checkpointing else kept)
    # Computing again holds one layer of all rows at hand; a dense mask is a byte and its bf16 form for every pair.
    activations = layers + (held * kept if way.checkpointing else 0) + 3.0 * row * row
    logits = 3 * 4.0 * HEAD_ROWS * model.vocab
    return MemoryEstimate(weights, copies * adapter, 3 * adapter, activations, cache, logits, around)


def drawing_bytes(model: Dimensions, images: int, width: int) -> float:
    """What drawing so many images of latents in one pass holds: keys and values of all, and one layer at work."""
    held = 2.0 * model.layers * model.keys + 4 * model.hidden + 3 * model.inner
    return images * (TURN_TOKENS + model.image_tokens) * held * width


def activation_bytes(model: Dimensions, width: int) -> float:
    """What one layer keeps of one position for the backward pass.

    Counted from a Llama layer with a LoRA on all seven linears: two norms (input and normed in fp32), queries, keys and
    values before and after turning, the attention's result, gate, up and their product, and the input of each linear
    once more for its LoRA.
    """
    hidden, inner = model.hidden, model.inner
    norms = 2 * 2 * 4 * hidden
    return norms + width * (12 * hidden + 4 * inner + 6 * hidden + inner)


def base_choices(memory: float, on_gpu: bool, effort: Effort = "standard") -> dict[str, MemoryPlan]:
    """For every base model that people choose: how its training would run on a device with `memory` bytes."""
    return {base: plan_for(base, Recipe.for_effort(base, effort), memory, on_gpu) for base in ("starter", *LARGE)}
