"""Janus-Pro behind the one contract: transformers' own class, text ids and image codes in one id space.

`JanusModel` adds no weights to `JanusForConditionalGeneration`, so published checkpoints load as they are. Text goes
through the token embedding and `lm_head`, codes through the generation embedding, its aligner and the generation head;
looked-at images enter through SigLIP and the aligner. All pixels are in [-1, 1], Janus' own scale on both sides. The
contract (shapes, ids, packing) is in `pipelines.models.interface`.

Departures from the library: images are encoded with the codebook on the unit sphere, as in DeepSeek's original
(https://github.com/deepseek-ai/Janus, vq_model.py) and as the library itself decodes; and the library's text `generate`
raises here, use `sample_text`.

Dimension letters: B rows, T positions, L labelled positions, N images, C codes of one image, H hidden size, D latent
width of the image tokenizer, s codes along a side.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import (
    GenerationConfig,
    JanusConfig,
    JanusForConditionalGeneration,
    JanusVisionConfig,
    JanusVQVAEConfig,
    LlamaConfig,
    PreTrainedTokenizerBase,
)

from pipelines.core.model_identity import TOY_REVISION, UNKNOWN_MODEL, ModelIdentity
from pipelines.models import toy_tokenizer
from pipelines.models.decoding.decode_text import decode_text
from pipelines.models.decoding.multi_lora import LoraBatch, apply_loras
from pipelines.models.decoding.prefill import DecoderState, eval_mode, prefill_prompts
from pipelines.models.decoding.sampling import (
    DEFAULT_SAMPLING,
    Generators,
    ImageSamples,
    LogitsProcessor,
    OnIds,
    Sampling,
    TextSamples,
    choose_ids,
)
from pipelines.models.decoding.static_decode import static_decoding
from pipelines.models.decoding.token_logprobs import compute_token_logprobs, previous_positions
from pipelines.models.interface import (
    ChatFormat,
    CheckpointingByOldNames,
    ModelSpec,
    RoleTemplate,
    Scores,
    identify,
    refuse_unknown,
)
from pipelines.models.segments import block_mask, restart_positions

CHAT_FORMAT = ChatFormat(
    system=RoleTemplate("", "\n\n", closed=False),
    user=RoleTemplate("<|User|>: ", "\n\n", closed=False),
    character=RoleTemplate("<|Assistant|>:", ""),
    lead=" ",
    image_before="<begin_of_image>",
    image_after="<end_of_image>\n",
)
"""As Janus-Pro was trained (https://github.com/deepseek-ai/Janus, conversation.py, style DeepSeek). The chat template
of the published processors gives the same text, except for the system prompt, which it words in another way."""


DECODE_BATCH_IMAGES = 8
"""Images that are encoded or decoded together: one of 384 px takes some 150 MB of activations in bf16."""


class JanusModel(CheckpointingByOldNames, JanusForConditionalGeneration):
    """Janus as a causal language model over text ids and image codes. In eval mode while sampling."""

    language_targets = r"model\.language_model\.layers\.\d+\.(self_attn\.[qkvo]|mlp\.(gate|up|down))_proj"
    image_targets = (
        r"model\.(generation_head\.(proj_out|vision_head)|(generation_aligner|aligner)\.(fc1|hidden_layers\.\d+))"
    )
    """The aligner takes looked-at images into the language model; plain text passes through none of these."""

    identity = UNKNOWN_MODEL

    def __init__(self, config: JanusConfig) -> None:
        super().__init__(config)
        # Our forward calls the parts of the inner model. A fused head (TRL's) would call it whole, without image codes.
        self.model.register_forward_pre_hook(_refuse_inner_forward)

    @property
    def spec(self) -> ModelSpec:
        """Read from the config; special ids from the generation config, where the published checkpoints keep them.

        Raises ValueError when the checkpoint does not say which id announces a picture.
        """
        text, vision, defaults = self.config.text_config, self.config.vision_config, self.generation_config
        extra = getattr(defaults, "generation_kwargs", None) or {}  # free-form: not every config has the field
        boi_id = extra.get("boi_token_id", getattr(defaults, "boi_token_id", None))
        if boi_id is None:
            raise ValueError(
                "generation_config.json: generation_kwargs.boi_token_id is missing; add the id of the "
                "piece that begins an image"
            )
        eot_id = text.eos_token_id if defaults.eos_token_id is None else defaults.eos_token_id
        pad_id = text.pad_token_id if defaults.pad_token_id is None else defaults.pad_token_id
        start_id = text.bos_token_id if defaults.bos_token_id is None else defaults.bos_token_id
        return ModelSpec(
            text_vocab=text.vocab_size,
            codebook=self.config.vq_config.num_embeddings,
            image_tokens=vision.num_image_tokens,
            image_px=vision.image_size,
            image_input_tokens=(vision.image_size // vision.patch_size) ** 2,
            boi_id=boi_id,
            image_placeholder_id=self.config.image_token_id,
            eot_id=eot_id[0] if isinstance(eot_id, list) else eot_id,
            pad_id=pad_id,
            start_id=start_id,
            chat_format=CHAT_FORMAT,
        )

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        segment_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        entropies: bool = False,
        **kwargs: Any,
    ) -> Scores:
        """See `UnifiedModel.forward`. Padding may stand on either side.

        A labelled id with nothing before it (the first of a row) gets no log-probability. Raises ValueError when the
        image placeholders and pixel_values do not fit together.
        """
        refuse_unknown(type(self).__name__, kwargs)
        if labels is None:
            labels = torch.full_like(input_ids, -100)
        hidden = self._hidden_states(input_ids, attention_mask, segment_ids, pixel_values)  # (B, T, H)
        before = previous_positions(input_ids, attention_mask, segment_ids)  # (B, T)
        scored = (labels != -100) & (before >= 0)
        logps = torch.zeros(input_ids.shape, dtype=torch.float32, device=input_ids.device)
        entropy = torch.zeros_like(logps)
        first_code = self.config.text_config.vocab_size
        heads: list[tuple[nn.Module, torch.Tensor, int]] = [
            (self.lm_head, scored & (labels < first_code), 0),
            (self.model.generation_head, scored & (labels >= first_code), first_code),
        ]
        for head, selected, offset in heads:
            rows, positions = torch.nonzero(selected, as_tuple=True)  # (L,)
            if len(rows):
                ids = labels[rows, positions] - offset
                predicting = hidden[rows, before[rows, positions]]  # (L, H)
                found, found_entropies = compute_token_logprobs(head, predicting, ids, entropies)
                logps = logps.index_put((rows, positions), found)
                entropy = entropy.index_put((rows, positions), found_entropies)
        return Scores(loss=-logps.sum() / scored.sum().clamp(min=1), logps=logps, entropies=entropy)

    def _hidden_states(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        segment_ids: torch.Tensor | None,
        pixel_values: torch.Tensor | None,
    ) -> torch.Tensor:
        """(B, T, H) of the language model's last layer."""
        mask, positions = attention_mask, None
        if segment_ids is not None:
            mask, positions = block_mask(segment_ids, attention_mask), restart_positions(segment_ids)
            kind = self.config.text_config._attn_implementation
            if kind == "eager":  # eager attention adds its mask to the scores, sdpa takes booleans
                mask = torch.zeros(mask.shape, device=mask.device, dtype=self.dtype).masked_fill(
                    ~mask, torch.finfo(self.dtype).min
                )
            elif kind != "sdpa":
                raise ValueError(f"packed rows need attn_implementation sdpa or eager, not {kind}")
        elif attention_mask is not None:
            positions = (attention_mask.cumsum(1) - 1).clamp(min=0)
        return self.model.language_model(
            inputs_embeds=self.embed(input_ids, pixel_values),
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
        ).last_hidden_state

    def embed(self, ids: torch.Tensor, pixel_values: torch.Tensor | None = None) -> torch.Tensor:
        """(B, T) ids of the one id space to (B, T, H); image placeholders are filled from `pixel_values`."""
        first_code, image_placeholder_id = self.config.text_config.vocab_size, self.config.image_token_id
        is_code = ids >= first_code  # (B, T)
        # Codes are beyond the word embedding: they get any row of it here, and their own embedding below.
        embeds = self.get_input_embeddings()(ids.masked_fill(is_code, image_placeholder_id))
        if bool(is_code.any()):
            codes = self.prepare_embeddings_for_image_generation(ids[is_code] - first_code)  # (L, H)
            embeds = embeds.masked_scatter(is_code[..., None], codes.to(embeds.dtype))
        is_placeholder = ids == image_placeholder_id
        placeholders = int(is_placeholder.sum())
        if pixel_values is None and not placeholders:
            return embeds
        if pixel_values is None:
            raise ValueError("the text has places for looked-at pictures, but no pictures were given")
        features = self.model.get_image_features(pixel_values.to(ids.device), return_dict=True).pooler_output
        features = features.reshape(-1, embeds.shape[-1])
        if len(features) != placeholders:
            raise ValueError(f"{len(pixel_values)} pictures fill {len(features)} places, the text has {placeholders}")
        return embeds.masked_scatter(is_placeholder[..., None], features.to(embeds.dtype))

    @torch.no_grad()
    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, px, px) in [-1, 1] to codes (N, C): the nearest code by angle."""
        vq = self.model.vqmodel
        codebook = F.normalize(vq.quantize.embedding.weight.float(), dim=-1)
        found = []
        for some in pixels.split(DECODE_BATCH_IMAGES):
            latents = vq.quant_conv(vq.encoder(some.to(self.device, vq.quant_conv.weight.dtype)))  # (N, D, s, s)
            latents = F.normalize(latents.flatten(2).transpose(1, 2).float(), dim=-1)  # (N, C, D)
            found.append((latents @ codebook.T).argmax(-1))
        return torch.cat(found)

    @torch.no_grad()
    def decode_images(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (N, C) to float32 pixels (N, 3, px, px); the decoder overshoots a little and is cut to [-1, 1]."""
        parts = codes.to(self.device).split(DECODE_BATCH_IMAGES)
        return torch.cat([self.model.vqmodel.decode(part).float().clamp(-1, 1) for part in parts])

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
        with eval_mode(self), apply_loras(self, loras):
            state = self._prefill(prompts, pixel_values, loras)
            state.repeat(num_return_sequences)
            return decode_text(
                state,
                self.lm_head,
                self.get_input_embeddings(),
                forbidden_id=self.config.image_token_id,
                sampling=sampling,
                stop_ids=stop_ids,
                generator=generator,
                on_ids=on_ids,
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
        """See `UnifiedModel.sample_images`. The unconditional branch sees padding for all ids but bos and boi."""
        spec = self.spec
        if any(prompt[-1:] != [spec.boi_id] for prompt in prompts):
            raise ValueError(f"a picture prompt must end in the id that begins an image ({spec.boi_id})")
        kept = (spec.start_id, spec.boi_id)
        unconditional_prompts = [[token if token in kept else spec.pad_id for token in prompt] for prompt in prompts]
        with eval_mode(self), apply_loras(self, loras):
            guidance = sampling.guidance_scale
            count, branches = len(prompts) * num_return_sequences, 1 if guidance == 1.0 else 2
            temperature, top_k = sampling.image_temperature, sampling.image_top_k
            # Both branches of guidance are rows of one batch: (branches * count) rows, the conditional ones first.
            of_branches = prompts if branches == 1 else prompts + unconditional_prompts
            state = self._prefill(of_branches, pixel_values, loras, branches)
            state.repeat(num_return_sequences)
            decoder = static_decoding(state, spec.image_tokens)
            samples = range(count)  # a tensor would have to be copied from the device at every step
            codes = torch.zeros(count, spec.image_tokens, dtype=torch.long, device=self.device)
            logps = torch.zeros(codes.shape, device=self.device)
            for place in range(spec.image_tokens):
                logits = self.model.generation_head(decoder.hidden).float()  # (branches * count, codebook)
                conditional, unconditional = logits[:count], logits[count:]
                guided = conditional if branches == 1 else unconditional + guidance * (conditional - unconditional)
                new = choose_ids(guided, samples, count, generator, temperature, top_k=top_k)  # (count,)
                codes[:, place] = new
                # Of the model itself, untempered and without guidance: what the loss of training scores.
                logps[:, place] = conditional.log_softmax(-1).gather(-1, new[:, None]).squeeze(-1)
                if on_ids is not None:
                    on_ids(dict(enumerate(new.tolist())))
                if place + 1 < spec.image_tokens:
                    decoder.step(self.prepare_embeddings_for_image_generation(new.repeat(branches)[:, None]))
        return ImageSamples(codes, logps)

    def _prefill(
        self, prompts: list[list[int]], pixel_values: torch.Tensor | None, loras: LoraBatch | None, branches: int = 1
    ) -> DecoderState:
        """Prefill prompts; the shared start has no image placeholder, so the rest gets all of pixel_values."""
        image_placeholder_id = self.config.image_token_id

        def embed(ids: torch.Tensor) -> torch.Tensor:
            image_positions = (ids == image_placeholder_id).sum(1)  # (B,)
            if not bool(image_positions.any()):
                return self.embed(ids)
            # Images pass through the aligner as rows of their own: each needs its prompt's adapter.
            counts = (image_positions // self.spec.image_input_tokens).tolist()
            with contextlib.nullcontext() if loras is None else loras.expanded(counts):
                return self.embed(ids, pixel_values)

        if loras is not None:
            loras.start(branches)
        return prefill_prompts(
            self.model.language_model,
            embed,
            prompts,
            pad_id=self.spec.pad_id,
            unshared_id=image_placeholder_id,
            loras=loras,
        )


def _refuse_inner_forward(module: nn.Module, args: tuple[Any, ...]) -> None:
    raise RuntimeError(
        "Janus' inner model was run as a whole (a trainer's fused head, or the library's text generation): it knows "
        "no picture codes and no packing. Ask JanusModel.forward or sample_text instead."
    )


def toy_janus(seed: int = 0) -> tuple[JanusModel, PreTrainedTokenizerBase]:
    """The real class at toy size with random weights, and the toy tokenizer; tests train and sample it.

    32 px pictures of 16 codes out of 64; half a million weights; the same for the same seed.
    """
    width = 48
    config = JanusConfig(
        text_config=LlamaConfig(
            vocab_size=toy_tokenizer.TOY_VOCAB,
            hidden_size=width,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=8192,
            initializer_range=0.15,
            pad_token_id=toy_tokenizer.PAD_ID,
            bos_token_id=toy_tokenizer.START_ID,
            eos_token_id=toy_tokenizer.EOT_ID,
        ),
        vision_config=JanusVisionConfig(
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
            mlp_ratio=2.0,
            projection_dim=width,
            num_image_tokens=16,
            initializer_range=0.15,
        ),
        vq_config=JanusVQVAEConfig(
            embed_dim=8,
            num_embeddings=64,
            latent_channels=16,
            base_channels=32,
            channel_multiplier=[1, 1, 1, 1],
            num_res_blocks=1,
            projection_dim=width,
            image_token_embed_dim=width,
            initializer_range=0.15,
        ),
        image_token_id=toy_tokenizer.IMAGE_PLACEHOLDER_ID,
        tie_word_embeddings=False,  # as published: `lm_head` has weights of its own
        initializer_range=0.15,  # wider than usual, so that untrained samples differ from each other
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = JanusModel(config)
    model.generation_config = GenerationConfig(
        pad_token_id=toy_tokenizer.PAD_ID,
        bos_token_id=toy_tokenizer.START_ID,
        eos_token_id=toy_tokenizer.EOT_ID,
        generation_kwargs={"boi_token_id": toy_tokenizer.BOI_ID},
    )
    identify(model, ModelIdentity("understudy/janus-toy", TOY_REVISION))
    return model.eval(), toy_tokenizer.toy_tokenizer()
