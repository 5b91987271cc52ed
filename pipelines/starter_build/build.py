"""Build the starter's own weights: `python -m pipelines.starter_build.build PART --out FOLDER [--seconds N]`.

Parts, in order: `pictures` renders the held-out images (and the training set, unless it is streamed); `tokenizer`,
`critic`, `classifier`, `eyes` (vision tower) and `picture` (image expert) train one module each; `measure` writes
measured.json; `pack` writes the shipped weights and their card. Every training part keeps its state in FOLDER and goes
on from there when called again with larger --seconds. `all` runs the lot. The training data is rendered, nothing is
downloaded; see docs/starter.md. Parts are named after the folders and state files of a build.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.starter_build.build_config import SIZES, BuildConfig, build_config

if TYPE_CHECKING:  # --help and the processes that render import this file, and need no torch
    from pipelines.starter_build.build_loop import Budget
    from pipelines.starter_build.dataset import DrawnDataset

PARTS = {
    "pictures": (0, "render held-out images and, unless streamed, 24,000 others; two cores: 4 minutes, 16: 30 s"),
    "tokenizer": (1100, "image tokenizer (VQ); two cores: 18 minutes, GPU: 6"),
    "critic": (900, "the judge of rewards and scorecards; two cores: 15 minutes, GPU: 3"),
    "classifier": (300, "attribute classifier, for measuring only; two cores: 5 minutes, GPU: 1"),
    "eyes": (3000, "vision tower and aligner; two cores: 50 minutes, GPU: 4"),
    "picture": (7200, "image expert; two cores: two hours or more, GPU: 12 minutes"),
    "measure": (0, "every figure of the card; two cores: 3 minutes with --quick, 20 without, GPU: 3"),
    "pack": (0, "write weights/, card and sheet from the parts; a minute"),
}
"""Part -> (seconds of training on two cores, help)."""
TRAINED = ("tokenizer", "critic", "classifier", "eyes", "picture")
GPU_SECONDS = {"tokenizer": 330, "critic": 200, "classifier": 60, "eyes": 210, "picture": 700}
"""Budgets with --size gpu: 25 minutes of training together."""


@dataclass(frozen=True)
class Options:
    """What every part is run with."""

    out: Path
    config: BuildConfig
    device: str
    seed: int
    count: int
    processes: int
    stop_after: float
    decoder_only: bool
    perceptual: float
    quick: bool
    learning_rate: float | None
    """Peak learning rate instead of the size's."""

    def state_file(self, part: str) -> Path:
        """Where a part keeps its state."""
        return self.out / part / (f"{part}.pt" if part in ("eyes", "picture") else "state.pt")


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.starter_build.build",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{name:10} {about}" for name, (_, about) in PARTS.items())
        + f"\n\nbudgets: two cores {_budgets('cpu')} s; GPU {_budgets('gpu')} s",
    )
    parser.add_argument("part", choices=[*PARTS, "all", "sheets"])
    parser.add_argument("--out", type=Path, required=True, help="build folder: rendered images, states, trained parts")
    parser.add_argument("--seconds", type=float, help="time budget of this part, earlier calls counted in")
    parser.add_argument(
        "--total", type=float, help="with `all`: seconds of training in all, shared out as the defaults"
    )
    parser.add_argument(
        "--stop-after",
        type=float,
        default=float("inf"),
        help="stop after so many seconds of this call; the schedule still runs along the whole budget",
    )
    parser.add_argument(
        "--rate", type=float, help="peak learning rate; a lower one suits going on after a schedule has ended"
    )
    parser.add_argument("--size", choices=list(SIZES), help="sizes of everything (default: cpu); kept in FOLDER")
    parser.add_argument(
        "--styles", help="`first`, `wide`, or styles with commas; kept in FOLDER (gpu: wide, else first)"
    )
    parser.add_argument(
        "--stream",
        action=argparse.BooleanOptionalAction,
        help="render training images on demand, never stored (default with --size gpu)",
    )
    parser.add_argument("--count", type=int, default=24000, help="images to store, and a twentieth of it held out")
    parser.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="that render")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--decoder-only", action="store_true", help="tokenizer: train its decoder further, codes stay as they are"
    )
    parser.add_argument(
        "--perceptual",
        type=float,
        default=0.0,
        help="tokenizer: weight of a perceptual loss on features of the critic (trained before); 0 leaves it out",
    )
    parser.add_argument("--quick", action="store_true", help="measure: a tenth of the images")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; prints one JSON object with the scores of each part."""
    import torch

    parser = argument_parser()
    arguments = parser.parse_args(argv)
    try:
        config = build_config(arguments.out, arguments.size, arguments.styles, arguments.stream)
    except ValueError as problem:
        parser.error(str(problem))
    torch.set_flush_denormal(True)  # Adam's tiny second moments would be denormal, which is very slow on a CPU
    if arguments.device != "cpu":
        torch.set_float32_matmul_precision("high")  # what autocast leaves in fp32, as the codebook, may use TF32
    options = Options(
        arguments.out,
        config,
        arguments.device,
        arguments.seed,
        arguments.count,
        arguments.processes,
        arguments.stop_after,
        arguments.decoder_only,
        arguments.perceptual,
        arguments.quick,
        arguments.rate,
    )
    budgets = _budgets(config.size)
    if arguments.total is not None:
        budgets = {name: arguments.total * seconds / sum(budgets.values()) for name, seconds in budgets.items()}
    arguments.out.mkdir(parents=True, exist_ok=True)
    for part in PARTS if arguments.part == "all" else [arguments.part]:
        seconds = budgets.get(part, 0.0) if arguments.seconds is None else arguments.seconds
        scores = run_part(part, seconds, options)
        (arguments.out / f"{part}.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
        print(json.dumps({part: scores}), flush=True)
    return 0


def _budgets(size: str) -> dict[str, float]:
    return {name: float(GPU_SECONDS[name] if size == "gpu" else PARTS[name][0]) for name in TRAINED}


@contextmanager
def training_set(part: str, options: Options) -> Iterator[DrawnDataset]:
    """The stored set, or a stream from the position where the part's last call stopped."""
    from pipelines.starter_build.dataset import DrawnDataset

    if not options.config.stream:
        yield DrawnDataset.load(options.out / "pictures", "train")
        return
    from pipelines.starter_build.build_loop import STREAM_POSITION, read_state
    from pipelines.starter_build.streaming_dataset import StreamingDataset

    size = options.config.build_size
    first = read_state(options.state_file(part)).get("more", {}).get(STREAM_POSITION, 0)
    stream = StreamingDataset(
        options.config.domain, size.px, options.seed, size.stream_window, first, options.processes
    )
    try:
        yield stream
    finally:
        stream.close()


def run_part(part: str, seconds: float, options: Options) -> dict[str, Any]:
    """Run one part; returns its scores."""
    # Imported where needed: rendering needs packages that training does not, and --help needs neither.
    out, config, size = options.out, options.config, options.config.build_size
    if part in TRAINED:
        from pipelines.starter_build.build_loop import Budget
        from pipelines.starter_build.dataset import DrawnDataset
        from pipelines.starter_build.render_dataset import IMAGES_PER_IDENTITY

        held_out = DrawnDataset.load(out / "pictures", "held_out")
        with training_set(part, options) as train_set:
            scores = train_part(part, train_set, held_out, Budget(seconds, options.stop_after), options)
            return scores | ({"drawn": IMAGES_PER_IDENTITY * train_set.position} if config.stream else {})
    if part == "pictures":
        from pipelines.starter_build.render_dataset import render_images

        settings = {"seed": options.seed, "px": size.px, "processes": options.processes, "domain": config.domain}
        counts = render_images(out / "pictures" / "held_out", max(20, options.count // 20), held_out=True, **settings)
        return counts if config.stream else render_images(out / "pictures", options.count, **settings)
    if part == "sheets":
        from pipelines.starter_build.contact_sheet import style_sheets

        return style_sheets(out / "sheets", config.domain, options.seed)
    if part == "measure":
        from pipelines.starter_build.measure import measure_all

        return measure_all(out, size, options.device, options.quick)
    from pipelines.starter_build.export import export_weights

    return export_weights(out, size, "two CPU cores, no GPU" if options.device == "cpu" else "a GPU")


def train_part(
    part: str, train_set: DrawnDataset, held_out: DrawnDataset, budget: Budget, options: Options
) -> dict[str, float]:
    """Train one of `TRAINED`."""
    from pipelines.starter_build.build_loop import read_state
    from pipelines.starter_build.load_build import assemble_starter, load_build_critic

    out, size, device = options.out / part, options.config.build_size, options.device
    if options.learning_rate is not None:
        size = replace(size, learning_rates=size.learning_rates | {part: options.learning_rate})
    # Another shuffle for each call: with the same one, a resumed part would train on the first rows again and again.
    seed = options.seed + read_state(options.state_file(part)).get("step", 0)
    if part == "tokenizer":
        from pipelines.starter_build.build_vq import train_tokenizer

        critic = load_build_critic(options.out).to(device) if options.perceptual else None
        return train_tokenizer(
            train_set, held_out, out, budget, size, seed, device, options.decoder_only, critic, options.perceptual
        )
    if part == "critic":
        from pipelines.models.starter.loading import language_words
        from pipelines.starter_build.build_critic import train_critic

        return train_critic(train_set, held_out, out, language_words(), budget, size, seed, device)
    if part == "classifier":
        from pipelines.starter_build.build_classifier import train_classifier

        return train_classifier(train_set, held_out, out, budget, size, seed, device)
    model, tokenizer = assemble_starter(options.out, device, size)
    if part == "eyes":
        from pipelines.starter_build.build_vision_tower import train_vision_tower

        return train_vision_tower(model, tokenizer, train_set, held_out, out, budget, size, seed)
    from pipelines.starter_build.build_image_expert import train_image_expert

    stored = not options.config.stream
    return train_image_expert(model, tokenizer, train_set, held_out, out, budget, size, seed, stored)


if __name__ == "__main__":
    raise SystemExit(main())
