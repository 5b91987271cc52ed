"""The part `measure` of the build: every number of the card, into measured.json, section by section.

Sections: `tokenizer`, `pictures`, `guidance`, `eyes`, `critic`, `language`; each is written as soon as it is done. The
parts in the build folder are measured as they will be shipped (rounded to bf16); a folder without them measures the
weights of this installation. What could not be measured is said in `notes`. Nothing is trained here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from pipelines.evaluation.attribute_classifier import AttributeReader
from pipelines.models.starter.loading import load_starter
from pipelines.models.starter.model import StarterModel
from pipelines.rewards.judge import load_starter_critic
from pipelines.rewards.starter_critic import StarterCritic
from pipelines.starter_build.build_config import BuildSize, build_config
from pipelines.starter_build.dataset import DrawnDataset
from pipelines.starter_build.export import fresh_starter
from pipelines.starter_build.render_dataset import render_images


@dataclass(frozen=True)
class Counts:
    """How much is measured."""

    combinations: int = 500
    """Pictures drawn of unseen identities in unseen combinations."""
    sweep: int = 120
    """Pictures for each strength of guidance."""
    rebuilt: int = 600
    """Held-out pictures sent through the tokenizer."""
    asked: int = 200
    """Held-out pictures that the eyes are asked about."""
    guidance: float = 2.0
    sweep_over: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 4.0)


QUICK = Counts(48, 16, 60, 16)


@dataclass(frozen=True)
class BuildScores:
    """What is measured, on one device."""

    model: StarterModel
    tokenizer: PreTrainedTokenizerFast
    critic: StarterCritic
    reader: AttributeReader | None
    """The attribute classifier, if the build has trained one."""
    held_out: DrawnDataset


def measure_all(
    out: Path, size: BuildSize, device: str = "cpu", quick: bool = False, counts: Counts | None = None
) -> dict[str, Any]:
    """Measure everything, write `out`/measured.json, sheet.png and likeness.png; returns the sections."""
    # Imported here so that each section's file stays apart; all of them need torch anyway.
    from pipelines.starter_build.measure_critic import measure_critic
    from pipelines.starter_build.measure_images import measure_images, sweep_guidance
    from pipelines.starter_build.measure_tokenizer import measure_tokenizer
    from pipelines.starter_build.measure_vision_tower import measure_language, measure_vision_tower

    counts = counts or (QUICK if quick else Counts())
    notes: list[str] = ["counts: " + ", ".join(f"{name} {value}" for name, value in vars(counts).items())]
    what = open_parts(out, size, device, notes)
    done: dict[str, Any] = {}
    sections = {
        "tokenizer": lambda: measure_tokenizer(what, counts.rebuilt, notes),
        "pictures": lambda: measure_images(what, counts.combinations, counts.guidance, out / "sheet.png"),
        "guidance": lambda: sweep_guidance(what, counts.sweep, counts.sweep_over),
        "eyes": lambda: measure_vision_tower(what, counts.asked),
        "critic": lambda: measure_critic(what, out / "likeness.png"),
        "language": lambda: measure_language(what),
    }
    for name, measured in sections.items():
        done[name] = {key: round(float(value), 4) for key, value in measured().items()}
        print(json.dumps({name: done[name]}), flush=True)
        kept = json.dumps(done | {"notes": notes}, indent=1)
        (out / "measured.json").write_text(kept + "\n", encoding="utf-8")
    return done | {"notes": notes}


def open_models(
    out: Path, size: BuildSize, device: str = "cpu"
) -> tuple[StarterModel, PreTrainedTokenizerFast, StarterCritic]:
    """The build's starter and critic as they are shipped, or those of this installation where `out` has no build."""
    if is_build(out):
        model, tokenizer = fresh_starter(out, device, size)
        critic = StarterCritic.from_pretrained(out / "critic" / "model").float()
    else:
        model, tokenizer = load_starter()
        critic = load_starter_critic()
    for module in (model.picture, model.eyes, model.vq):
        for value in module.parameters():
            value.data = value.data.bfloat16().float()  # as they are shipped
    model = model.requires_grad_(False).to(device).eval()
    critic.attach_words(tokenizer, model.get_input_embeddings().weight)
    return model, tokenizer, critic.to(device).eval()


def is_build(out: Path) -> bool:
    """Whether the folder holds a build's parts."""
    return (out / "tokenizer" / "tokenizer").is_dir()


def open_parts(out: Path, size: BuildSize, device: str, notes: list[str]) -> BuildScores:
    """All that is measured; adds to `notes` what is missing and draws held-out pictures where there are none."""
    model, tokenizer, critic = open_models(out, size, device)
    if not is_build(out):
        notes.append("measured are the weights of this installation, not a build")
    reader = None
    if (out / "classifier" / "model").is_dir():
        reader = AttributeReader.from_pretrained(out / "classifier" / "model").float().to(device).eval()
    else:
        notes.append("attribute classifier: none in this build (run its part `classifier`); the critic alone was asked")
    folder = out / "pictures" / "held_out"
    if not (folder / "pictures.npy").exists():
        px = model.spec.image_px
        render_images(folder, 200, px=px, held_out=True, processes=1, domain=build_config(out).domain)
    return BuildScores(model, tokenizer, critic, reader, DrawnDataset.load(out / "pictures", "held_out"))
