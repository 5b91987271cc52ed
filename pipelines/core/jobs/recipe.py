"""The recipe: everything a training run may be told, derived from one dial.

`Recipe.for_effort("starter", "quick")` is what the studio and the command line call; every field may be
overridden there. Contradictions raise when a recipe is built, naming both fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from pipelines.core.jobs.model_specs import STARTER_PRESETS, large_settings
from pipelines.core.renamed_keys import NEWER_RECIPE_KEYS, recipe_keys

Effort = Literal["quick", "standard", "thorough"]
TASKS = ("dialogue", "reply_with_image", "text_to_image", "fact", "image_qa")
"""What stage 1 learns from; keys of `Recipe.task_shares`."""
REWARD_PARTS = ("image_vqa", "caption_match", "variety", "likeness", "reply", "semantic_match")
"""What replies are judged by in stage 2; keys of `Recipe.reward_weights`, functions in `pipelines.rewards.rewards`."""

LORA_FIELDS = ("lora_rank", "image_lora_rank", "lora_alpha")
"""The size of the adapter, which cannot change while one is trained further."""


@dataclass(frozen=True)
class Recipe:
    """Settings of one run."""

    base: str = "starter"
    """Preset name of the base model."""
    effort: Effort = "quick"
    """The creator's dial; only a label here, the numbers below count."""
    seed: int = 0
    """Seed of data order, LoRA initialisation and sampling."""
    lora_rank: int = 16
    """Rank of the LoRA matrices of the language side."""
    image_lora_rank: int = 64
    """The same of the image side."""
    lora_alpha: int = 32
    """LoRA scale is alpha / rank; the image side has the same scale, whatever its rank."""
    sft_steps: int = 84
    """Optimiser steps of Unified-SFT."""
    sft_learning_rate: float = 1.5e-3
    """Peak rate, AdamW, 5 % linear warm-up, then cosine."""
    image_learning_rate: float = 1.5e-3
    """Peak rate of Unified-SFT on the image side; 0: as the language side."""
    foreign_image_learning_rate: float = 2e-3
    """The same for a character in a style that the base model does not know (`training/image_rate.py`); 0: no other."""
    sft_row_max_tokens: int = 1280
    """Most positions in one packed row of conversations, prefix and codes included; one row is one optimiser step."""
    sft_row_max_images: int = 5
    """Most pictures of the character in one packed row of conversations, drawn or looked at."""
    sft_max_epochs: float = 4.0
    """How often a conversation is learned at most, on average: rows become shorter for a character with few. 0: no
    limit."""
    sft_image_rows: int = 2
    """Rows of pictures alone behind each row of conversations, which then only announces pictures: drawing a new face
    takes more steps than speaking, and each of them costs a quarter. 0 draws them in the row that announces them."""
    sft_row_images: int = 4
    """Pictures of the character in such a row."""
    sft_replay_images: int = 2
    """Drawings of other figures in every row, against forgetting faces and places that the pictures do not show."""
    fact_loss_weight: float = 4.0
    """What a learned word of a fact's answer counts for beside other words: answers are short and must be exact."""
    scene_loss_weight: float = 3.0
    """The same for the scene line with which a request for a picture is answered: whether there is a picture, and of
    what, is settled by these few words."""
    sft_save_every: int = 84
    """Steps between checkpoints."""
    task_shares: dict[str, float] = field(
        default_factory=lambda: {
            "dialogue": 0.36,
            "reply_with_image": 0.14,
            "text_to_image": 0.2,
            "fact": 0.25,
            "image_qa": 0.05,
        }
    )
    """Share of the positions of a row of conversations for each task (the paper: 20000:1 pictures to words)."""
    grpo_steps: int = 3
    """Optimiser steps of Character-GRPO; 0 skips the stage."""
    grpo_learning_rate: float = 1.5e-4
    """Constant rate, AdamW."""
    grpo_prompts_per_step: int = 2
    """Different prompts in one step."""
    grpo_group_size: int = 6
    """Replies sampled for each prompt (the paper: 8)."""
    grpo_beta: float = 0.02
    """Weight of the KL term to the model before this stage."""
    grpo_replay_weight: float = 0.5
    """Weight of stage 1's loss in every GRPO step, on half a row of its samples and a row of general chat, against
    forgetting; 0 leaves it out."""
    preference_weight: float = 1.0
    """Weight of DPO on the preferences (votes, corrections) in every GRPO step; 0 leaves it out."""
    preference_beta: float = 0.1
    """DPO's beta: how dear it is to move away from the model before this stage."""
    preference_epochs: int = 3
    """How often each preference is learned from, spread over the steps of the stage as far as these have room."""
    grpo_save_every: int = 3
    """Steps between checkpoints."""
    flow_steps: int = 10
    """Steps in which practice draws a picture, for base models that draw by flow matching; people's take more."""
    flow_sde_steps: int = 0
    """How many of them are stochastic, so that practice learns from their probabilities (Flow-GRPO); 0: from the
    pictures alone (DiffusionNFT)."""
    reward_weights: dict[str, float] = field(
        default_factory=lambda: {
            "image_vqa": 0.25,
            "caption_match": 0.2,
            "variety": 0.1,
            "likeness": 0.2,
            "reply": 0.25,
        }
    )
    """Weights of the reward parts, after each is normalised inside its group."""
    max_new_tokens: int = 96
    """Most text tokens in a sampled reply, scene included."""
    temperature: float = 0.8
    """Sampling temperature of text in GRPO rollouts."""
    top_p: float = 0.95
    """Nucleus (top-p) of text in GRPO rollouts."""
    image_cfg_scale: float = 1.5
    """Classifier-free guidance when pictures are drawn for people; rollouts draw without (1.0)."""

    image_temperature: float = 0.3
    """Sampling temperature of codes when pictures are drawn for people; rollouts draw at 1.0. Small models need less
    than 1: with the starter 1.0 smudges (docs/log.md)."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            _check_amount(name, value)
        # Steps and sizes that cannot be run are refused here, before a GPU is asked for.
        if self.grpo_steps and self.grpo_group_size < 2:
            raise ValueError(
                "grpo_group_size must be at least 2 when grpo_steps is above 0: a group of one has no advantage"
            )
        if self.sft_steps == 0 and self.grpo_steps == 0:
            raise ValueError("sft_steps and grpo_steps are both 0: there is nothing to train")
        if not self.flow_sde_steps <= self.flow_steps or self.flow_steps < 2:
            raise ValueError("flow_steps must be at least 2, and flow_sde_steps no more than that")
        if self.sft_save_every < 1 or self.grpo_save_every < 1:
            raise ValueError("sft_save_every and grpo_save_every must be at least 1")

    @classmethod
    def for_effort(cls, base: str, effort: Effort, **overrides: Any) -> Recipe:
        """The recipe of one dial position; `overrides` are field names of this class.

        More steps of a stage take a smaller rate, steps times rate staying the same: at the full rate stage 1 learns
        ten pictures and fifty conversations by heart, and GRPO wears the style off (docs/log.md).
        """
        tables: dict[str, dict[str, float]] = {
            "quick": {"sft_steps": 84, "sft_save_every": 84, "grpo_steps": 3, "grpo_save_every": 3},
            "standard": {
                "sft_steps": 168,
                "sft_learning_rate": 7.5e-4,
                "image_learning_rate": 9e-4,
                "foreign_image_learning_rate": 1.2e-3,
                "sft_save_every": 84,
                "grpo_steps": 28,
                "grpo_save_every": 14,
                "grpo_group_size": 8,
                "grpo_learning_rate": 2.5e-4,
                "grpo_replay_weight": 0.2,
            },
            "thorough": {
                "sft_steps": 336,
                "sft_learning_rate": 3.75e-4,
                "image_learning_rate": 5e-4,
                "foreign_image_learning_rate": 6e-4,
                "sft_save_every": 168,
                "grpo_steps": 112,
                "grpo_save_every": 28,
                "grpo_group_size": 8,
                "grpo_learning_rate": 6.25e-5,
                "grpo_replay_weight": 0.2,
            },
        }
        if effort not in tables:
            raise ValueError(f"effort {effort!r} is not one of {', '.join(tables)}")
        large = {} if base in STARTER_PRESETS else large_settings(base, effort)
        return cls(base=base, effort=effort, **{**tables[effort], **large, **overrides})

    def with_changes(self, changes: Mapping[str, Any]) -> Recipe:
        """This recipe with some fields changed, by whatever name they have had; tables may be given in part.

        A changed effort brings its own numbers, and the other changes go on top. ValueError, in words for people, for
        a field that does not exist, a value of the wrong kind, or a contradiction.
        """
        changes = recipe_keys(changes)
        before = self.to_json()
        unknown = sorted(set(changes) - set(before))
        if unknown:
            raise ValueError(f"there is no setting {', '.join(unknown)} in a recipe")
        effort = changes.get("effort", self.effort)
        if effort not in get_args(Effort):
            raise ValueError(f"effort {effort!r} is not one of {', '.join(get_args(Effort))}")
        checked = {name: _checked_value(name, before[name], value) for name, value in changes.items()}
        if effort == self.effort:
            return replace(self, **checked)
        rest = {name: value for name, value in checked.items() if name not in ("effort", "base")}
        return Recipe.for_effort(checked.get("base", self.base), effort, **{"seed": self.seed, **rest})

    def with_new_defaults(self) -> Recipe:
        """What the same base model, effort and seed give today, the LoRA's size kept so that its adapters still fit."""
        kept = {name: value for name, value in asdict(self).items() if name in ("seed", *LORA_FIELDS)}
        return Recipe.for_effort(self.base, self.effort, **kept)

    def differences(self, other: Recipe) -> dict[str, tuple[Any, Any]]:
        """Fields in which another recipe differs: name -> (here, there); entries of tables by `table.key`."""
        ours, theirs = _flat(self.to_json()), _flat(other.to_json())
        return {name: (ours[name], theirs.get(name)) for name in ours if ours[name] != theirs.get(name)}

    @property
    def checkpoint_count(self) -> int:
        """How many checkpoints a whole run evaluates: the base, and one at each saving."""
        return 1 + -(-self.sft_steps // self.sft_save_every) + -(-self.grpo_steps // self.grpo_save_every)

    def to_json(self) -> dict[str, Any]:
        """A plain dict for `run.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recipe:
        """The inverse of `to_json`, names of earlier versions included; an unknown key raises TypeError.

        What an earlier version did not know is set to what it did, so that a run it began goes on as it was.
        """
        known = recipe_keys(data)
        if "lora_rank" in known:
            known = {**NEWER_RECIPE_KEYS, "image_lora_rank": known["lora_rank"], **known}
        return cls(**known)


MAX_AMOUNT = 10**9
"""No setting is larger; numbers of thousands of digits are no mistake in a unit."""


def _check_amount(name: str, value: Any) -> None:
    """ValueError for a number that no setting can be, in a table too."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_amount(f"{name}.{key}", inner)
    elif isinstance(value, int | float) and name != "seed" and not 0 <= value <= MAX_AMOUNT:  # nan is in no range
        raise ValueError(f"{name} must be a number from 0 to {MAX_AMOUNT:,}")


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Tables taken apart: `task_shares.fact`."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}.{key}": inner for key, inner in value.items()})
        else:
            flat[name] = value
    return flat


def _checked_value(name: str, before: Any, value: Any) -> Any:
    """The new value of a field that was `before`; a table keeps the entries that are not named."""
    kinds: tuple[type, ...] = (int, float) if isinstance(before, float) else (type(before),)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, which is the wrong kind of value: it was {before!r} before")
    if not isinstance(value, dict):
        return value
    known = {"task_shares": TASKS, "reward_weights": REWARD_PARTS}[name]
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise ValueError(f"{name} has no {', '.join(map(str, unknown))}, only {', '.join(known)}")
    return {**before, **{key: _checked_value(f"{name}.{key}", 0.0, share) for key, share in value.items()}}
