"""Build the starter's own weights: `python -m pipelines.starter_build.build PART --out FOLDER [--seconds N]`.

Parts, in order: `pictures` renders the held-out images (and the training set, unless it is streamed); `critic`,
`tokenizer`, `classifier`, `identity` (the second identity encoder), `eyes` (vision tower) and `picture` (image expert)
train one module each; `measure` writes measured.json; `pack` writes the shipped weights and their card. Every training
part keeps its state in FOLDER and goes on from there when called again with larger --seconds. `all` runs the lot, on a
GPU if there is one. The training data is rendered; only its emoji and icons are downloaded (docs/starter.md). Parts are
named after the folders and state files of a build.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pipelines.starter_build.build_config import SIZES, build_config
from pipelines.starter_build.build_parts import TRAINED, Options, run_part
from pipelines.starter_build.render_pool import default_processes

PARTS = {
    "pictures": (0, "render held-out images and, unless streamed, 24,000 others; two cores: 4 minutes, 16: 30 s"),
    "critic": (900, "the judge of rewards and scorecards; two cores: 15 minutes, GPU: 3"),
    "tokenizer": (1100, "image tokenizer (VQ); two cores: 18 minutes, GPU: 10"),
    "classifier": (300, "attribute classifier, for measuring only; two cores: 5 minutes, GPU: 1"),
    "identity": (600, "second identity encoder, for grading only; two cores: 10 minutes, GPU: 2"),
    "eyes": (3000, "vision tower and aligner; two cores: 50 minutes, GPU: 3"),
    "picture": (7200, "image expert; two cores: two hours or more, GPU: 20 minutes"),
    "measure": (0, "every figure of the card; two cores: 3 minutes with --quick, 20 without, GPU: 3"),
    "pack": (0, "write weights/, card and sheet from the parts; a minute"),
}
"""Part -> (seconds of training on two cores, help)."""
GPU_SECONDS = {"critic": 150, "tokenizer": 600, "classifier": 90, "identity": 120, "eyes": 180, "picture": 1200}
"""Budgets with --size gpu: 39 minutes of training together."""


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
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/starter-build"),
        help="build folder: rendered images, states, trained parts (default: %(default)s)",
    )
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
    parser.add_argument(
        "--batch", type=int, help="images per step instead of the size's, as for --size gpu on two cores"
    )
    parser.add_argument("--window", type=int, help="images that a stream keeps, and draws first, instead of the size's")
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
    parser.add_argument("--processes", type=int, default=default_processes(), help="that render")
    parser.add_argument("--device", help="cpu or cuda (default: cuda if there is one)")
    parser.add_argument(
        "--decoder-only", action="store_true", help="tokenizer: train its decoder further, codes stay as they are"
    )
    parser.add_argument(
        "--perceptual",
        type=float,
        help="tokenizer: weight of the perceptual loss on the critic's features; 0 leaves it out (default: the size's)",
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
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_flush_denormal(True)  # Adam's tiny second moments would be denormal, which is very slow on a CPU
    if device != "cpu":
        torch.set_float32_matmul_precision("high")  # what autocast leaves in fp32, as the codebook, may use TF32
    options = Options(
        arguments.out,
        config,
        device,
        arguments.seed,
        arguments.count,
        arguments.processes,
        arguments.stop_after,
        arguments.decoder_only,
        arguments.perceptual,
        arguments.quick,
        arguments.rate,
        arguments.batch,
        arguments.window,
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


if __name__ == "__main__":
    raise SystemExit(main())
