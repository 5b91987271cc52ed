"""Figures of the drawings' domain for fine-tuning to look at beside a character: the part `replay` of the build.

A LoRA that sees ten pictures of one character forgets other faces and places within fifty steps (docs/log.md). So every
row of stage 1 also holds figures that are somebody else, each drawn from references of its own; they ship as codes of
the build's image tokenizer, 512 bytes an image, and `pipelines.models.starter.loading.load_replay_drawings` reads them.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from pipelines.models.starter.loading import REPLAY_CODES, REPLAY_FILE
from pipelines.models.starter.vq import ImageTokenizer
from pipelines.starter_build.dataset import to_pixels
from pipelines.starter_build.drawings.attributes import Domain
from pipelines.starter_build.drawings.caption_templates import made_up_name
from pipelines.starter_build.drawings.render_svg import render_image

FIGURES, IMAGES_EACH = 320, 4
ENCODED_AT_ONCE = 16


def build_replay(
    tokenizer: ImageTokenizer, domain: Domain, folder: Path, figures: int = FIGURES, seed: int = 0
) -> Path:
    """Draw `figures` training identities, IMAGES_EACH times each, and write their codes and words to `folder`."""
    rng = random.Random(f"replay {seed}")
    px = tokenizer.config.px
    about, codes = [], []
    for number in range(figures):
        identity = domain.identity(20 * (5000 + number) + 1)  # every twentieth number is held out, these never are
        looks = [domain.sample_attributes(rng, identity) for _ in range(IMAGES_EACH)]
        drawn = np.stack([np.asarray(render_image(identity, attributes, px)) for attributes in looks])
        with torch.inference_mode():
            codes.append(tokenizer.encode(to_pixels(drawn)).to(torch.int16))
        words = [attributes.description for attributes in looks]
        about.append({"name": made_up_name(rng), "appearance": identity.words, "looks": words})
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / REPLAY_FILE
    save_file({REPLAY_CODES: torch.stack(codes)}, file, {"about": json.dumps(about)})  # (figures, IMAGES_EACH, C)
    return file
