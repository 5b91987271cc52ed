"""Whether the starter knows the art of a character's pictures: the loss of their codes before any training.

What it draws of a character from references says little: in an art that is new to it colours are kept and the rest is
the nearest figure of its own, which the critic finds as alike as some figures of its own art. How well it foresees the
pictures' codes tells them apart: figures of its own art, also as small JPEGs, have less than 2 nats a code, all other
art 3 and more (docs/log.md, 2026-11-27). A training chooses its rate by the same measure (`training/image_rate.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pipelines.core.character.character import Character
from pipelines.core.character.references import ranked_references, references_of
from pipelines.core.run_folder import BASE
from pipelines.data.image_rows import ImageRows
from pipelines.data.packing import ImageBank
from pipelines.inference.engine import InferenceEngine
from pipelines.training.image_rate import untrained_image_loss

MEASURED_IMAGES = 4
"""Images of one row; a second row says the same within half a nat."""


def style_loss(engine: InferenceEngine, character: Character, files: Mapping[str, Path]) -> float | None:
    """Mean loss in nats of a code of the character's images (file -> path), each with its references and words.

    Of the base model; `draw_protocol.FOREIGN_LOSS` parts the art that it knows from others. Always the same
    `MEASURED_IMAGES` are looked at. None with too few images to look at one and to refer to others.
    """
    character = replace(character, images=tuple(image for image in character.images if image.file in files))
    spec, names = engine.model.spec, [image.file for image in character.images]
    if len(names) <= spec.max_references:
        return None
    codes = {name: list(engine.encode_references([files[name]])[0]) for name in names}
    ranked = ranked_references(character)
    references = {name: references_of(ranked, spec.max_references, name) for name in names}
    bank = ImageBank(codes, {}, references, references_of(ranked, spec.max_references))
    row = ImageRows(character, bank, (), spec, engine.tokenizer, 0).images_only(0, min(MEASURED_IMAGES, len(names)), 0)
    with engine.using(BASE) as model:
        return untrained_image_loss(model, [row], bank)
