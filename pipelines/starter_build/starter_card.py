"""The starter's model card: what the weights are, how they were made, and every figure that the build measured.

Written to CARD.md beside the shipped weights by the part `pack`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.models.starter.loading import revision
from pipelines.starter_build.build_config import build_config

STORED_IMAGES = 24_000
"""Images of the stored set, as `build.py pictures` renders it by default."""
PART_TITLES = {
    "tokenizer": "Image tokenizer (held-out drawings, dB)",
    "critic": "Critic (held-out identities)",
    "classifier": "Attribute classifier, for measuring only (held-out drawings)",
    "identity": "Second identity encoder, for grading only (held-out figures, hue turns, emoji and icons)",
    "graders": "Graders on real drawings (`real_among_20`: named among twenty figures)",
    "eyes": "Vision tower (accuracy of slots on held-out identities)",
    "picture": "Image expert (loss in nats per code)",
}
NO_GRADERS = """
No attribute classifier and no second identity encoder are shipped with these weights yet, so there are no figures of a
judge that took no part in the rewards.
"""
"""What the card of weights without graders says."""
MEASURED_TITLES = {
    "tokenizer": "Measured: what the image tokenizer keeps",
    "pictures": "Measured: drawing what is asked for (unseen identities and combinations; `real` is the same reading "
    "of the rendering)",
    "guidance": "Measured: guidance scales (expression, clothes and match by the critic)",
    "eyes": "Measured: what the vision tower sees (unseen identities)",
    "critic": "Measured: what the critic can tell (unseen identities)",
    "language": "Measured: language kept",
}
ARTWORK = {
    "avataaars": "avataaars by Pablo Stanley (free for personal and commercial use)",
    "toon-head": "toon-head by Johan Melin (CC BY 4.0)",
    "critters": "critters by DiceBear (CC0 1.0)",
    "adventurer": "adventurer by Lisa Wischofsky (CC BY 4.0)",
    "micah": "micah by Micah Lanier (CC BY 4.0)",
    "bottts": "bottts by Pablo Stanley (free for personal and commercial use)",
    "sprouts": "sprouts by DiceBear (CC0 1.0)",
    "moods": "moods by DiceBear (CC0 1.0)",
    "animals": "animals of our own (CC0 1.0)",
}
SYMBOLS = (
    "Fluent Emoji flat by Microsoft (MIT)",
    "Noto Emoji by Google (Apache-2.0)",
    "FxEmoji by Mozilla (Apache-2.0)",
    "Twemoji by Twitter and contributors (CC BY 4.0)",
    "Flat Color Icons by Icons8 (MIT)",
)
"""What the broad domain adds."""
CARD_HEAD = """---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
tags: [understudy, text-to-image, role-play]
---
# The starter, revision {revision}

A small unified text+image model for two CPU cores: SmolLM2-135M-Instruct (not in this folder, fetched from its package
and used unchanged) with our image tokenizer, image expert, vision tower, and the critic that judges it.
{megabytes:.1f} MB in bf16. Trained on {hardware}, by `python -m pipelines.starter_build.build`.

- **Data**: drawings ({drawn}) made by this repository's own script from {art},
  over our own scenes; captions and questions by script. No photographs, no scraped pictures. Every twentieth identity
  and 2 % of the combinations of expression, clothes and place are held out. LICENCES.md has the licences.
- **Language**: the language expert's weights are frozen, so its language is SmolLM2's to the bit.
- **Domain**: cartoon busts at {px} px with eight expressions, eleven colours of clothes, {places} places.{broad}
- **Sheet**: sheet.png has real drawings in odd rows and the starter's, for the same captions, below them.
"""


BROAD = """
  Image tokenizer and image expert also learned from figures turned in hue, emoji and icons as characters (in plain
  coats, six poses), the tokenizer from random flat art. Photographs are redrawn in this manner at best."""
NARROW = " Other\n  pictures (photographs, other art) are redrawn in this manner at best."


def starter_model_card(out: Path, sizes: dict[str, int], hardware: str) -> str:
    """The text of CARD.md. sizes: files of the weights -> bytes; hardware: what they were trained on."""
    config = build_config(out)
    domain = config.domain
    lines = [
        CARD_HEAD.format(
            revision=revision(),
            hardware=hardware,
            megabytes=sum(sizes.values()) / 1e6,
            px=config.build_size.px,
            places=len(domain.places),
            art=", ".join([*(ARTWORK[style] for style in domain.styles), *(SYMBOLS if config.is_broad else ())]),
            broad=BROAD if config.is_broad else NARROW,
            drawn=_images_rendered(out, config.stream),
        )
    ]
    for part, title in PART_TITLES.items():
        lines += _table(title, _read_scores(out / f"{part}.json"))
    measured = _read_scores(out / "measured.json")
    for name, title in MEASURED_TITLES.items():
        if name in measured:
            lines += _table(title, measured[name])
    for name, scores in _read_scores(out / "fewshot" / "fewshot.json").items():
        lines += _table(f"Few-shot: ten images, identity unseen, {name}", scores)
    notes = [f"- {note}" for note in measured.get("notes", [])]
    return "\n".join([*lines, *(["\n## Notes on measuring\n", *notes] if notes else [])]) + "\n"


def with_grader_tables(card: str, out: Path) -> str:
    """The card with the tables of the graders in `out`: in place of its own, or at its end."""
    card = card.replace(NO_GRADERS, "")
    for part in ("classifier", "identity", "graders"):
        title, scores = PART_TITLES[part], _read_scores(out / f"{part}.json")
        if scores:
            before, _, behind = card.partition(f"\n## {title}\n")
            rest = behind.partition("\n## ")[2]
            table = "\n".join(_table(title, scores))
            card = before.rstrip("\n") + "\n" + table + "\n" + (f"\n## {rest}" if rest else "")
    return card


def _read_scores(file: Path) -> dict[str, Any]:
    """The JSON of a part or of `measure`; {} if it has not run."""
    scores: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return scores


def _images_rendered(out: Path, stream: bool) -> str:
    """How many images were rendered to train on, and whether they were stored."""
    rendered = max(int(_read_scores(out / f"{part}.json").get("drawn", 0)) for part in PART_TITLES)
    if stream:
        return "drawn on demand and never stored"
    streamed = rendered - STORED_IMAGES
    later = f"; the image expert was trained further with {streamed:,} more, drawn on demand" if streamed > 0 else ""
    return f"{STORED_IMAGES:,} of {STORED_IMAGES // 10:,} identities{later}"


def _table(title: str, scores: dict[str, Any]) -> list[str]:
    numbers = {name: value for name, value in scores.items() if isinstance(value, int | float)}
    rows = [
        f"| {name.replace('_', ' ')} | {value if isinstance(value, int) else f'{value:.4g}'} |"
        for name, value in numbers.items()
    ]
    return [f"\n## {title}\n\n| figure | value |\n|---|---|", *rows] if rows else []
