"""BAGEL behind the contract: rows of ids, image latents instead of codes, sampling from prompts of ids.

No weights and no arithmetic of its own: rows of ids become the packed rows of `rows.py`, and sampling goes through
`sampling.py`, both of which are proved against golden numbers. A looked-at image stands before its turn and a drawn one
behind the end of its text, as the model was trained; the model has no roles, who speaks follows from the order.

Dimension letters: B rows, T positions, N images, C latents of an image, W numbers of one, D width of the decoder,
P prompts, G samples of a prompt, L labelled positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from pipelines.models.bagel.autoencoder import deviations_of, latents_of
from pipelines.models.bagel.config import LATENT_PATCH, PIXELS_PER_LATENT, BagelConfig
from pipelines.models.bagel.draw_in_parts import PromptDrawings, draw_prompts
from pipelines.models.bagel.flow import FlowSampling
from pipelines.models.bagel.id_reader import IdReader
from pipelines.models.bagel.id_rows import IdRows, NoisedImages, RowImages, refuse_left_over
from pipelines.models.bagel.model import BagelModel
from pipelines.models.bagel.patches import to_patches
from pipelines.models.bagel.sampling import DrawingContexts, latents_from, noise_for, write
from pipelines.models.decoding.multi_lora import Adapter, LoraBatch
from pipelines.models.decoding.sampling import (
    DEFAULT_SAMPLING,
    Generators,
    ImageSamples,
    LogitsProcessor,
    OnIds,
    Sampling,
    TextSamples,
)
from pipelines.models.decoding.token_logprobs import compute_token_logprobs, previous_positions
from pipelines.models.interface import ChatFormat, ModelSpec, RoleTemplate, Scores, refuse_unknown

CHAT_FORMAT = ChatFormat(
    system=RoleTemplate("<|im_start|>", ""),
    user=RoleTemplate("<|im_start|>", ""),
    character=RoleTemplate("<|im_start|>", ""),
    image_before="<|vision_start|>",
    image_after="<|vision_end|>",
    image_outside=True,
)
"""As BAGEL was trained: every text between its marks, without the name of a role."""


class UnifiedBagel(BagelModel):
    """BAGEL as a `UnifiedModel`."""

    def __init__(self, config: BagelConfig) -> None:
        super().__init__(config)
        self.post_init()

    @property
    def spec(self) -> ModelSpec:
        """Read from the config."""
        config, ids = self.config, self.config.ids
        return ModelSpec(
            text_vocab=config.vocab_size,
            codebook=1,
            image_tokens=self._grid[0] * self._grid[1],
            image_px=config.image_px,
            image_input_tokens=(config.look_px // config.vision["patch_size"]) ** 2,
            boi_id=ids.image_start,
            image_placeholder_id=ids.looked_at,
            eot_id=ids.text_end,
            pad_id=ids.pad,
            chat_format=CHAT_FORMAT,
            latent_width=config.latent_width,
            flow_steps=config.flow_steps,
        )

    def get_output_embeddings(self) -> nn.Module:
        """Of text ids."""
        return self.language_model.lm_head

    @property
    def _grid(self) -> tuple[int, int]:
        side = self.config.image_px // PIXELS_PER_LATENT
        return side, side

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        segment_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        entropies: bool = False,
        latents: torch.Tensor | None = None,
        noise: torch.Tensor | None = None,
        noise_levels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Scores:
        """See `UnifiedModel.forward`. Rows pass one after the other: each has a mask of its own.

        ValueError where images and their places do not fit together.
        """
        refuse_unknown(type(self).__name__, kwargs)
        spec = self.spec
        drawn = None
        if latents is not None and noise is not None and noise_levels is not None:
            drawn = NoisedImages(latents, noise, noise_levels)
        images = RowImages.of(spec, self.config, pixel_values, drawn)
        before = previous_positions(input_ids, attention_mask, segment_ids)  # (B, T)
        scored = torch.zeros_like(input_ids, dtype=torch.bool)
        if labels is not None:
            scored = (labels != -100) & (labels < spec.text_vocab) & (before >= 0)
        logps = torch.zeros(input_ids.shape, dtype=torch.float32, device=input_ids.device)
        entropy = torch.zeros_like(logps)
        velocities, errors = [], []
        for row, ids in enumerate(input_ids):
            real = slice(None) if attention_mask is None else attention_mask[row].bool()
            segments = None if segment_ids is None else segment_ids[row][real].tolist()
            rows = IdRows(spec, self.config, images)
            place = torch.full_like(ids, -1)  # (T,) where each id went
            place[real] = torch.tensor(rows.add(ids[real].tolist(), segments), dtype=torch.long, device=ids.device)
            packed = rows.row().to(self.device)
            hidden = self.hidden_states(packed)
            found = torch.nonzero(scored[row]).squeeze(-1)  # (L,)
            if labels is not None and len(found):
                predicting = hidden[place[before[row, found]]]  # (L, D)
                head = self.language_model.lm_head
                known, spread = compute_token_logprobs(head, predicting, labels[row, found], entropies)
                logps = logps.index_put((torch.full_like(found, row), found), known)
                entropy = entropy.index_put((torch.full_like(found, row), found), spread)
            if len(packed.drawn_places):
                velocity = self.llm2vae(hidden[packed.drawn_places]).float()
                velocities.append(velocity.view(-1, spec.image_tokens, spec.latent_width))
                errors.append((velocities[-1] - packed.velocity.view_as(velocities[-1])).square().mean((1, 2)))
        refuse_left_over(images, 0 if pixel_values is None else len(pixel_values), spec.image_input_tokens)
        flow = torch.cat(errors) if errors else logps.new_zeros(0)
        velocity = torch.cat(velocities) if errors else logps.new_zeros(0, spec.image_tokens, spec.latent_width)
        loss = -logps.sum() / scored.sum().clamp(min=1) + flow.sum() / max(1, len(flow))
        return Scores(loss=loss, logps=logps, entropies=entropy, velocity=velocity, flow=flow)

    @torch.no_grad()
    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, px, px) in [-1, 1] to (N, C, 2 W): means of latents, then their deviations."""
        moments = self.moments_of(pixels)
        parts = [
            torch.cat([to_patches(mean, LATENT_PATCH), to_patches(spread, LATENT_PATCH)], -1)
            for mean, spread in zip(latents_of(moments), deviations_of(moments), strict=True)
        ]
        return torch.stack(parts)

    @torch.no_grad()
    def decode_images(self, codes: torch.Tensor) -> torch.Tensor:
        """Latents (N, C, W), or the means of (N, C, 2 W), to float32 pixels (N, 3, px, px) in [-1, 1]."""
        return self.pixels_of(latents_from(codes[..., : self.config.latent_width], self._grid))

    @torch.no_grad()
    def sample_text(
        self,
        prompts: list[list[int]],
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        num_return_sequences: int = 1,
        stop_ids: tuple[int, ...] = (),
        pixel_values: torch.Tensor | None = None,
        generator: Generators = None,
        loras: LoraBatch | None = None,
        on_ids: OnIds | None = None,
        logits_processor: LogitsProcessor | None = None,
    ) -> TextSamples:
        """See `UnifiedModel.sample_text`."""
        if not prompts or not all(prompts):
            raise ValueError("sampling needs at least one prompt, and no prompt may be empty")
        adapters = _adapters_of(loras, len(prompts))
        prefix_cache = None if loras is None else loras.prefix_cache
        return write(
            self,
            IdReader(self, self.spec, adapters, prefix_cache).read([prompt[:-1] for prompt in prompts], pixel_values),
            sampling,
            num_return_sequences=num_return_sequences,
            adapters=adapters,
            generator=generator,
            on_ids=on_ids,
            last_ids=[prompt[-1] for prompt in prompts],
            stop_ids=stop_ids,
            logits_processor=logits_processor,
        )

    @torch.no_grad()
    def sample_images(
        self,
        prompts: list[list[int]],
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        num_return_sequences: int = 1,
        pixel_values: torch.Tensor | None = None,
        reference_codes: torch.Tensor | None = None,
        generator: Generators = None,
        loras: LoraBatch | None = None,
        on_ids: OnIds | None = None,
    ) -> ImageSamples:
        """See `UnifiedModel.sample_images`. Guidance compares with what stands before the last text."""
        spec, group = self.spec, num_return_sequences
        if any(prompt[-1:] != [spec.boi_id] for prompt in prompts):
            raise ValueError(f"a picture prompt must end in the id that begins an image ({spec.boi_id})")
        adapters = _adapters_of(loras, len(prompts))
        reader = IdReader(self, spec, adapters)
        full = without = reader.read([prompt[:-1] for prompt in prompts], pixel_values)
        if sampling.guidance_scale > 1:
            without = reader.read([self._before_last_text(prompt) for prompt in prompts], pixel_values)
        count = len(prompts) * group
        noise = noise_for((count, spec.image_tokens, spec.latent_width), generator, self.device)
        contexts = [DrawingContexts(*both, both[0]) for both in zip(full, without, strict=True)]
        latents, steps = draw_prompts(
            self,
            PromptDrawings(contexts, group, noise, self._grid, generator, adapters),
            FlowSampling(1 + (sampling.flow_steps or spec.flow_steps), text_guidance=sampling.guidance_scale),
            sampling.flow_window,
            sampling.flow_noise,
            None if on_ids is None else lambda: on_ids(dict.fromkeys(range(count), 0)),
        )
        codes = torch.zeros(count, spec.image_tokens, dtype=torch.long, device=self.device)
        return ImageSamples(codes, torch.zeros(codes.shape, device=self.device), latents, steps)

    def _before_last_text(self, prompt: Sequence[int]) -> list[int]:
        start = self.config.ids.text_start
        return list(prompt[: len(prompt) - 1 - prompt[::-1].index(start)]) if start in prompt else []


def _adapters_of(loras: LoraBatch | None, prompts: int) -> list[Adapter] | None:
    """The adapter of each prompt."""
    if loras is None:
        return None
    loras.start()
    return [loras.adapter_of_row(row) for row in range(prompts)]
