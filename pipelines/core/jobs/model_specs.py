"""What is known of the large base models without loading one: their numbers, and their effort tables.

The numbers are those of the published configs and are compared with the real classes in a test. The effort tables are
starting points from published LoRA recipes of this kind of model (docs/training.md), not tuned on these weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Dimensions:
    """The numbers of a base model that memory and arithmetic follow from."""

    weights: int
    """All parameters."""
    linears: int
    """Those of the language model's linears, which a 4-bit base keeps in 4 bits and every position passes through."""
    hidden: int
    layers: int
    inner: int
    """Width inside a layer's MLP."""
    keys: int
    """Width of keys, and of values, of one layer and position."""
    vocab: int
    image_tokens: int
    image_px: int
    lora_width: int
    """Weights of a LoRA of rank 1."""
    latents: bool = False
    """Whether images are latents: drawn all at once, behind a turn of their own, and no ids of a reply."""


def _bagel() -> Dimensions:
    hidden, layers, inner, keys = 3584, 28, 18944, 512
    attention, mlp = 2 * hidden * (hidden + keys), 3 * hidden * inner
    widths = 2 * (hidden + hidden) + 2 * (hidden + keys) + 3 * (hidden + inner)
    # Two experts, of which every position passes one; the autoencoder is counted with the weights.
    weights, linears = 14_607_260_128 + 83_819_683, 2 * layers * (attention + mlp)
    lora = 2 * layers * widths
    return Dimensions(weights, linears, hidden, layers, inner, keys, 152064, 1024, 512, lora, latents=True)


def _janus(hidden: int, layers: int, inner: int, weights: int) -> Dimensions:
    per_layer = 4 * hidden * hidden + 3 * hidden * inner
    words = layers * (4 * 2 * hidden + 3 * (hidden + inner))
    # Head: two linears; aligners: eyes (1024 wide) and codes (8 wide) into the language model, two linears each.
    pictures = (2 * hidden) + (hidden + 16384) + (1024 + hidden) + (2 * hidden) + (8 + hidden) + (2 * hidden)
    return Dimensions(weights, layers * per_layer, hidden, layers, inner, hidden, 102400, 576, 384, words + pictures)


STARTER_PRESETS = frozenset({"starter", "starter-toy"})
"""Presets of the starter, the model that ships with the project: small, drawn pictures only, one CPU is enough."""
NEEDED_PACKAGES = {"bagel-toy": ("diffusers", "bagel"), "bagel-7b": ("diffusers", "bagel")}
"""By preset, a package that only it needs, and the extra of ours that brings it."""
REFERENCE_IMAGES = {"starter": 2, "starter-toy": 2}
"""By preset, how many reference images of a character are looked at wherever it is drawn; other models read none."""
LARGE: dict[str, Dimensions] = {
    "janus-pro-1b": _janus(2048, 24, 5632, 2_076_636_811),
    "janus-pro-7b": _janus(4096, 30, 11008, 7_407_773_323),
    "bagel-7b": _bagel(),
}
"""By preset."""

_EFFORTS: dict[str, dict[str, int]] = {
    "quick": {"sft_steps": 40, "sft_save_every": 40, "grpo_steps": 8, "grpo_save_every": 8, "grpo_prompts_per_step": 2},
    "standard": {
        "sft_steps": 160,
        "sft_save_every": 80,
        "grpo_steps": 40,
        "grpo_save_every": 20,
        "grpo_prompts_per_step": 4,
    },
    "thorough": {
        "sft_steps": 500,
        "sft_save_every": 125,
        "grpo_steps": 160,
        "grpo_save_every": 40,
        "grpo_prompts_per_step": 4,
    },
}
_RATES: dict[str, dict[str, Any]] = {
    "janus-pro-1b": {"sft_learning_rate": 2e-4, "grpo_learning_rate": 4e-5, "lora_rank": 32, "lora_alpha": 64},
    "janus-pro-7b": {"sft_learning_rate": 1e-4, "grpo_learning_rate": 2e-5, "lora_rank": 16, "lora_alpha": 32},
    # As AlphaGRPO (arXiv 2605.12495) trains both experts; its authors draw with a guidance of 4.
    "bagel-7b": {
        "sft_learning_rate": 1e-4,
        "grpo_learning_rate": 5e-5,
        "lora_rank": 32,
        "lora_alpha": 64,
        "image_cfg_scale": 4.0,
        "sft_row_max_images": 3,
    },
}


def large_settings(base: str, effort: str) -> dict[str, Any]:
    """Recipe fields of a base model that is not the starter, where they differ from the starter's."""
    # As Janus' authors draw; one LoRA rank and one rate for both sides, and no figures to replay.
    drawing = {
        "image_temperature": 1.0,
        "image_cfg_scale": 5.0,
        "foreign_image_learning_rate": 0.0,
        "image_learning_rate": 0.0,
        "sft_max_epochs": 0.0,
        "sft_image_rows": 0,
        "sft_replay_images": 0,
    }
    if base not in LARGE or effort not in _EFFORTS:
        return {**drawing, "image_lora_rank": 16}
    # A picture takes 576 positions of a row, drawn or looked at (BAGEL: 1,026 drawn): longer rows, and more of each for
    # pictures.
    shares = {
        "dialogue": 0.2,
        "reply_with_image": 0.22,
        "text_to_image": 0.36,
        "fact": 0.12,
        "image_qa": 0.1,
    }
    rewards = {
        "image_vqa": 0.25,
        "caption_match": 0.15,
        "variety": 0.1,
        "likeness": 0.2,
        "reply": 0.2,
        "semantic_match": 0.1,
    }
    rows = {"sft_row_max_tokens": 4096, "sft_row_max_images": 6, "grpo_group_size": 8}
    rates = _RATES[base]
    sides = {"image_lora_rank": rates["lora_rank"]}
    return {**drawing, **rows, **sides, "task_shares": shares, "reward_weights": rewards, **_EFFORTS[effort], **rates}
