"""Contact sheets of the rendered images, to look at: the part `sheets` of the build writes one per style.

A sheet has a column for each expression and a row for each identity; the later rows vary pose and held objects too.
`styles.png` has one row of every style, `broad.png` subjects of the broad domain.
"""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image

from pipelines.models.starter.vocabulary import COLOURS, EXPRESSIONS, KINDS, clothes_phrase
from pipelines.starter_build.broad_domain import BroadDomain, SubjectJob, render_subject
from pipelines.starter_build.drawings.attributes import Attributes, Domain, random_identity
from pipelines.starter_build.drawings.render_svg import render_image

ROWS = 6


def style_sheets(out: Path, domain: Domain, seed: int = 0, px: int = 96) -> dict[str, str]:
    """Write `out`/STYLE.png for every style of the domain and `out`/styles.png; returns style -> file."""
    out.mkdir(parents=True, exist_ok=True)
    files = {style: str(_sheet(out / f"{style}.png", style, domain, seed, px)) for style in domain.styles}
    overview = Image.new("RGB", (len(EXPRESSIONS) * px, len(files) * px))
    for row, file in enumerate(files.values()):
        with Image.open(file) as sheet:
            overview.paste(sheet.crop((0, px, sheet.width, 2 * px)), (0, row * px))
    overview.save(out / "styles.png", optimize=True)
    return files


def broad_sheet(path: Path, domain: BroadDomain, seed: int = 0, px: int = 96, subjects: int = 30) -> Path:
    """Write five pictures of each of some subjects of the broad domain, two subjects to a row."""
    columns, shown = 2, 5
    sheet = Image.new("RGB", (columns * shown * px, -(-subjects // columns) * px))
    for position in range(subjects):
        row, column = divmod(position, columns)
        for number, pixels in enumerate(render_subject(SubjectJob(domain, position, seed, px)).pixels[:shown]):
            sheet.paste(Image.fromarray(pixels), ((column * shown + number) * px, row * px))
    sheet.save(path, optimize=True)
    return path


def _sheet(path: Path, style: str, domain: Domain, seed: int, px: int) -> Path:
    rng = random.Random(f"sheet {seed} {style}")
    sheet = Image.new("RGB", (len(EXPRESSIONS) * px, ROWS * px))
    for row in range(ROWS):
        identity = random_identity(rng, style)
        for column, expression in enumerate(EXPRESSIONS):
            kinds = KINDS[style]
            clothes = clothes_phrase(rng.choice(list(COLOURS)), kinds[(row + column // 3) % len(kinds)])
            sampled = domain.sample_attributes(rng, identity)
            place = domain.places[(row * 5 + column) % len(domain.places)]
            pose, extra = (sampled.pose, sampled.extra) if row >= ROWS // 2 else ("", "")
            image = render_image(identity, Attributes(expression, clothes, place, pose, extra), px)
            sheet.paste(image, (column * px, row * px))
    sheet.save(path, optimize=True)
    return path
