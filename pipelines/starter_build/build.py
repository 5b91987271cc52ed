"""Build the starter's own weights: `python -m pipelines.starter_build.build PART --out FOLDER [--seconds N]`.

Parts, in order: `pictures` draws what is held out (and the training set, unless it is streamed); `tokenizer`, `critic`,
`classifier`, `eyes` and `picture` train one module each; `measure` writes measured.json; `pack` writes weights/ beside
this file. Every training part keeps its state in FOLDER and goes on from there when called again with a larger
--seconds. `all` runs the lot. Inputs are drawn, not downloaded; docs/starter.md tells the rest.
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

if TYPE_CHECKING:  # processes that draw import this file, and need no torch
    from pipelines.rewards.starter_critic import StarterCritic
    from pipelines.starter_build.build_loop import Budget
    from pipelines.starter_build.dataset import DrawnDataset

PARTS = {
    "pictures": (0, "draw the held-out pictures and, unless streamed, 24,000 others; two cores: 4 minutes, 16: 30 s"),
    "tokenizer": (1100, "picture tokenizer (VQ); two cores: 18 minutes, GPU: 6"),
    "critic": (900, "the judge of rewards and scorecards; two cores: 15 minutes, GPU: 3"),
    "classifier": (300, "attribute classifier, for measuring only; two cores: 5 minutes, GPU: 1"),
    "eyes": (3000, "vision tower and aligner; two cores: 50 minutes, GPU: 4"),
    "picture": (7200, "picture expert; two cores: two hours or more, GPU: 12 minutes"),
    "measure": (0, "every number of the card; two cores: 3 minutes with --quick, 20 without, GPU: 3"),
    "pack": (0, "write weights/, card and sheet from the parts; a minute"),
}
TRAINED = ("tokenizer", "critic", "classifier", "eyes", "picture")
GPU_SECONDS = {"tokenizer": 330, "critic": 200, "classifier": 60, "eyes": 210, "picture": 700}
"""Budgets with --size gpu: 25 minutes of training together."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    out: Path
    plan: BuildConfig
    device: str
    seed: int
    count: int
    processes: int
    stop_after: float
    decoder_only: bool
    perceptual: float
    quick: bool
    rate: float | None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m pipelines.starter_build.build",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{name:10} {about}" for name, (_, about) in PARTS.items())
        + f"\n\nbudgets: two cores {_budgets('cpu')} s; GPU {_budgets('gpu')} s",
    )
    made.add_argument("part", choices=[*PARTS, "all", "sheets"])
    made.add_argument("--out", type=Path, required=True, help="folder for drawn pictures, states and parts")
    made.add_argument("--seconds", type=float, help="time budget of this part, earlier calls counted in")
    made.add_argument("--total", type=float, help="with `all`: seconds of training in all, shared out as the defaults")
    made.add_argument(
        "--stop-after",
        type=float,
        default=float("inf"),
        help="break off after so many seconds of this call; the budget stays the schedule",
    )
    made.add_argument(
        "--rate", type=float, help="peak learning rate; a lower one suits going on after a schedule has ended"
    )
    made.add_argument("--size", choices=list(SIZES), help="sizes of everything (default: cpu); kept in FOLDER")
    made.add_argument("--styles", help="`first`, `wide`, or styles with commas; kept in FOLDER (gpu: wide, else first)")
    made.add_argument(
        "--stream",
        action=argparse.BooleanOptionalAction,
        help="draw training pictures on demand, never stored (default with --size gpu)",
    )
    made.add_argument("--count", type=int, default=24000, help="pictures to store, and a twentieth of it held out")
    made.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="that draw")
    made.add_argument("--device", default="cpu", help="cpu or cuda")
    made.add_argument(
        "--decoder-only", action="store_true", help="tokenizer: train its decoder further, codes stay as they are"
    )
    made.add_argument(
        "--perceptual",
        type=float,
        default=0.0,
        help="tokenizer: weight of what the critic (trained before) sees; 0 leaves it out",
    )
    made.add_argument("--quick", action="store_true", help="measure: a tenth of the pictures")
    made.add_argument("--seed", type=int, default=0)
    return made


def main(argv: list[str] | None = None) -> int:
    """Entry point; prints one JSON object with the scores of each part."""
    import torch

    line = parser()
    asked = line.parse_args(argv)
    try:
        plan = build_config(asked.out, asked.size, asked.styles, asked.stream)
    except ValueError as problem:
        line.error(str(problem))
    torch.set_flush_denormal(True)  # tiny second moments of Adam would crawl otherwise
    if asked.device != "cpu":
        torch.set_float32_matmul_precision("high")  # what autocast leaves in fp32, as the codebook, may use TF32
    options = Options(
        asked.out,
        plan,
        asked.device,
        asked.seed,
        asked.count,
        asked.processes,
        asked.stop_after,
        asked.decoder_only,
        asked.perceptual,
        asked.quick,
        asked.rate,
    )
    budgets = _budgets(options.plan.size)
    if asked.total is not None:
        budgets = {name: asked.total * seconds / sum(budgets.values()) for name, seconds in budgets.items()}
    asked.out.mkdir(parents=True, exist_ok=True)
    for part in PARTS if asked.part == "all" else [asked.part]:
        seconds = budgets.get(part, 0.0) if asked.seconds is None else asked.seconds
        scores = run_part(part, seconds, options)
        (asked.out / f"{part}.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
        print(json.dumps({part: scores}), flush=True)
    return 0


def _budgets(size: str) -> dict[str, float]:
    return {name: float(GPU_SECONDS[name] if size == "gpu" else PARTS[name][0]) for name in TRAINED}


@contextmanager
def training_pictures(part: str, options: Options) -> Iterator[DrawnDataset]:
    """The stored set, or a stream that goes on where the part's last call stopped."""
    from pipelines.starter_build.dataset import DrawnDataset

    if not options.plan.stream:
        yield DrawnDataset.load(options.out / "pictures", "train")
        return
    from pipelines.starter_build.build_loop import read_state
    from pipelines.starter_build.streaming_dataset import StreamingDataset

    size = options.plan.sizes
    first = read_state(state_file(part, options.out)).get("more", {}).get("place", 0)
    stream = StreamingDataset(options.plan.domain, size.px, options.seed, size.window, first, options.processes)
    try:
        yield stream
    finally:
        stream.close()


def state_file(part: str, out: Path) -> Path:
    """Where a part keeps its state."""
    return out / part / (f"{part}.pt" if part in ("eyes", "picture") else "state.pt")


def run_part(part: str, seconds: float, options: Options) -> dict[str, Any]:
    """Run one part; returns its scores."""
    # Imported where needed: drawing needs packages that training does not, and --help needs neither.
    out, size = options.out, options.plan.sizes
    if part in TRAINED:
        from pipelines.starter_build.build_loop import Budget
        from pipelines.starter_build.dataset import DrawnDataset

        held_out = DrawnDataset.load(out / "pictures", "held_out")
        with training_pictures(part, options) as drawn:
            scores = train_part(part, drawn, held_out, Budget(seconds, options.stop_after), options)
            return scores | ({"drawn": 10 * drawn.place} if options.plan.stream else {})
    if part == "pictures":
        from pipelines.starter_build.render_dataset import render_images

        settings = {"seed": options.seed, "px": size.px, "processes": options.processes, "domain": options.plan.domain}
        made = render_images(out / "pictures" / "held_out", max(20, options.count // 20), held_out=True, **settings)
        return made if options.plan.stream else render_images(out / "pictures", options.count, **settings)
    if part == "sheets":
        from pipelines.starter_build.contact_sheet import style_sheets

        return style_sheets(out / "sheets", options.plan.domain, options.seed)
    if part == "measure":
        from pipelines.starter_build.measure import measure_all

        return measure_all(out, size, options.device, options.quick)
    from pipelines.starter_build.export import pack_all

    return pack_all(out, size, "two CPU cores, no GPU" if options.device == "cpu" else "a GPU")


def train_part(
    part: str, drawn: DrawnDataset, held_out: DrawnDataset, budget: Budget, options: Options
) -> dict[str, float]:
    """Train one of `TRAINED`."""
    from pipelines.starter_build.build_loop import read_state

    out, size, device = options.out / part, options.plan.sizes, options.device
    if options.rate is not None:
        size = replace(size, rates=size.rates | {part: options.rate})
    # Another order of rows for each call: with the same one, going on would show the first rows again and again.
    seed = options.seed + read_state(state_file(part, options.out)).get("step", 0)
    if part == "tokenizer":
        from pipelines.starter_build.build_vq import train_tokenizer

        critic = trained_critic(options.out, device) if options.perceptual else None
        return train_tokenizer(
            drawn, held_out, out, budget, size, seed, device, options.decoder_only, critic, options.perceptual
        )
    if part == "critic":
        from pipelines.models.starter.loading import language_words
        from pipelines.starter_build.build_critic import train_critic

        return train_critic(drawn, held_out, out, language_words(), budget, size, seed, device)
    if part == "classifier":
        from pipelines.evaluation.attribute_classifier import train_classifier

        return train_classifier(drawn, held_out, out, budget, size, seed, device)
    from pipelines.starter_build.export import fresh_starter

    model, tokenizer = fresh_starter(options.out, device, size)
    if part == "eyes":
        from pipelines.starter_build.build_vision_tower import train_vision_tower

        return train_vision_tower(model, tokenizer, drawn, held_out, out, budget, size, seed)
    from pipelines.starter_build.build_experts import train_image_expert

    stored = not options.plan.stream
    return train_image_expert(model, tokenizer, drawn, held_out, out, budget, size, seed, stored)


def trained_critic(out: Path, device: str) -> StarterCritic:
    """The build's critic, frozen; raises FileNotFoundError when there is none yet."""
    from pipelines.rewards.starter_critic import StarterCritic

    folder = out / "critic" / "model"
    if not folder.is_dir():
        raise FileNotFoundError(f"--perceptual needs a critic: run the part `critic` with --out {out} first")
    critic: StarterCritic = StarterCritic.from_pretrained(folder).float().to(device).eval().requires_grad_(False)
    return critic


if __name__ == "__main__":
    raise SystemExit(main())
