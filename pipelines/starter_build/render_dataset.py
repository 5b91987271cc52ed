"""The part of the build that draws: whole sets into a folder, or one identity after another as a stream needs them.

A folder gets `pictures.npy` (uint8, N x px x px x 3), `attributes.jsonl`, one line a picture (the number and words of
the identity and the fields of the look), and `domain.json`. Held-out pictures go to a folder of their own.
What an identity's pictures show is a function of seed and number alone, stored or streamed. No torch in here: the
processes that draw start quickly.
"""

from __future__ import annotations

import json
import multiprocessing
import random
from contextlib import ExitStack
from dataclasses import asdict
from itertools import count as numbers
from itertools import islice
from pathlib import Path

import numpy as np

from pipelines.starter_build.drawings.attributes import (
    FIRST,
    TRAINING_NUMBERS,
    Attributes,
    Domain,
    are_held_out,
    is_held_out_identity,
)
from pipelines.starter_build.drawings.render_svg import render_image

LOOKS_EACH = 10
"""Pictures of every identity."""
Job = tuple[Domain, int, int, int, bool]
"""Domain, number of the identity, seed, px, whether it is a held-out one."""


def render_images(
    out: Path,
    count: int,
    seed: int = 0,
    px: int = 96,
    held_out: bool = False,
    processes: int = 2,
    domain: Domain = FIRST,
) -> dict[str, int]:
    """Draw `count` pictures, `LOOKS_EACH` of every identity, into the folder `out`.

    Training pictures show neither a held-out identity nor a held-out look; with `hold_out` every identity is a held-out
    one and a fifth of the looks are too. Returns the numbers of pictures and identities.
    """
    out.mkdir(parents=True, exist_ok=True)
    wanted = -(-count // LOOKS_EACH)
    indices = list(islice((index for index in numbers() if is_held_out_identity(index) == held_out), wanted))
    jobs = [(domain, index, seed, px, held_out) for index in indices]
    target = out / "pictures.part.npy"
    array = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=(count, px, px, 3))
    done = 0
    with ExitStack() as stack:
        lines = stack.enter_context((out / "attributes.jsonl").open("w", encoding="utf-8"))
        if processes > 1:
            pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(processes))
            drawn = pool.imap(render_identity, jobs, chunksize=8)
        else:
            drawn = map(render_identity, jobs)
        for index, looks, pixels in drawn:
            identity = domain.identity(index)
            for look, picture in list(zip(looks, pixels, strict=True))[: count - done]:
                array[done] = picture
                record = {
                    "identity": index,
                    "words": identity.words,
                    "style": identity.style,
                    **asdict(look),
                    "held_out_look": are_held_out(look),
                }
                lines.write(json.dumps(record) + "\n")
                done += 1
    array.flush()
    (out / "domain.json").write_text(json.dumps(asdict(domain)) + "\n", encoding="utf-8")
    target.rename(out / "pictures.npy")
    return {"pictures": done, "identities": len(indices)}


def read_images(folder: Path) -> tuple[np.ndarray, list[dict[str, object]]]:
    """Pixels (N, px, px, 3) uint8, mapped from the file, and one record for each picture."""
    lines = (folder / "attributes.jsonl").read_text(encoding="utf-8").splitlines()
    return np.load(folder / "pictures.npy", mmap_mode="r"), [json.loads(line) for line in lines]


def read_domain(folder: Path) -> Domain:
    """The domain a folder was drawn from; folders from before there were several have the first."""
    file = folder / "domain.json"
    if not file.exists():
        return FIRST
    kept = json.loads(file.read_text(encoding="utf-8"))
    return Domain(tuple(kept["styles"]), kept["extras"], tuple(kept["places"]), tuple(kept["poses"]))


def attributes_of(record: dict[str, object]) -> Attributes:
    """The look that a record of `attributes.jsonl` describes."""
    return Attributes(*(str(record.get(name, "")) for name in ("expression", "clothes", "place", "pose", "extra")))


def render_identity(job: Job) -> tuple[int, list[Attributes], np.ndarray]:
    """All pictures of one identity: its number, the looks, and pixels (LOOKS_EACH, px, px, 3); runs in any process."""
    domain, index, seed, px, held_out = job
    identity, rng = domain.identity(index), random.Random(f"looks {seed} {index}")
    looks = [domain.look(rng, identity, held_out=held_out and step % 5 == 0) for step in range(LOOKS_EACH)]
    return index, looks, np.stack([np.asarray(render_image(identity, look, px)) for look in looks])


def training_job(domain: Domain, place: int, seed: int, px: int) -> Job:
    """The job at a place of the endless row of training identities; the stored set is the beginning of that row.

    The first domain has so few identities that its numbers start again, with other looks, after `TRAINING_NUMBERS`.
    """
    number = 20 * (place // 19) + 1 + place % 19  # every twentieth number is held out
    if domain == FIRST:
        seed, number = seed + number // TRAINING_NUMBERS, number % TRAINING_NUMBERS
    return domain, number, seed, px, False
