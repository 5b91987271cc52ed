"""The two networks that grade and never reward: the attribute classifier and the second identity encoder.

They ship beside the starter's weights, in folders of their own, and are no part of its revision: adapters do not depend
on them. `python -m pipelines.starter_build.build pack` puts them there. A toy base gets toys with random weights.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from pipelines.evaluation.attribute_classifier import AttributeClassifier, AttributeClassifierConfig
from pipelines.evaluation.identity_encoder import IdentityEncoder, IdentityEncoderConfig
from pipelines.models.hub_weights import WeightsMissing
from pipelines.models.starter.loading import WEIGHTS

CLASSIFIER, IDENTITY = "classifier", "identity"
"""Folders beside the starter's weights, and the parts of the build that train them."""
GRADERS = (CLASSIFIER, IDENTITY)
WEIGHTS_FILE = "model.safetensors"
TOY_CHANNELS = (8, 8)


def load_classifier(preset: str = "starter", folder: Path = WEIGHTS / CLASSIFIER) -> AttributeClassifier:
    """The attribute classifier that goes with a base model, in fp32; raises WeightsMissing."""
    if preset.endswith("-toy"):
        torch.manual_seed(0)
        return AttributeClassifier(AttributeClassifierConfig(px=32, channels=TOY_CHANNELS)).eval()
    _require(folder, CLASSIFIER, "attribute classifier")
    model = AttributeClassifier(AttributeClassifierConfig.from_pretrained(folder))
    _fill(model, folder)
    return model


def load_identity_encoder(preset: str = "starter", folder: Path = WEIGHTS / IDENTITY) -> IdentityEncoder:
    """The second identity encoder that goes with a base model, in fp32; raises WeightsMissing."""
    if preset.endswith("-toy"):
        torch.manual_seed(0)
        return IdentityEncoder(IdentityEncoderConfig(px=32, channels=TOY_CHANNELS, width=8)).eval()
    _require(folder, IDENTITY, "second identity encoder")
    model = IdentityEncoder(IdentityEncoderConfig.from_pretrained(folder))
    _fill(model, folder)
    return model


def grader_revision(folder: Path) -> str:
    """A short hash of the weights in a grader's folder; "" where there are none. Readings of two are not mixed."""
    file = folder / WEIGHTS_FILE
    if not file.is_file():
        return ""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:12]


def _require(folder: Path, part: str, name: str) -> None:
    if not (folder / WEIGHTS_FILE).is_file():
        raise WeightsMissing(
            f"The {name} is missing from this installation; install Understudy again, or train it with "
            f"`python -m pipelines.starter_build.build {part}` and ship it with `pack`."
        )


def _fill(model: PreTrainedModel, folder: Path) -> None:
    stored = load_file(folder / WEIGHTS_FILE)  # bf16; the integer buffers stay integers
    model.load_state_dict({key: v.float() if v.is_floating_point() else v for key, v in stored.items()})
    model.eval().requires_grad_(False)
