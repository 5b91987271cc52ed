"""Hyperparameters of the starter's build, by size: `gpu`, `cpu` for two processor cores, and `toy` for tests.

`gpu` is the size of the shipped weights: 256 px, 256 codes of 4,096, an image expert of eight layers of width 384 that
reads reference pictures; 65 MB of bf16 weights. `cpu` is what two cores can train in some hours, without references.
The size a build folder was started with is kept in its `build.json`, so later calls need not repeat it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.starter_build.drawings.attributes import Domain


@dataclass(frozen=True)
class BuildSize:
    """Model sizes, batch sizes and peak learning rates of every part."""

    px: int
    """Side of an image."""
    tokenizer: dict[str, Any]
    """Arguments of `ImageTokenizerConfig`, without px."""
    image_expert: dict[str, Any]
    """Arguments of the image expert's LlamaConfig, without the codebook's size."""
    vision_tower: dict[str, Any]
    """Arguments of `VisionTower`."""
    references: dict[str, Any]
    """`StarterConfig.references`; empty for an image expert that reads no references."""
    critic: dict[str, Any]
    """Arguments of `StarterCriticConfig`; the embedding table's width and the calibration are set by the build."""
    classifier: dict[str, Any]
    """Arguments of `AttributeClassifierConfig`."""
    identity_encoder: dict[str, Any]
    """Arguments of `IdentityEncoderConfig`."""
    batch_sizes: dict[str, int]
    """Part -> images per step. The critic's batch is `identities` times `images_per_identity`, that of the second
    identity encoder `subjects` times `images_per_subject`."""
    learning_rates: dict[str, float]
    """Part -> peak learning rate."""
    vqa_images: int
    """Images per step about which questions are answered through the language expert; 0: none."""
    stream_window: int
    """Images that a `StreamingDataset` keeps at a time, and that are drawn before the image expert starts."""
    stored_images: int
    """Images whose codes the image expert's training keeps on the device, 2 kB each."""
    max_new_images: int = 0
    """Most new images per step of the image expert, which has to encode each of them; 0: no limit."""
    perceptual: float = 0.0
    """Weight of the image tokenizer's perceptual loss on the critic's feature maps; 0 leaves it out."""
    adversarial: float = 0.0
    """Strength of the image tokenizer's patch discriminator in the later part of its training; 0 leaves it out."""


SIZES = {
    "cpu": BuildSize(
        px=96,
        tokenizer={},
        # Small on purpose: in an hour on two cores 5 M parameters are trained on three times the images that 13 M
        # would be, and at that budget the number of images matters more (docs/log.md).
        image_expert={"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6, "num_attention_heads": 4},
        vision_tower={
            "px": 96,
            "patch_px": 12,
            "width": 192,
            "layers": 4,
            "heads": 4,
            "image_input_tokens": 12,
            "stem": (32, 64),
            "deep": 29,
        },
        references={},
        critic={},
        classifier={"px": 64, "channels": (24, 48, 96, 128)},
        identity_encoder={"px": 96, "channels": (24, 48, 96, 128)},
        batch_sizes={
            "tokenizer": 16,
            "identities": 16,
            "images_per_identity": 6,
            "eyes": 64,
            "picture": 16,
            "classifier": 64,
            "subjects": 32,
            "images_per_subject": 3,
        },
        learning_rates={
            "tokenizer": 2e-3,
            "critic": 2e-3,
            "eyes": 1e-3,
            "picture": 1.5e-3,
            "classifier": 2e-3,
            "identity": 1e-3,
        },
        vqa_images=4,
        stream_window=2000,
        stored_images=100_000,
        max_new_images=20,
    ),
    "gpu": BuildSize(
        px=256,
        # The side is halved four times: 16 x 16 codes.
        tokenizer={
            "codebook_size": 4096,
            "latent_dim": 16,
            "encoder_widths": (24, 48, 96, 192),
            "widths": (32, 64, 128, 256),
            "blocks": (1, 2, 2, 2),
        },
        image_expert={"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 6},
        vision_tower={
            "px": 128,
            "patch_px": 16,
            "width": 192,
            "layers": 6,
            "heads": 4,
            "image_input_tokens": 12,
            "stem": (32, 64, 128),
            "deep": 20,
        },
        references={"max_images": 2, "merge": 2, "num_attention_heads": 6, "intermediate_size": 768},
        critic={"px": 96, "channels": (32, 64, 128, 192)},
        classifier={"px": 96, "channels": (32, 64, 128, 192)},
        identity_encoder={"px": 96, "channels": (32, 64, 128, 192)},
        batch_sizes={
            "tokenizer": 96,
            "identities": 64,
            "images_per_identity": 6,
            "eyes": 256,
            "picture": 256,
            "classifier": 256,
            "subjects": 96,
            "images_per_subject": 3,
        },
        learning_rates={
            "tokenizer": 1.5e-3,
            "critic": 2e-3,
            "eyes": 1e-3,
            "picture": 1.2e-3,
            "classifier": 2e-3,
            "identity": 1e-3,
        },
        vqa_images=32,
        stream_window=12_000,
        stored_images=600_000,
        perceptual=1.0,
        adversarial=0.1,
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
        image_expert={"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
        vision_tower={
            "px": 32,
            "patch_px": 8,
            "width": 16,
            "layers": 1,
            "heads": 2,
            "image_input_tokens": 12,
            "stem": (8,),
            "deep": 1,
        },
        references={"max_images": 2, "merge": 2, "num_attention_heads": 4, "intermediate_size": 64},
        critic={"px": 32, "channels": (8, 8), "text_width": 16, "text_layers": 1, "width": 16},
        classifier={"px": 32, "channels": (8, 8)},
        identity_encoder={"px": 32, "channels": (8, 8), "width": 8},
        batch_sizes={
            "tokenizer": 8,
            "identities": 4,
            "images_per_identity": 3,
            "eyes": 8,
            "picture": 4,
            "classifier": 8,
            "subjects": 4,
            "images_per_subject": 2,
        },
        learning_rates={
            "tokenizer": 5e-3,
            "critic": 2e-3,
            "eyes": 2e-3,
            "picture": 2e-3,
            "classifier": 5e-3,
            "identity": 2e-3,
        },
        vqa_images=2,
        stream_window=40,
        stored_images=200,
        perceptual=0.5,
        adversarial=0.1,
    ),
}


NEW_REFERENCES = 4
"""Most references that the image expert of a new build folder learns to read."""


@dataclass(frozen=True)
class BuildConfig:
    """What a build folder was started with."""

    size: str = "cpu"
    styles: str = "first"
    """See `Domain.named`."""
    stream: bool = False
    """Whether training images are rendered on demand instead of stored."""
    references: int = NEW_REFERENCES
    """Most reference pictures that the image expert learns to read; 0 to so many."""

    @property
    def build_size(self) -> BuildSize:
        """The hyperparameters of this size."""
        size = SIZES[self.size]
        if not size.references:
            return size
        return replace(size, references=size.references | {"max_images": self.references})

    @property
    def domain(self) -> Domain:
        """The styles, places and poses that may be rendered."""
        return Domain.named(self.styles)

    @property
    def is_broad(self) -> bool:
        """Whether emoji, icons, hue turns and random art belong to what tokenizer and image expert learn from."""
        return self.styles == "wide"


def build_config(
    out: Path, size: str | None = None, styles: str | None = None, stream: bool | None = None
) -> BuildConfig:
    """The folder's configuration: the arguments of the first call, from then on those kept in `out`/build.json.

    Raises ValueError when `size` or `styles` differ from what the folder was started with; `stream` may change.
    """
    file = out / "build.json"
    stored = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name, value in {"size": size, "styles": styles}.items():
        if value is not None and stored and stored[name] != value:
            begun = f"{out} was begun with --{name} {stored[name]}, not {value}"
            raise ValueError(f"{begun}: leave it out or name another --out")
    for_gpu = stored.get("size", size) == "gpu"
    config = BuildConfig(
        stored.get("size") or size or "cpu",
        stored.get("styles") or styles or ("wide" if for_gpu else "first"),
        stored.get("stream", for_gpu) if stream is None else stream,
        # Folders from before the key was kept, as that of the shipped weights, learned two.
        stored.get("references", 2) if stored else NEW_REFERENCES,
    )
    if config.size not in SIZES:
        raise ValueError(f"size {config.size!r} is not one of {', '.join(SIZES)}")
    Domain.named(config.styles)  # raises on an unknown style
    if stored or size or styles or stream:
        out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(config.__dict__) + "\n", encoding="utf-8")
    return config
