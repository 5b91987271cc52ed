"""The part `measure` of the build: every figure of the model card, into measured.json, section by section.

Sections: `tokenizer`, `pictures`, `guidance`, `eyes`, `critic`, `language`; each is written as soon as it is done. The
parts in the build folder are measured rounded to bf16, as they will be shipped; for a folder without parts the shipped
weights are measured. What could not be measured is said in `notes`. Nothing is trained here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.starter_build.build_config import BuildSize
from pipelines.starter_build.measure_context import open_measure_context
from pipelines.starter_build.measure_critic import measure_critic
from pipelines.starter_build.measure_images import measure_images, sweep_guidance
from pipelines.starter_build.measure_tokenizer import measure_tokenizer
from pipelines.starter_build.measure_vision_tower import measure_language, measure_vision_tower


@dataclass(frozen=True)
class Counts:
    """How much is measured."""

    combinations: int = 500
    """Images generated, of unseen identities in unseen combinations of attributes."""
    sweep: int = 120
    """Images for each guidance scale."""
    reconstructed: int = 600
    """Held-out images encoded and decoded by the image tokenizer."""
    asked: int = 200
    """Held-out images about which questions are answered."""
    guidance: float = 2.0
    sweep_over: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 4.0)


QUICK = Counts(48, 16, 60, 16)


def measure_all(
    out: Path, size: BuildSize, device: str = "cpu", quick: bool = False, counts: Counts | None = None
) -> dict[str, Any]:
    """Measure everything and write `out`/measured.json, sheet.png and likeness.png; returns the sections."""
    counts = counts or (QUICK if quick else Counts())
    notes: list[str] = ["counts: " + ", ".join(f"{name} {value}" for name, value in vars(counts).items())]
    context = open_measure_context(out, size, device, notes)
    done: dict[str, Any] = {}
    sections = {
        "tokenizer": lambda: measure_tokenizer(context, counts.reconstructed, notes),
        "pictures": lambda: measure_images(context, counts.combinations, counts.guidance, out / "sheet.png"),
        "guidance": lambda: sweep_guidance(context, counts.sweep, counts.sweep_over),
        "eyes": lambda: measure_vision_tower(context, counts.asked),
        "critic": lambda: measure_critic(context, out / "likeness.png"),
        "language": lambda: measure_language(context),
    }
    for name, measure_section in sections.items():
        done[name] = {key: round(float(value), 4) for key, value in measure_section().items()}
        print(json.dumps({name: done[name]}), flush=True)
        written = json.dumps(done | {"notes": notes}, indent=1)
        (out / "measured.json").write_text(written + "\n", encoding="utf-8")
    return done | {"notes": notes}
