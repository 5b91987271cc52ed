"""Render training images: whole sets into a folder, or one identity after another as a stream needs them.

A folder gets `pictures.npy` (uint8, N x px x px x 3), `attributes.jsonl`, one line per image (number and words of the
identity, and the fields of `Attributes`), and `domain.json`. Held-out images go to a folder of their own. What an
identity's images show is a function of seed and number alone, stored or streamed. This module imports no torch, so that
rendering processes start quickly.
"""

from __future__ import annotations

import json
import multiprocessing
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from itertools import count as numbers
from itertools import islice
from pathlib import Path

import numpy as np

from pipelines.core.durable import replace_durably
from pipelines.starter_build.drawings.attributes import (
    FIRST,
    TRAINING_NUMBERS,
    Attributes,
    Domain,
    is_held_out_combination,
    is_held_out_identity,
)
from pipelines.starter_build.drawings.render_svg import render_image

IMAGES_PER_IDENTITY = 10
RenderJob = tuple[Domain, int, int, int, bool]
"""Domain, number of the identity, seed, px, whether the identity is held out."""


def render_images(
    out: Path,
    count: int,
    seed: int = 0,
    px: int = 96,
    held_out: bool = False,
    processes: int = 2,
    domain: Domain = FIRST,
) -> dict[str, int]:
    """Render `count` images, `IMAGES_PER_IDENTITY` of every identity, into the folder `out`.

    Training images show neither a held-out identity nor a held-out combination of attributes; with `held_out` every
    identity is a held-out one and so is a fifth of the combinations. Returns the numbers of images and identities.
    """
    out.mkdir(parents=True, exist_ok=True)
    wanted = -(-count // IMAGES_PER_IDENTITY)  # rounded up
    indices = list(islice((index for index in numbers() if is_held_out_identity(index) == held_out), wanted))
    jobs = [(domain, index, seed, px, held_out) for index in indices]
    incomplete = out / "pictures.part.npy"
    array = np.lib.format.open_memmap(incomplete, mode="w+", dtype=np.uint8, shape=(count, px, px, 3))
    done = 0
    rendered: Iterator[tuple[int, list[Attributes], np.ndarray]]
    with ExitStack() as stack:
        lines = stack.enter_context((out / "attributes.jsonl").open("w", encoding="utf-8"))
        if processes > 1:
            pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(processes))
            rendered = pool.imap(render_identity, jobs, chunksize=8)
        else:
            rendered = map(render_identity, jobs)
        for index, attributes_list, pixels in rendered:
            identity = domain.identity(index)
            # The last identity may have more images than are still wanted.
            for attributes, image in list(zip(attributes_list, pixels, strict=True))[: count - done]:
                array[done] = image
                record = {
                    "identity": index,
                    "words": identity.words,
                    "style": identity.style,
                    **asdict(attributes),
                    "held_out_look": is_held_out_combination(attributes),
                }
                lines.write(json.dumps(record) + "\n")
                done += 1
    array.flush()
    (out / "domain.json").write_text(json.dumps(asdict(domain)) + "\n", encoding="utf-8")
    replace_durably(incomplete, out / "pictures.npy")  # written last: a folder with this file is complete
    return {"pictures": done, "identities": len(indices)}


def read_images(folder: Path) -> tuple[np.ndarray, list[dict[str, object]]]:
    """Pixels (N, px, px, 3) uint8, memory-mapped, and one record for each image."""
    lines = (folder / "attributes.jsonl").read_text(encoding="utf-8").splitlines()
    return np.load(folder / "pictures.npy", mmap_mode="r"), [json.loads(line) for line in lines]


def read_domain(folder: Path) -> Domain:
    """The domain a folder was rendered from; older folders have no file and the first domain."""
    file = folder / "domain.json"
    if not file.exists():
        return FIRST
    stored = json.loads(file.read_text(encoding="utf-8"))
    return Domain(tuple(stored["styles"]), stored["extras"], tuple(stored["places"]), tuple(stored["poses"]))


def attributes_of(record: dict[str, object]) -> Attributes:
    """The attributes in a record of `attributes.jsonl`."""
    return Attributes(*(str(record.get(name, "")) for name in ("expression", "clothes", "place", "pose", "extra")))


def render_identity(job: RenderJob) -> tuple[int, list[Attributes], np.ndarray]:
    """All images of one identity: its number, their attributes, pixels (IMAGES_PER_IDENTITY, px, px, 3)."""
    domain, index, seed, px, held_out = job
    identity, rng = domain.identity(index), random.Random(f"looks {seed} {index}")
    attributes_list = [
        domain.sample_attributes(rng, identity, held_out=held_out and number % 5 == 0)
        for number in range(IMAGES_PER_IDENTITY)
    ]
    return index, attributes_list, np.stack([np.asarray(render_image(identity, one, px)) for one in attributes_list])


def training_job(domain: Domain, position: int, seed: int, px: int) -> RenderJob:
    """The job at a position of the endless sequence of training identities; the stored set is its beginning.

    The first domain has so few identities that its numbers start again, with other attributes, after
    `TRAINING_NUMBERS`.
    """
    number = 20 * (position // 19) + 1 + position % 19  # every twentieth number is held out
    if domain == FIRST:
        seed, number = seed + number // TRAINING_NUMBERS, number % TRAINING_NUMBERS
    return domain, number, seed, px, False
