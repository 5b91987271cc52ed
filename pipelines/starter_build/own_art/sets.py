"""The three sets of own art for few-shot learning, and their character folders.

`python -m pipelines.starter_build.own_art.sets FOLDER [SLUG ...]` writes FOLDER/SLUG, each a whole character folder of
ten pictures and five held-out ones of 512 px. `SETS` gives the art itself, which draws any expression in any place.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml

from pipelines.starter_build.drawings.attributes import Attributes
from pipelines.starter_build.own_art.bird.figure import BIRD
from pipelines.starter_build.own_art.fox.figure import FOX
from pipelines.starter_build.own_art.framing import OwnArt
from pipelines.starter_build.own_art.kettle.figure import KETTLE

PX = 512
TEXTS = ("character.yaml", "test.yaml")


@dataclass(frozen=True)
class ArtSet:
    """One character in a style of its own."""

    art: OwnArt
    texts: str
    """The package beside this file that holds character.yaml and test.yaml."""
    noun: str
    """What the figure is, for the words of a measurement: "an orange fox"."""

    def text(self, document: str) -> str:
        """character.yaml or test.yaml as text; the consent record has no hashes yet."""
        return (files("pipelines.starter_build.own_art") / self.texts / document).read_text(encoding="utf-8")

    def attributes(self, document: str) -> dict[str, Attributes]:
        """File name -> what the picture shows, of the `images` of a document."""
        entries = yaml.safe_load(self.text(document))["images"]
        return {
            entry["file"]: Attributes.of_image(entry["expression"], entry["clothes"], entry["place"], entry["pose"])
            for entry in entries
        }


SETS = {
    "rusk-halloway": ArtSet(FOX, "fox", "an orange fox"),
    "dame-oolong": ArtSet(KETTLE, "kettle", "a teal teapot"),
    "plim": ArtSet(BIRD, "bird", "a round pale blue bird"),
}
"""Slug -> set."""


def write_folder(slug: str, folder: Path, px: int = PX) -> None:
    """Write a set's character folder: pictures first, character.yaml with their hashes last. `folder` may exist."""
    chosen = SETS[slug]
    hashes = []
    for document, images in zip(TEXTS, ("images", "test_images"), strict=True):
        (folder / images).mkdir(parents=True, exist_ok=True)
        for name, attributes in chosen.attributes(document).items():
            path = folder / images / name
            chosen.art.draw(attributes, px).save(path, optimize=True)
            if images == "images":
                hashes.append(hashlib.sha256(path.read_bytes()).hexdigest())
    (folder / "test.yaml").write_text(chosen.text("test.yaml"), encoding="utf-8")
    text = chosen.text("character.yaml").replace("image_sha256: []", f"image_sha256: {json.dumps(hashes)}")
    (folder / "character.yaml").write_text(text, encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.starter_build.own_art.sets", description="Write character folders of the own art."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the folders are made")
    parser.add_argument("slugs", nargs="*", metavar="SLUG", help=f"of {', '.join(SETS)}; all when none is given")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.slugs) - set(SETS))
    if unknown:
        parser.error(f"no set is called {', '.join(unknown)}; there are {', '.join(SETS)}")
    for slug in options.slugs or SETS:
        write_folder(slug, options.folder / slug)
        print(options.folder / slug)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
