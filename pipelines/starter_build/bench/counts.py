"""How much the benchmark measures: the whole in about three hours on two cores, `--quick` in about ten minutes.

Every case is a function of its number, so the quick cases are the first of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Counts:
    """Cases of each part, and what is trained for them."""

    drawings: int = 500
    """Combinations drawn from words."""
    people: int = 100
    people_drawings: int = 5
    """Drawings of each."""
    galleries: int = 64
    """Among whose galleries a drawing's nearest is looked for."""
    fewshot_people: int = 20
    fewshot_steps: int = 60
    fewshot_prompts: int = 10
    """Drawings of each."""
    own_art: tuple[str, ...] = ("rusk-halloway", "dame-oolong", "plim")
    own_art_drawings: int = 20
    figures: int = 20
    """Among whom the second encoder names a character of own art."""
    characters: tuple[str, ...] = ("nella-tarn", "quibb", "ambrose-fell")
    character_drawings: int = 60
    replies: int = 100
    """Of each character; half of them to requests for a picture."""
    recipe: dict[str, Any] = field(default_factory=dict)
    """Changes to the recipe of `quick`; with any, what is trained is less than what the goals are for."""


WHOLE = Counts()
QUICK = Counts(
    drawings=48,
    people=16,
    fewshot_people=1,
    own_art=("rusk-halloway",),
    own_art_drawings=8,
    characters=("nella-tarn",),
    character_drawings=8,
    replies=20,
    recipe={"sft_steps": 24, "sft_save_every": 24, "grpo_steps": 0},
)
