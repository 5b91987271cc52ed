"""The judge of images and replies: what rewards and scorecard ask of it, and which one goes with a base model.

Two kinds exist: `StarterCritic`, a small encoder that ships with the starter, and `PretrainedJudges`, four published
models for published bases at `standard` and `thorough` on a GPU. The toys get a random critic.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file

from pipelines.core.jobs.model_specs import STARTER_PRESETS
from pipelines.models.hub_weights import WeightsMissing
from pipelines.models.starter.loading import WEIGHTS, language_words
from pipelines.rewards.image_features import ImageFeatures
from pipelines.rewards.starter_critic import StarterCritic, StarterCriticConfig, toy_critic


class Judge(Protocol):
    """Scores images against captions, questions and other images. Letters: N images, O options."""

    compares_texts: bool
    """Whether `text_similarity` works."""

    @property
    def image_px(self) -> int:
        """Side at which images are best opened for it; other sizes are resized."""
        ...

    def encode_images(self, pixels: torch.Tensor) -> ImageFeatures:
        """(N, 3, any, any) in [-1, 1], on any device and in any floating type, to features."""
        ...

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        """Captions to (len(texts), D), unit length, comparable with `ImageFeatures.caption`."""
        ...

    def caption_probs(self, image_features: ImageFeatures, captions: list[str]) -> torch.Tensor:
        """(N, O) softmax over the captions: which of them describes the image."""
        ...

    def answer_probs(
        self, image_features: ImageFeatures, field: str, options: list[str], captions: list[str]
    ) -> torch.Tensor:
        """(N, O) softmax over the options: which answers the question about `field` (expression, clothes, place).

        captions: each option in the words of a caption, for a judge that compares captions instead of answering.
        """
        ...

    def likeness(self, first: ImageFeatures, second: ImageFeatures) -> torch.Tensor:
        """(N1, N2) in 0..1: is it the same character? 0.5 at the verification threshold."""
        ...

    def match(self, image_features: ImageFeatures, texts: list[str]) -> torch.Tensor:
        """(N,) in 0..1: how well image n fits text n; 0.5 at the threshold between right and wrong captions."""
        ...

    def text_similarity(self, texts: list[str], others: list[str]) -> torch.Tensor:
        """(len(texts), len(others)) cosine similarities of meanings; only where `compares_texts`."""
        ...


def load_judge(preset: str, effort: str = "quick") -> Judge:
    """The judge that goes with a base model at this effort; raises WeightsMissing."""
    if preset.endswith("-toy"):
        return toy_critic()
    if preset not in STARTER_PRESETS and effort != "quick" and torch.cuda.is_available():
        # Imported here: the classes of four more architectures are only needed with a published base.
        from pipelines.rewards.pretrained_judges import load_judges

        return load_judges()
    return load_starter_critic()


def load_starter_critic(folder: Path = WEIGHTS / "critic") -> StarterCritic:
    """The starter's critic with the language model's word embeddings attached; raises WeightsMissing."""
    if not (folder / "config.json").exists():
        raise WeightsMissing("The critic's weights are missing from this installation; install Understudy again.")
    critic = StarterCritic(StarterCriticConfig.from_pretrained(folder))
    stored = load_file(folder / "model.safetensors")  # bf16; the integer buffers stay integers
    critic.load_state_dict({key: v.float() if v.is_floating_point() else v for key, v in stored.items()})
    return critic.eval().attach_words(*language_words())
