"""Suggestions of what is seen in a picture: expression, clothes, place; a person reads and corrects them.

    for seen in suggest("starter", paths): seen.fields, seen.description

The starter's critic compares the picture with every wording of the drawings' vocabulary and takes the likeliest; what
it is not sure of is left empty. On the thirty pictures of the bundled characters it named 26 expressions, all 30 places
and 21 clothes as their captions do. It was taught on drawings, so of photographs it will mostly say little.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pipelines.core.characters import CharacterImage
from pipelines.models import critic_for
from pipelines.models.starter.critic import Critic
from pipelines.models.starter.looks import clothes_phrase
from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, KINDS, PLACES
from pipelines.packing import open_picture

SURE = {"expression": 0.5, "place": 0.5, "clothes": 0.3}
"""Least probability among all options at which a field is suggested; clothes have some two hundred options."""


@dataclass(frozen=True)
class Seen:
    """What varies in one picture, as far as it could be told."""

    fields: dict[str, str]
    """Some of expression, clothes, place."""
    description: str
    """The same in one line, as captions are worded; empty when there are none."""


def suggest(preset: str, paths: Sequence[Path]) -> Iterator[Seen]:
    """One suggestion for each picture, in order. Raises OSError for a file that is no picture."""
    critic: Critic = critic_for(preset)
    kinds = sorted({kind for of_style in KINDS.values() for kind in of_style if kind})
    clothes = [clothes_phrase(colour, kind) for colour in COLOURS for kind in kinds]
    options = {"expression": list(EXPRESSIONS), "clothes": clothes, "place": list(PLACES)}
    for path in paths:
        with torch.inference_mode():
            pixels = open_picture(path, critic.config.px)[None]  # (1, 3, px, px)
            sight = critic.look(pixels.to(critic.device, critic.dtype))
            fields = {}
            for name, words in options.items():
                said = [f"wearing {word}" for word in words] if name == "clothes" else words
                chance, best = critic.choose(sight, said)[0].max(0)
                if float(chance) >= SURE[name]:
                    fields[name] = words[int(best)]
        yield Seen(fields, CharacterImage(file=path.name, **fields).description)
