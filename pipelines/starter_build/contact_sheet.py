"""Contact sheets of the drawings, to look at: the part `sheets` of the build writes one a style.

A sheet has an expression a column and an identity a row; later rows show other framings and what may be held.
`styles.png` has one row of every style.
"""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image

from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, KINDS
from pipelines.starter_build.drawings.attributes import Attributes, Domain, clothes_phrase, random_identity
from pipelines.starter_build.drawings.render_svg import render_image

ROWS = 6


def style_sheets(out: Path, domain: Domain, seed: int = 0, px: int = 96) -> dict[str, str]:
    """Write `out`/STYLE.png for every style of the domain and `out`/styles.png; returns style -> file."""
    out.mkdir(parents=True, exist_ok=True)
    files = {style: str(_sheet(out / f"{style}.png", style, domain, seed, px)) for style in domain.styles}
    together = Image.new("RGB", (len(EXPRESSIONS) * px, len(files) * px))
    for row, file in enumerate(files.values()):
        with Image.open(file) as sheet:
            together.paste(sheet.crop((0, px, sheet.width, 2 * px)), (0, row * px))
    together.save(out / "styles.png", optimize=True)
    return files


def _sheet(path: Path, style: str, domain: Domain, seed: int, px: int) -> Path:
    rng = random.Random(f"sheet {seed} {style}")
    sheet = Image.new("RGB", (len(EXPRESSIONS) * px, ROWS * px))
    for row in range(ROWS):
        identity = random_identity(rng, style)
        for column, expression in enumerate(EXPRESSIONS):
            kinds = KINDS[style]
            clothes = clothes_phrase(rng.choice(list(COLOURS)), kinds[(row + column // 3) % len(kinds)])
            random_one = domain.look(rng, identity)
            place = domain.places[(row * 5 + column) % len(domain.places)]
            varied = (random_one.pose, random_one.extra) if row >= ROWS // 2 else ("", "")
            sheet.paste(
                render_image(identity, Attributes(expression, clothes, place, *varied), px), (column * px, row * px)
            )
    sheet.save(path, optimize=True)
    return path
