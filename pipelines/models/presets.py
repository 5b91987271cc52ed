"""Base models by preset: their names, and the one function that loads a model and its tokenizer.

Imports no torch until a model is loaded, so that the command line can list the presets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.core.model_identity import TOY_REVISION, ModelIdentity

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from pipelines.models.interface import ReplayFigure, UnifiedModel

PRESETS: dict[str, str] = {
    "starter": "The embedded default: SmolLM2-135M with a small image expert, for two CPU cores.",
    "starter-toy": "The starter's classes at toy size with random weights, for tests.",
    "janus-toy": "Janus' classes at toy size with random weights, for tests.",
    "bagel-toy": "BAGEL's classes at toy size with random weights, for tests; needs the extra bagel.",
    "janus-pro-1b": "deepseek-community/Janus-Pro-1B, 384 px, 576 codes; a GPU of 12 GB or more.",
    "janus-pro-7b": "deepseek-community/Janus-Pro-7B, 384 px, 576 codes; a GPU of 24 GB or more.",
    "bagel-7b": "ByteDance-Seed/BAGEL-7B-MoT, 512 px, 1,024 latents, untried; a GPU of 24 GB or more, extra bagel.",
}


def load(preset: str, bits: int = 16) -> tuple[UnifiedModel, PreTrainedTokenizerBase]:
    """(model, tokenizer) of a preset; ValueError for an unknown name.

    bits: 4 loads a published model's Linears in 4 bits, which needs a GPU and the extra `four-bit`; the small models
    ignore it.
    """
    if preset == "starter":
        from pipelines.models.starter.loading import load_starter

        return load_starter()
    if preset == "starter-toy":
        from pipelines.models.starter.model import toy_starter

        return toy_starter()
    if preset == "janus-toy":
        from pipelines.models.janus import toy_janus

        return toy_janus()
    if preset == "bagel-toy":
        from pipelines.models.bagel.random_weights import toy_bagel

        return toy_bagel()
    if preset == "bagel-7b":
        from pipelines.models.bagel.loading import load_bagel

        return load_bagel(bits)
    if preset in PRESETS:
        from pipelines.models.janus_loading import load_janus

        return load_janus(preset, bits)
    raise ValueError(f"base model {preset!r} is not known; choose one of: {', '.join(PRESETS)}")


def identity_of(preset: str) -> ModelIdentity:
    """Which weights `load` would load, without loading them: `UnifiedModel.identity`.

    Raises WeightsMissing where published weights are not on this machine and cannot be fetched.
    """
    if preset == "starter":
        from pipelines.models.starter.loading import NAME, revision

        return ModelIdentity(NAME, revision())
    from pipelines.models.hub_weights import MODELS, fetch

    if preset in MODELS:
        return ModelIdentity(MODELS[preset].repository, fetch(preset).revision)
    return ModelIdentity(f"understudy/{preset}", TOY_REVISION)


def load_replay_figures(preset: str) -> list[ReplayFigure]:
    """Figures that fine-tuning goes on drawing beside a character; none for a base model that ships without."""
    if preset != "starter":
        return []
    from pipelines.models.starter.loading import load_replay_drawings

    return load_replay_drawings()
