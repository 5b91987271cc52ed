"""Render the images of the bundled characters: `python -m pipelines.starter_build.draw_bundled [SLUG ...]`.

Reads the attributes from each character.yaml and test.yaml, writes images/ and test_images/ beside them, 512 pixels
square in at most 256 colours, and puts the hashes into the consent record. Two characters are drawn in styles of the
starter's domain, as identities that no training can meet; Quibb has art of its own in no style of the domain.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

import yaml
from PIL import Image

from pipelines.starter_build.drawings.attributes import Attributes, Identity
from pipelines.starter_build.drawings.render_svg import render_image
from pipelines.starter_build.own_art.quibb.figure import QUIBB

PX = 512
IDENTITIES = {
    "nella-tarn": Identity("avataaars", "brown-skinned", "curly", "silver", glasses="round"),
    "ambrose-fell": Identity("toon-head", "fair-skinned", "sideComed longWavy", "chestnut", beard="moustacheTwirl"),
}
"""Chosen by hand to fit the written appearance; their hair colours are rare ones, which no random identity has."""


def draw(slug: str, attributes: Attributes, px: int = PX) -> Image.Image:
    """A picture of a bundled character, RGB; raises ValueError for attributes that it has not."""
    return QUIBB.draw(attributes, px) if slug == "quibb" else render_image(IDENTITIES[slug], attributes, px)


BUNDLED = ("nella-tarn", "quibb", "ambrose-fell")


def render_character(folder: Path, draw_one: Callable[[Attributes], Image.Image]) -> int:
    """Render every image that the two files of `folder` list; returns how many.

    Raises ValueError, naming file and image, if attributes cannot be rendered.
    """
    rendered = 0
    for document, images in (("character.yaml", "images"), ("test.yaml", "test_images")):
        entries = yaml.safe_load((folder / document).read_text(encoding="utf-8")).get("images", [])
        (folder / images).mkdir(exist_ok=True)
        for entry in entries:
            try:
                image = draw_one(attributes_of_entry(entry))
            except ValueError as problem:
                raise ValueError(f"{folder.name}/{document}, picture {entry['file']}: {problem}") from problem
            save_small(image, folder / images / entry["file"])
            rendered += 1
    return rendered


def attributes_of_entry(entry: Mapping[str, str]) -> Attributes:
    """What one of the `images` of a character.yaml or test.yaml shows."""
    return Attributes.of_image(entry["expression"], entry["clothes"], entry["place"], entry.get("pose", ""))


def save_small(image: Image.Image, path: Path) -> None:
    """Write a PNG of at most 256 colours without dithering, which flat art does not show."""
    image.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def update_hashes(folder: Path) -> None:
    """Put the SHA-256 of each of the images into the consent record of character.yaml, in order, as text."""
    document = folder / "character.yaml"
    text = document.read_text(encoding="utf-8")
    entries = yaml.safe_load(text)
    old = entries["consent"]["image_sha256"]
    new = [hashlib.sha256((folder / "images" / entry["file"]).read_bytes()).hexdigest() for entry in entries["images"]]
    for before, after in zip(old, new, strict=True):
        text = text.replace(before, after)
    document.write_text(text, encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.starter_build.draw_bundled",
        description="Render the images of the bundled characters.",
    )
    parser.add_argument("slugs", nargs="*", metavar="SLUG", help=f"of {', '.join(BUNDLED)}; all when none is given")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.slugs) - set(BUNDLED))
    if unknown:
        parser.error(f"no bundled character is called {', '.join(unknown)}; there are {', '.join(BUNDLED)}")
    root = Path(str(files("pipelines.core").joinpath("bundled")))
    for slug in options.slugs or BUNDLED:
        print(f"{slug}: {render_character(root / slug, lambda attributes, slug=slug: draw(slug, attributes))} pictures")
        update_hashes(root / slug)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
