"""Warnings about pictures from what a model sees in them: doubts, and captions that speak against what is seen.

The studio shows them beside each picture; `understudy character check DIR --look` lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipelines.core.character.caption_lint import contradicted_fields
from pipelines.core.character.character import CharacterImage
from pipelines.core.jobs.reply_protocol import HARD_TO_DRAW, SEVERAL_FIGURES, SMALL_DETAILS
from pipelines.core.problems import Problem

DOUBT_WORDS = {
    HARD_TO_DRAW: (
        "This may be a photograph, or an art that I cannot hold: fine shades and small things get lost.",
        "Compare it with what I make of it: what is missing there cannot be learned. Flat, clear drawings work best.",
    ),
    SEVERAL_FIGURES: (
        "There may be more than one figure here.",
        "Crop it to your character, or take it out: the others would be learned as part of them.",
    ),
    SMALL_DETAILS: (
        "Small details, such as eyes and mouth, are lost when I draw this.",
        "Compare the face with what I make of it. If it suffers, crop closer to it: it needs half of the picture.",
    ),
}
"""Doubt of `reply_protocol.DOUBTS` -> what a creator reads, and what to do."""


def doubt_problems(file: str, doubts: Iterable[str]) -> list[Problem]:
    """Warnings about one picture; doubts of a later version are passed over."""
    return [Problem(f"images/{file}", *DOUBT_WORDS[doubt], "warning") for doubt in doubts if doubt in DOUBT_WORDS]


def contradiction_problems(image: CharacterImage, seen: Mapping[str, str]) -> list[Problem]:
    """A warning for each field of a caption that speaks against what is seen (`trusted_fields`)."""
    mend = "Change one of them, or leave it where the model is wrong: training believes the caption."
    return [
        Problem(f"images/{image.file}", f'The caption says something else: I see "{words}".', mend, "warning")
        for words in contradicted_fields(image, seen).values()
    ]
