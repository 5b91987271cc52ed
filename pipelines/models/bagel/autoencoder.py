"""The image autoencoder: `diffusers.AutoencoderKL` in FLUX.1's form, under the names of its published file.

Images are encoded alone: padded to a common size, as BAGEL's authors do, the padding would change their edges.

Dimension letters: N images, C latent channels, H and W pixels, h and w latents along the sides.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from pipelines.core.command_line import install_as_typed
from pipelines.models.bagel.config import AUTOENCODER_SCALE, AUTOENCODER_SHIFT


def build_autoencoder(numbers: dict[str, Any]) -> nn.Module:
    """`AutoencoderKL` of these channels, multipliers and blocks. ImportError says what to install."""
    try:
        from diffusers import AutoencoderKL
    except ImportError as error:
        raise ImportError(f"BAGEL's autoencoder needs diffusers: {install_as_typed('bagel')}") from error
    levels = len(numbers["ch_mult"])
    return AutoencoderKL(
        block_out_channels=tuple(numbers["ch"] * factor for factor in numbers["ch_mult"]),
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=numbers["num_res_blocks"],
        latent_channels=numbers["z_channels"],
        norm_num_groups=32,
        scaling_factor=AUTOENCODER_SCALE,
        shift_factor=AUTOENCODER_SHIFT,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


RENAMED = (
    (r"encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.down.\1.block."),
    (r"encoder\.down_blocks\.(\d+)\.downsamplers\.0\.", r"encoder.down.\1.downsample."),
    (r"decoder\.up_blocks\.(\d+)\.resnets\.", r"decoder.up.\1.block."),
    (r"decoder\.up_blocks\.(\d+)\.upsamplers\.0\.", r"decoder.up.\1.upsample."),
    (r"mid_block\.resnets\.0\.", "mid.block_1."),
    (r"mid_block\.resnets\.1\.", "mid.block_2."),
    (r"mid_block\.attentions\.0\.group_norm\.", "mid.attn_1.norm."),
    (r"mid_block\.attentions\.0\.to_out\.0\.", "mid.attn_1.proj_out."),
    (r"mid_block\.attentions\.0\.to_([qkv])\.", r"mid.attn_1.\1."),
    (r"conv_shortcut\.", "nin_shortcut."),
    (r"conv_norm_out\.", "norm_out."),
)
"""Parts of names in the library and in the published file."""


def published_name(name: str, levels: int) -> str:
    """The published name of one of the library's tensors; the published decoder counts its levels from the last one."""
    for ours, theirs in RENAMED:
        name = re.sub(ours, theirs, name)
    return re.sub(r"decoder\.up\.(\d+)\.", lambda found: f"decoder.up.{levels - 1 - int(found[1])}.", name)


def published_shape(name: str, shape: torch.Size) -> tuple[int, ...]:
    """Of a tensor by its published name: the attention's linears are 1 x 1 convolutions there."""
    is_linear = re.search(r"attn_1\.(q|k|v|proj_out)\.weight$", name) is not None
    return (*shape, 1, 1) if is_linear else tuple(shape)


def encode_moments(autoencoder: Any, pixels: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) in [-1, 1] to (N, 2 C, h, w): means, then log variances."""
    weight = autoencoder.encoder.conv_in.weight
    return torch.cat([autoencoder.encoder(one[None].to(weight.device, weight.dtype)) for one in pixels])


def latents_of(moments: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
    """Moments (N, 2 C, h, w) to latents (N, C, h, w): the mean, or with noise (N, C, h, w) a sample."""
    mean, log_variance = moments.float().chunk(2, 1)
    sample = mean if noise is None else mean + torch.exp(0.5 * log_variance) * noise
    return AUTOENCODER_SCALE * (sample - AUTOENCODER_SHIFT)


def deviations_of(moments: torch.Tensor) -> torch.Tensor:
    """Moments (N, 2 C, h, w) to the deviations (N, C, h, w) of the latents that are sampled from them."""
    return AUTOENCODER_SCALE * torch.exp(0.5 * moments.float().chunk(2, 1)[1])


def decode_latents(autoencoder: Any, latents: torch.Tensor) -> torch.Tensor:
    """Latents (N, C, h, w) to float32 pixels (N, 3, H, W), about in [-1, 1]."""
    weight = autoencoder.decoder.conv_in.weight
    unscaled = (latents / AUTOENCODER_SCALE + AUTOENCODER_SHIFT).to(weight.device, weight.dtype)
    return torch.cat([autoencoder.decoder(one[None]) for one in unscaled]).float()
