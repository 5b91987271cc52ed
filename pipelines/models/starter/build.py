"""Build the starter's own weights: `python -m pipelines.models.starter.build PART --out FOLDER [--seconds N]`.

Parts, in order: `pictures` draws the training set, `tokenizer`, `critic`, `eyes` and `picture` train one module each,
`pack` writes weights/ beside this file. Every training part keeps its state in FOLDER each minute or two and goes on
from there when called again with a larger --seconds; `all` runs the lot. Inputs are drawn, not downloaded, so nothing
has to travel to another machine but this repository; a GPU is used when --device cuda is given.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

PARTS = {
    "pictures": (240, "draw 24,000 pictures on two cores; no training"),
    "tokenizer": (1100, "picture tokenizer (VQ, 144 codes at 96 px); two cores: 18 minutes"),
    "critic": (600, "the judge of rewards and scorecards; two cores: 10 minutes"),
    "eyes": (400, "vision tower and aligner; two cores: 7 minutes"),
    "picture": (3600, "picture expert; two cores: one hour"),
    "pack": (0, "write weights/ from the parts"),
}


def main(argv: list[str] | None = None) -> int:
    """Entry point; prints one JSON object with the scores of the part."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.models.starter.build", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{name:10} {about} (default budget {seconds} s)" for name, (seconds, about) in PARTS.items()),
    )
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--out", type=Path, required=True, help="folder for drawn pictures, states and parts")
    parser.add_argument("--seconds", type=float, help="time budget of this part, earlier calls counted in")
    parser.add_argument("--count", type=int, default=24000, help="pictures to draw")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--decoder-only", action="store_true", help="tokenizer: train its decoder further, codes stay as they are"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    torch.set_flush_denormal(True)  # tiny second moments of Adam would crawl otherwise
    for part in PARTS if options.part == "all" else [options.part]:
        seconds = PARTS[part][0] if options.seconds is None else options.seconds
        scores = run_part(part, options.out, seconds, options)
        (options.out / f"{part}.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
        print(json.dumps({part: scores}), flush=True)
    return 0


def run_part(part: str, out: Path, seconds: float, options: argparse.Namespace) -> dict[str, Any]:
    """Run one part; returns its scores."""
    # Imported here: drawing needs packages that training does not, and --help needs neither.
    data = out / "pictures"
    if part == "pictures":
        from pipelines.models.starter.pictures import draw_pictures

        draw_pictures(data / "held_out", options.count // 20, options.seed, held_out=True)
        return draw_pictures(data, options.count, options.seed)
    if part == "tokenizer":
        from pipelines.models.starter.build_vq import train_tokenizer

        folder = out / "tokenizer"
        return train_tokenizer(folder, seconds, options.seed, options.device, decoder_only=options.decoder_only)
    if part == "critic":
        from pipelines.models.starter.build_critic import train_critic
        from pipelines.models.starter.loading import language_words

        return train_critic(data, out / "critic", language_words(), seconds, options.seed, options.device)
    from pipelines.models.starter.assembly import fresh_starter, pack_all

    if part == "pack":
        return pack_all(out)
    from pipelines.models.starter.build_experts import train_eyes, train_picture

    model, tokenizer = fresh_starter(out, options.device)
    train = train_eyes if part == "eyes" else train_picture
    return train(model, tokenizer, data, out / part, seconds, options.seed)


if __name__ == "__main__":
    raise SystemExit(main())
