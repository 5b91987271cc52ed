"""What to run first where BAGEL's published weights are: a drawing, an answer about it, times and the peak of memory.

    python -m tests.benchmarks.bagel_first_look --out OUT                       from the hub or UNDERSTUDY_MODELS
    python -m tests.benchmarks.bagel_first_look --out OUT --folder toy          random weights, in seconds

Writes OUT/drawn.png and OUT/first_look.json, and prints the same object in one line. Whoever runs it must look at the
picture: untrained or wrongly loaded weights draw noise, and no number here tells them apart.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from pipelines.benchmarks.peak_memory import forget_peak, peak_memory, wait
from pipelines.models.bagel.flow import FlowSampling
from pipelines.models.bagel.images import FOR_LOOKING, picture_of, pixels_of
from pipelines.models.bagel.loading import load_bagel, load_folder
from pipelines.models.bagel.model import BagelModel
from pipelines.models.bagel.random_weights import TOY_AUTOENCODER, write_layout
from pipelines.models.bagel.rows import LookedAt, Text
from pipelines.models.bagel.sampling import draw, drawing_contexts, latents_from, write
from pipelines.models.decoding.sampling import Sampling

PROMPT = "A lighthouse keeper with a red beard reads a letter in the snow, children's book illustration."
QUESTION = "What is in this picture?"


def load(folder: str, out: Path) -> tuple[BagelModel, PreTrainedTokenizerBase]:
    """The published weights, a folder of them, or random ones at toy size."""
    if not folder:
        return load_bagel()
    if folder != "toy":
        return load_folder(Path(folder), "bagel-7b")
    write_layout(out / "BAGEL-toy")
    return load_folder(out / "BAGEL-toy", "bagel-toy", autoencoder=TOY_AUTOENCODER)


def first_look(
    model: BagelModel, tokenizer: PreTrainedTokenizerBase, out: Path, px: int, sampling: FlowSampling, images: int
) -> dict[str, Any]:
    """Draw `images` pictures of one text together, and ask what is in the first."""
    device = model.device
    forget_peak(device)
    times: dict[str, float] = {}
    grid = (px // 16, px // 16)
    generator = torch.Generator().manual_seed(0)
    started = time.perf_counter()
    contexts = drawing_contexts(model, [[Text(tokenizer(PROMPT)["input_ids"])]]) * images
    wait(device)
    times["read_s"] = time.perf_counter() - started
    noise = torch.randn(images, grid[0] * grid[1], model.config.latent_width, generator=generator).to(device)
    tokens = draw(model, contexts, grid, noise, sampling)
    wait(device)
    times["draw_s"] = time.perf_counter() - started - times["read_s"]
    drawn = picture_of(model.pixels_of(latents_from(tokens, grid))[0])
    drawn.save(out / "drawn.png")
    started = time.perf_counter()
    largest = model.config.vision_side * FOR_LOOKING.stride
    rule = replace(FOR_LOOKING, longest=largest, shortest=min(FOR_LOOKING.shortest, largest))
    seen = LookedAt(pixels_of(drawn, rule))
    context = model.read([[seen, Text(tokenizer(QUESTION)["input_ids"])]])
    answer = write(model, context, Sampling(max_new_tokens=64, temperature=0)).ids[0]
    times["answer_s"] = time.perf_counter() - started
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "px": px,
        "images": images,
        "points": sampling.points,
        "finite": bool(tokens.isfinite().all()),
        "answer": tokenizer.decode(answer, skip_special_tokens=True),
        "answer_ids": len(answer),
        "peak_memory_gb": round(peak_memory(device) / 1e9, 2),
        **{name: round(value, 3) for name, value in times.items()},
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the picture and the numbers")
    parser.add_argument("--folder", default="", help="published files, or `toy`; default: the pinned ones")
    parser.add_argument("--px", type=int, default=512, help="side of the picture, a multiple of 16")
    parser.add_argument("--points", type=int, default=50, help="noise levels")
    parser.add_argument("--images", type=int, default=1, help="pictures that are drawn together")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with torch.no_grad():
        model, tokenizer = load(given.folder, given.out)
        loaded = time.perf_counter() - started
        px = 64 if given.folder == "toy" else given.px
        found = first_look(model, tokenizer, given.out, px, FlowSampling(points=given.points), given.images)
    report = json.dumps({"load_s": round(loaded, 3), **found})
    (given.out / "first_look.json").write_text(report, encoding="utf-8")
    print(report)
    return 0 if found["finite"] else 1


if __name__ == "__main__":
    sys.exit(main())
