"""BAGEL's numbers: what its published files say, and what is fixed in no file.

`llm_config.json` and `vit_config.json` of the published folder give most of them; sides of the position tables come
from the tables themselves. The published `config.json` is not valid JSON in some revisions and is never read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import PretrainedConfig, Qwen3Config, SiglipVisionConfig

from pipelines.models import packed_attention

LATENT_PATCH = 2
"""Side of the patch of latents that is one token."""
PIXELS_PER_LATENT = 16
"""Of one side: the autoencoder makes eight pixels one, and a token is a patch of these."""
PUBLISHED_LATENT_SIDE, PUBLISHED_VISION_SIDE = 64, 70
"""Rows (and columns) of the position tables of latents and of looked-at patches."""
AUTOENCODER = {"ch": 128, "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "z_channels": 16}
"""FLUX.1's, which BAGEL uses as it is."""
IMAGE_PX, LOOK_PX = 512, 378
"""Sides of images as characters are drawn and looked at: 1,024 latents and 729 patches. The model knows others."""
FLOW_STEPS = 49
"""Of a drawing, as the authors draw."""
AUTOENCODER_SCALE, AUTOENCODER_SHIFT = 0.3611, 0.1159
"""latent = scale * (sample - shift)."""


TEXT_NUMBERS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "rms_norm_eps",
)
"""What `llm_config.json` must say, and `rope_theta`."""
TEXT_DEFAULTS = ("hidden_act", "max_position_embeddings")
"""What it may say."""
VISION_NUMBERS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "image_size",
    "patch_size",
)
"""What `vit_config.json` must say."""


@dataclass(frozen=True)
class SpecialIds:
    """Ids that stand around text and images."""

    text_start: int = 151644
    """`<|im_start|>`, before every text."""
    text_end: int = 151645
    """`<|im_end|>`, after it: what stops sampling."""
    image_start: int = 151652
    """`<|vision_start|>`, before every image, whatever its kind."""
    image_end: int = 151653
    """`<|vision_end|>`, after it."""
    pad: int = 151643
    """`<|endoftext|>`."""
    looked_at: int = 151655
    """`<|image_pad|>`, in rows of ids in place of a patch of a looked-at image; the decoder never sees it."""


class BagelConfig(PretrainedConfig):
    """Config of `BagelModel`: a decoder with two experts, a vision tower and an autoencoder."""

    model_type = "understudy_bagel"
    has_no_defaults_at_init = True

    def __init__(
        self,
        text: dict[str, Any] | None = None,
        vision: dict[str, Any] | None = None,
        autoencoder: dict[str, Any] | None = None,
        latent_side: int = PUBLISHED_LATENT_SIDE,
        vision_side: int = PUBLISHED_VISION_SIDE,
        special_ids: dict[str, int] | None = None,
        image_px: int = IMAGE_PX,
        look_px: int = LOOK_PX,
        flow_steps: int = FLOW_STEPS,
        **kwargs: Any,
    ) -> None:
        """text: as in `llm_config.json`; vision: as in `vit_config.json`, but with the layers that are used.

        autoencoder: channels, multipliers, blocks a level, latent channels, named as its authors do. latent_side,
        vision_side: rows of the position tables. special_ids: fields of `SpecialIds`.
        image_px, look_px: sides of a drawn and of a looked-at image; flow_steps: steps of a drawing for people.
        """
        self.text = text or {}
        self.vision = vision or {}
        self.autoencoder = autoencoder or AUTOENCODER
        self.latent_side = latent_side
        self.vision_side = vision_side
        self.special_ids = special_ids or {}
        self.image_px, self.look_px, self.flow_steps = image_px, look_px, flow_steps
        super().__init__(**{"tie_word_embeddings": False, **kwargs})

    @property
    def ids(self) -> SpecialIds:
        """The ids around text and images."""
        return SpecialIds(**self.special_ids)

    @property
    def vocab_size(self) -> int:
        """Text ids; images have none."""
        return int(self.text["vocab_size"])

    @property
    def hidden_size(self) -> int:
        """Width of the decoder; libraries read it."""
        return int(self.text["hidden_size"])

    @property
    def latent_width(self) -> int:
        """Numbers of one image token."""
        return LATENT_PATCH * LATENT_PATCH * int(self.autoencoder["z_channels"])

    def decoder_config(self) -> Qwen3Config:
        """Either expert of the decoder: Qwen2.5 with a norm on the heads of queries and keys, as Qwen3 has."""
        given = {name: self.text[name] for name in (*TEXT_NUMBERS, *TEXT_DEFAULTS) if name in self.text}
        head_dim = self.text["hidden_size"] // self.text["num_attention_heads"]
        return Qwen3Config(
            **given,
            head_dim=head_dim,
            rope_parameters={"rope_type": "default", "rope_theta": self.text["rope_theta"]},
            attention_bias=True,
            use_sliding_window=False,
            tie_word_embeddings=False,
            attn_implementation=packed_attention.NAME,
        )

    def tower_config(self) -> SiglipVisionConfig:
        """The vision tower."""
        given = {name: self.vision[name] for name in (*VISION_NUMBERS, "num_channels") if name in self.vision}
        return SiglipVisionConfig(**given, attn_implementation="sdpa")
