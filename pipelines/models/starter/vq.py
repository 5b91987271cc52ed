"""The starter's image tokenizer (VQ): pixels to codes of a codebook and back; 256 x 256 to 256 codes as shipped.

A small convolutional encoder and a larger decoder with one attention layer on the smallest map. How often the side is
halved is the length of the config's lists. Latents and code vectors have unit length, so the nearest code is the one
with the highest cosine. Training is in `pipelines/starter_build/build_vq.py`.

Dimension letters: N images, px side in pixels, side = px / 2 ** len(encoder_widths) codes along a side, D latent width.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel


class ImageTokenizerConfig(PreTrainedConfig):
    """Sizes of the tokenizer. The three lists have one entry for each halving of the side, largest map first."""

    model_type = "understudy_picture_tokenizer"

    def __init__(
        self,
        px: int = 96,
        codebook_size: int = 2048,
        latent_dim: int = 16,
        encoder_widths: tuple[int, ...] = (24, 64, 128),
        widths: tuple[int, ...] = (24, 96, 192),
        blocks: tuple[int, ...] = (1, 2, 1),
        **kwargs: object,
    ) -> None:
        self.px = px
        self.codebook_size = codebook_size
        self.latent_dim = latent_dim
        self.encoder_widths = tuple(encoder_widths)
        """Channels of the encoder at a half, a quarter ... of the image's side."""
        self.widths = tuple(widths)
        """Channels of the decoder at the same sizes."""
        self.blocks = tuple(blocks)
        """Residual blocks of the decoder at the same sizes."""
        if not len(self.encoder_widths) == len(self.widths) == len(self.blocks):
            raise ValueError("encoder_widths, widths and blocks must be of one length")
        if px % 2 ** len(self.encoder_widths):
            raise ValueError(f"px {px} cannot be halved {len(self.encoder_widths)} times")
        super().__init__(**kwargs)

    @property
    def side(self) -> int:
        """Codes along one side."""
        return self.px // 2 ** len(self.encoder_widths)


class _Block(nn.Module):
    """Residual block: norm, SiLU and convolution, twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(8, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class _Attention(nn.Module):
    """Self-attention over all positions of the smallest map, so that distant parts agree in style and light."""

    def __init__(self, channels: int, places: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.position = nn.Parameter(torch.zeros(1, places, channels))
        self.attend = nn.MultiheadAttention(channels, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        rows = self.norm(x.flatten(2).transpose(1, 2) + self.position)  # (N, h * w, C)
        mixed, _ = self.attend(rows, rows, rows, need_weights=False)
        return x + mixed.transpose(1, 2).reshape(n, c, h, w)


class _Encoder(nn.Module):
    """(N, 3, px, px) to (N, latent, side, side)."""

    def __init__(self, config: ImageTokenizerConfig) -> None:
        super().__init__()
        first, *deeper = config.encoder_widths
        layers: list[nn.Module] = [nn.Conv2d(3, first, 4, stride=2, padding=1), nn.SiLU()]
        for before, width in itertools.pairwise((first, *deeper)):
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), _Block(width)]
        last = config.encoder_widths[-1]
        self.layers = nn.Sequential(*layers, nn.GroupNorm(8, last), nn.SiLU(), nn.Conv2d(last, config.latent_dim, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layers(pixels)


class _Decoder(nn.Module):
    """(N, latent, side, side) to (N, 3, px, px)."""

    def __init__(self, config: ImageTokenizerConfig) -> None:
        super().__init__()
        widths, blocks = config.widths[::-1], config.blocks[::-1]  # smallest map first
        self.start = nn.Conv2d(config.latent_dim, widths[0], 3, padding=1)
        self.attention = _Attention(widths[0], config.side**2)
        layers: list[nn.Module] = [_Block(widths[0]) for _ in range(blocks[0])]
        for number, (before, width) in enumerate(itertools.pairwise(widths), start=1):
            # Between the two smallest maps attention has just mixed all places, so a pointwise convolution will do.
            kernel = 1 if number == 1 else 3
            layers += [nn.Conv2d(before, width * 4, kernel, padding=kernel // 2), nn.PixelShuffle(2)]
            layers += [_Block(width) for _ in range(blocks[number])]
        layers += [nn.GroupNorm(8, widths[-1]), nn.SiLU(), nn.Conv2d(widths[-1], 12, 3, padding=1), nn.PixelShuffle(2)]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.layers(self.attention(self.start(latents)))


class ImageTokenizer(PreTrainedModel):
    """Pixels to codes and codes to pixels."""

    config_class = ImageTokenizerConfig
    config: ImageTokenizerConfig
    base_model_prefix = "tokenizer"
    main_input_name = "pixels"

    def __init__(self, config: ImageTokenizerConfig) -> None:
        super().__init__(config)
        self.encoder = _Encoder(config)
        self.decoder = _Decoder(config)
        self.code_vectors = nn.Parameter(
            F.normalize(torch.randn(config.codebook_size, config.latent_dim), dim=-1), requires_grad=False
        )
        """(codebook, D) unit vectors; trained by running averages, never by gradients."""
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Keep the initial weights of torch's modules."""

    def latents(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels (N, 3, px, px) in -1..1 to unit vectors (N, side, side, D), not yet quantised."""
        return F.normalize(self.encoder(pixels).permute(0, 2, 3, 1).float(), dim=-1)

    def nearest(self, latents: torch.Tensor) -> torch.Tensor:
        """The code (int64, shape without the last axis) nearest to each unit vector."""
        with torch.autocast(latents.device.type, enabled=False):  # half precision confuses neighbouring codes
            return (latents.float() @ self.code_vectors.float().T).argmax(-1)

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Unit vectors (N, side, side, D) to pixels (N, 3, px, px), about -1..1 and not clipped."""
        return self.decoder(latents.permute(0, 3, 1, 2).to(self.decoder.start.weight.dtype))

    @torch.no_grad()
    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels (N, 3, px, px) in -1..1 to codes (N, side * side) int64, row by row from the top left."""
        return self.nearest(self.latents(pixels.to(self.decoder.start.weight.dtype))).flatten(1)

    @torch.no_grad()
    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (N, side * side) to pixels (N, 3, px, px) in -1..1."""
        side = self.config.side
        return self.decode_latents(self.code_vectors[codes].unflatten(1, (side, side))).float().clamp(-1, 1)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Training pass: pixels (N, 3, px, px) to reconstructed pixels, latents and codes (N, side, side).

        Straight-through: gradients pass the quantisation unchanged.
        """
        latents = self.latents(pixels)
        codes = self.nearest(latents.detach())
        quantised = latents + (self.code_vectors[codes] - latents).detach()
        return self.decode_latents(quantised), latents, codes


def toy_tokenizer_config() -> ImageTokenizerConfig:
    """The smallest tokenizer of the same class: 32 pixels, 16 codes of 32."""
    return ImageTokenizerConfig(
        px=32, codebook_size=32, latent_dim=4, encoder_widths=(8, 8, 16), widths=(8, 8, 16), blocks=(1, 1, 1)
    )
