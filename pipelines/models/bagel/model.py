"""BAGEL (https://huggingface.co/ByteDance-Seed/BAGEL-7B-MoT): one decoder that writes text and draws by flow matching.

Written from a description of layout and formulas, with library parts: transformers' Qwen3 and SigLIP, diffusers'
autoencoder. Modules have the published names, so that files load one to one. Rows are made of segments (`rows.py`)
here; `unified.py` is the same model behind the contract, with rows of ids.

Dimension letters: T positions of a row, N latent tokens, R those that are drawn, Y labels, D width of the decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from pipelines.core.model_identity import UNKNOWN_MODEL
from pipelines.models.bagel.autoencoder import build_autoencoder, decode_latents, encode_moments
from pipelines.models.bagel.config import BagelConfig
from pipelines.models.bagel.contexts import EMPTY, Context, ReadingCache
from pipelines.models.bagel.decoder import Routing, TwinLanguageModel
from pipelines.models.bagel.embeddings import Connector, PositionTable, TimeEmbedder
from pipelines.models.bagel.row_blocks import blocks_of
from pipelines.models.bagel.rows import Drawn, PackedRow, Segment, pack, visibility
from pipelines.models.bagel.vision_tower import VisionTower
from pipelines.models.decoding.token_logprobs import compute_token_logprobs
from pipelines.models.interface import CheckpointingByOldNames


@dataclass
class RowScores(ModelOutput):
    """What `score_row` returns of a packed row."""

    loss: torch.Tensor | None = None
    """Weighted sum of the means of `ce` and `mse`."""
    hidden: torch.Tensor | None = None
    """(T, D) after the last norms."""
    ce: torch.Tensor | None = None
    """(Y,) minus the log-probability of each label."""
    mse: torch.Tensor | None = None
    """(R, 64) squared error of the velocity."""
    velocity: torch.Tensor | None = None
    """(R, 64) as predicted, float32."""


class BagelModel(CheckpointingByOldNames, PreTrainedModel):
    """Decoder, vision tower, autoencoder and what connects them."""

    config_class = BagelConfig
    config: BagelConfig
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["TwinLayer"]  # noqa: RUF012 (as the library declares it)

    language_targets = r"language_model\.model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"
    image_targets = (
        r"language_model\.model\.layers\.\d+\.(self_attn\.[qkvo]_proj_moe_gen|mlp_moe_gen\.(gate|up|down)_proj)"
    )
    """Linears of the understanding and of the generation expert. Adapting the second alone leaves text bit-equal."""
    identity = UNKNOWN_MODEL

    def __init__(self, config: BagelConfig) -> None:
        super().__init__(config)
        width, vision = config.hidden_size, config.tower_config()
        self.language_model = TwinLanguageModel(config.decoder_config())
        self.vit_model = VisionTower(vision)
        self.connector = Connector(vision.hidden_size, width)
        self.vit_pos_embed = PositionTable(config.vision_side, width)
        self.latent_pos_embed = PositionTable(config.latent_side, width)
        self.time_embedder = TimeEmbedder(width)
        self.vae2llm = nn.Linear(config.latent_width, width)
        self.llm2vae = nn.Linear(width, config.latent_width)
        self.autoencoder = build_autoencoder(config.autoencoder)
        self.autoencoder.requires_grad_(False)

    def get_input_embeddings(self) -> nn.Module:
        """Of text ids."""
        return self.language_model.model.embed_tokens

    def score_row(self, row: PackedRow, ce_weight: float = 1.0, mse_weight: float = 1.0) -> RowScores:
        """Both losses of a packed row in one pass."""
        hidden = self.hidden_states(row)  # (T, D)
        logps = hidden.new_zeros(0, dtype=torch.float32)
        if len(row.label_ids):
            head = self.language_model.lm_head
            logps, _ = compute_token_logprobs(head, hidden[row.label_places], row.label_ids, False)
        velocity = self.llm2vae(hidden[row.drawn_places]).float()
        mse = F.mse_loss(velocity, row.velocity.float(), reduction="none")
        loss = hidden.new_zeros((), dtype=torch.float32)
        if len(logps):
            loss = loss - ce_weight * logps.mean()
        if len(mse):
            loss = loss + mse_weight * mse.mean()
        return RowScores(loss=loss, hidden=hidden, ce=-logps, mse=mse, velocity=velocity)

    def hidden_states(self, row: PackedRow, cache: Any = None, seen_before: int = 0) -> torch.Tensor:
        """(T, D) after the last norms. cache: a `ReadingCache` over a context of `seen_before` positions."""
        mask = visibility(row)
        blocks = blocks_of(row, mask) if cache is None else None
        if seen_before:
            mask = torch.cat([mask.new_ones(len(mask), seen_before), mask], 1)
        is_latent = torch.zeros_like(row.positions, dtype=torch.bool)
        is_latent[row.latent_places] = True
        output = self.language_model.model(
            inputs_embeds=self.embed_row(row)[None],
            attention_mask=mask[None, None],
            position_ids=row.positions[None],
            cache=cache,
            routing=Routing(is_latent),
            packed_blocks=blocks,
        )
        return output.last_hidden_state[0]

    def embed_row(self, row: PackedRow) -> torch.Tensor:
        """(T, D) what enters the decoder."""
        parts = [(row.text_places, self.get_input_embeddings()(row.text_ids))]
        if len(row.patches):
            features = self.connector(self.vit_model(row.patches, row.patch_ids, row.patch_lengths))
            parts.append((row.patch_places, features + self.vit_pos_embed(row.patch_ids)))
        if len(row.latents):
            parts.append((row.latent_places, self.embed_latents(row.latents, row.latent_ids, row.latent_t)))
        places, embedded = zip(*parts, strict=True)
        return torch.cat(embedded)[torch.cat(places).argsort()]

    def embed_latents(self, latents: torch.Tensor, ids: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Latents (N, 64) at places ids (N,) and noise levels t, (N,) or (1,) for all, to (N, D)."""
        latents = self.vae2llm(latents.to(self.vae2llm.weight.dtype))
        return latents + self.time_embedder(t) + self.latent_pos_embed(ids)

    def read(self, samples: Sequence[Sequence[Segment]], after: Context = EMPTY) -> list[Context]:
        """Read clean segments, all samples in one pass; each goes on from `after`."""
        if any(isinstance(segment, Drawn) for segments in samples for segment in segments):
            raise ValueError("a context holds no noised image: it would hold for one noise level alone")
        if not any(samples):
            return [after] * len(samples)
        row = pack(samples, self.config, after.position).to(self.device)
        cache = ReadingCache(after)
        self.hidden_states(row, cache, len(after))
        return cache.contexts(row.sample_lengths, row.next_positions)

    @torch.no_grad()
    def moments_of(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1] to moments (N, 32, H / 8, W / 8); `latents_of` takes means or samples from them."""
        return encode_moments(self.autoencoder, pixels)

    @torch.no_grad()
    def pixels_of(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (N, 16, H / 8, W / 8) to float32 pixels (N, 3, H, W) in [-1, 1]."""
        return decode_latents(self.autoencoder, latents).clamp(-1, 1)
