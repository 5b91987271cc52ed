"""Which judge of pictures goes with a base model, and loading it.

The toys get a random critic, a published base at `standard` and `thorough` on a GPU the published reward models, and
everybody else the starter's own critic, whose weights ship with the starter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from pipelines.models.hub_weights import WeightsMissing
from pipelines.models.starter.loading import WEIGHTS, language_words
from pipelines.rewards.starter_critic import StarterCritic, StarterCriticConfig, toy_critic


def load_judge(preset: str, effort: str = "quick") -> Any:
    """The judge of a preset's pictures at this effort; raises WeightsMissing."""
    if preset.endswith("-toy"):
        return toy_critic()
    if not preset.startswith("starter") and effort != "quick" and torch.cuda.is_available():
        # Imported here: the towers' classes are only needed with a published base.
        from pipelines.rewards.pretrained_judges import load_judges

        return load_judges()
    return load_starter_critic()


def load_starter_critic(folder: Path = WEIGHTS / "critic") -> StarterCritic:
    """The starter's critic with the language expert's word embeddings attached; raises WeightsMissing."""
    if not (folder / "config.json").exists():
        raise WeightsMissing("The critic's weights are missing from this installation; install Understudy again.")
    critic = StarterCritic(StarterCriticConfig.from_pretrained(folder))
    stored = load_file(folder / "model.safetensors")  # bf16; the integer buffers stay integers
    critic.load_state_dict({key: v.float() if v.is_floating_point() else v for key, v in stored.items()})
    return critic.eval().attach_words(*language_words())
