"""What every section of the measurement needs: the models, the attribute classifier and the held-out images.

Apart from `measure.py`, which imports the sections, so that they can import this.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from pipelines.evaluation.attribute_classifier import AttributeClassifier
from pipelines.models.starter.model import StarterModel
from pipelines.rewards.starter_critic import StarterCritic
from pipelines.starter_build.build_config import BuildSize, build_config
from pipelines.starter_build.dataset import DrawnDataset
from pipelines.starter_build.load_build import has_parts, load_models
from pipelines.starter_build.render_dataset import render_images

HELD_OUT_IMAGES = 200
"""Rendered where the folder has no held-out images."""


@dataclass(frozen=True)
class MeasureContext:
    """Models on one device, in evaluation mode, and the held-out images."""

    model: StarterModel
    tokenizer: PreTrainedTokenizerFast
    critic: StarterCritic
    classifier: AttributeClassifier | None
    """None if the build has not trained one."""
    held_out: DrawnDataset


def open_measure_context(out: Path, size: BuildSize, device: str, notes: list[str]) -> MeasureContext:
    """Load everything of a build folder; what is missing is added to `notes`."""
    model, tokenizer, critic = load_models(out, size, device)
    if not has_parts(out):
        notes.append("measured are the weights of this installation, not a build")
    classifier = None
    if (out / "classifier" / "model").is_dir():
        classifier = AttributeClassifier.from_pretrained(out / "classifier" / "model").float().to(device).eval()
    else:
        notes.append("attribute classifier: none in this build (run its part `classifier`); the critic alone was asked")
    folder = out / "pictures" / "held_out"
    if not (folder / "pictures.npy").exists():
        px, domain = model.spec.image_px, build_config(out).domain
        render_images(folder, HELD_OUT_IMAGES, px=px, held_out=True, processes=1, domain=domain)
    return MeasureContext(model, tokenizer, critic, classifier, DrawnDataset.load(out / "pictures", "held_out"))
