"""Two sizes of everything the build trains: what two processor cores can teach, and what a GPU can.

`cpu` is what the first weights have. `gpu` stays within 60 MB of bf16 weights and draws a picture in about three
seconds on two cores: 128 px, 256 codes, a picture expert of eight layers of 384. `toy` is for tests. The name a folder
was begun with is kept in its `build.json`, so later calls need not repeat it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.starter_build.drawings.attributes import Domain


@dataclass(frozen=True)
class BuildSize:
    """Sizes, batches and peak learning rates."""

    px: int
    """Side of a picture."""
    tokenizer: dict[str, Any]
    """For `ImageTokenizerConfig`, without px."""
    picture: dict[str, Any]
    """For the picture expert's LlamaConfig, without the codebook."""
    eyes: dict[str, Any]
    critic: dict[str, Any]
    """For `StarterCriticConfig`; words and calibration come by themselves."""
    classifier: dict[str, Any]
    """For `AttributeReader`: px and channels."""
    batches: dict[str, int]
    """Part -> pictures of a step; for the critic `identities` and `looks` of each."""
    rates: dict[str, float]
    eye_answers: int
    """Pictures of a step about which questions are answered through the language expert; 0: none."""
    window: int
    """Pictures of a stream kept at a time."""
    fresh: int = 0
    """Pictures of a stream that a step of the picture expert takes at most, since it must encode them; 0: no limit."""


SIZES = {
    "cpu": BuildSize(
        px=96,
        tokenizer={},
        # Small on purpose: in an hour of two cores 5 M parameters see three times the pictures that 13 M would, and
        # at that budget pictures seen count for more (docs/log.md).
        picture={"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6, "num_attention_heads": 4},
        eyes={
            "px": 96,
            "patch_px": 12,
            "width": 192,
            "layers": 4,
            "heads": 4,
            "image_input_tokens": 12,
            "stem": (32, 64),
            "deep": 29,
        },
        critic={},
        classifier={"px": 64, "channels": (24, 48, 96, 128)},
        batches={"tokenizer": 16, "identities": 16, "looks": 6, "eyes": 64, "picture": 16, "classifier": 64},
        rates={"tokenizer": 2e-3, "critic": 2e-3, "eyes": 1e-3, "picture": 1.5e-3, "classifier": 2e-3},
        eye_answers=4,
        window=2000,
        fresh=20,
    ),
    "gpu": BuildSize(
        px=128,
        tokenizer={
            "codebook_size": 2048,
            "latent_dim": 16,
            "encoder_widths": (48, 96, 192),
            "widths": (32, 96, 256),
            "blocks": (1, 2, 2),
        },
        picture={"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 6},
        eyes={
            "px": 128,
            "patch_px": 16,
            "width": 192,
            "layers": 6,
            "heads": 4,
            "image_input_tokens": 12,
            "stem": (32, 64, 128),
            "deep": 20,
        },
        critic={"px": 96, "channels": (32, 64, 128, 192)},
        classifier={"px": 96, "channels": (32, 64, 128, 192)},
        batches={"tokenizer": 128, "identities": 64, "looks": 6, "eyes": 256, "picture": 256, "classifier": 256},
        rates={"tokenizer": 1.5e-3, "critic": 2e-3, "eyes": 1e-3, "picture": 1.2e-3, "classifier": 2e-3},
        eye_answers=32,
        window=12_000,
    ),
    "toy": BuildSize(
        px=32,
        tokenizer={
            "codebook_size": 32,
            "latent_dim": 4,
            "encoder_widths": (8, 8, 16),
            "widths": (8, 8, 16),
            "blocks": (1, 1, 1),
        },
        picture={"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
        eyes={
            "px": 32,
            "patch_px": 8,
            "width": 16,
            "layers": 1,
            "heads": 2,
            "image_input_tokens": 12,
            "stem": (8,),
            "deep": 1,
        },
        critic={"px": 32, "channels": (8, 8), "text_width": 16, "text_layers": 1, "width": 16},
        classifier={"px": 32, "channels": (8, 8)},
        batches={"tokenizer": 8, "identities": 4, "looks": 3, "eyes": 8, "picture": 4, "classifier": 8},
        rates={"tokenizer": 5e-3, "critic": 2e-3, "eyes": 2e-3, "picture": 2e-3, "classifier": 5e-3},
        eye_answers=2,
        window=40,
    ),
}


@dataclass(frozen=True)
class BuildConfig:
    """What a build folder was begun with."""

    size: str = "cpu"
    styles: str = "first"
    """See `Domain.named`."""
    stream: bool = False
    """Whether training pictures are drawn on demand instead of stored."""

    @property
    def sizes(self) -> BuildSize:
        """The sizes by that name."""
        return SIZES[self.size]

    @property
    def domain(self) -> Domain:
        """What may be drawn."""
        return Domain.named(self.styles)


def build_config(
    out: Path, size: str | None = None, styles: str | None = None, stream: bool | None = None
) -> BuildConfig:
    """The folder's plan, made of what is asked for on the first call and kept in `out`/build.json.

    Raises ValueError when something else is asked for than the folder was begun with; whether pictures are streamed
    may change at any time.
    """
    file = out / "build.json"
    asked = {"size": size, "styles": styles}
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name, value in asked.items():
        if value is not None and kept and kept[name] != value:
            begun = f"{out} was begun with --{name} {kept[name]}, not {value}"
            raise ValueError(f"{begun}: leave it out or name another --out")
    wide = kept.get("size", size) == "gpu"
    plan = BuildConfig(
        kept.get("size") or size or "cpu",
        kept.get("styles") or styles or ("wide" if wide else "first"),
        (kept.get("stream", wide) if stream is None else stream),
    )
    if plan.size not in SIZES:
        raise ValueError(f"size {plan.size!r} is not one of {', '.join(SIZES)}")
    Domain.named(plan.styles)  # raises on an unknown style
    if kept or size or styles or stream:
        out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(plan.__dict__) + "\n", encoding="utf-8")
    return plan
