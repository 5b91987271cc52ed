"""Render the images of the bundled characters: `python -m pipelines.starter_build.drawings.draw_bundled [SLUG ...]`.

Reads the attributes from each character.yaml and test.yaml and writes images/ and test_images/ beside them, 192 pixels
square, as a user might upload them. The identities are chosen by hand to fit the written appearance; none of them is
an identity that the starter is trained on.
"""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

import yaml

from pipelines.starter_build.drawings.attributes import Attributes, Identity
from pipelines.starter_build.drawings.render_svg import render_image

PX = 192
BUNDLED = {
    "nella-tarn": Identity("avataaars", "brown-skinned", "curly", "white", glasses="round"),
    "quibb": Identity(
        "critters", "purple", "hornsIn", "yellow", body="dome", pattern="pale belly", eyes="round", cheeks="pink cheeks"
    ),
    "ambrose-fell": Identity("toon-head", "fair-skinned", "sideComed longWavy", "chestnut", beard="moustacheTwirl"),
}


def render_character(folder: Path, identity: Identity) -> int:
    """Render every image that the two files of `folder` list; returns how many.

    Raises ValueError, naming file and image, if attributes cannot be rendered.
    """
    rendered = 0
    for document, images in (("character.yaml", "images"), ("test.yaml", "test_images")):
        entries = yaml.safe_load((folder / document).read_text(encoding="utf-8")).get("images", [])
        (folder / images).mkdir(exist_ok=True)
        for entry in entries:
            attributes = Attributes(entry["expression"], entry["clothes"], entry["place"], entry.get("pose", ""))
            try:
                image = render_image(identity, attributes, PX)
            except ValueError as problem:
                raise ValueError(f"{folder.name}/{document}, picture {entry['file']}: {problem}") from problem
            image.save(folder / images / entry["file"], optimize=True)
            rendered += 1
    return rendered


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.starter_build.drawings.draw_bundled",
        description="Render the images of the bundled characters.",
    )
    parser.add_argument("slugs", nargs="*", metavar="SLUG", help=f"of {', '.join(BUNDLED)}; all when none is given")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.slugs) - set(BUNDLED))
    if unknown:
        parser.error(f"no bundled character is called {', '.join(unknown)}; there are {', '.join(BUNDLED)}")
    root = Path(str(files("pipelines.core").joinpath("bundled")))
    for slug in options.slugs or BUNDLED:
        print(f"{slug}: {render_character(root / slug, BUNDLED[slug])} pictures")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
