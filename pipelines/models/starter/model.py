"""The starter: one `PreTrainedModel` with an expert for text and an expert for images (after BAGEL's mixture).

Text is SmolLM2-135M. An image is drawn by a small autoregressive decoder over VQ codes that reads the language
expert's hidden states of the text just before it, so the image loss reaches the language expert's LoRA. Codes never
pass through the language expert: they only ever end a turn, and later turns keep the scene's words instead.
The contract (shapes, ids, packing) is in `pipelines.models.interface`; sampling is in `sampling.py`.

Dimension letters: B rows, T positions, W text positions, L labelled positions, N images, C codes of one image, K
context positions of the image expert, E width of the language expert, D width of the image expert, Q vectors of a
looked-at image.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from transformers import LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from pipelines.core.model_identity import TOY_REVISION, UNKNOWN_MODEL, ModelIdentity
from pipelines.models import toy_tokenizer
from pipelines.models.decoding.sampling import DEFAULT_SAMPLING, ImageSamples, Sampling, TextSamples
from pipelines.models.decoding.token_logprobs import compute_token_logprobs
from pipelines.models.interface import (
    CheckpointingByOldNames,
    ModelSpec,
    Scores,
    identify,
    refuse_unknown,
)
from pipelines.models.packed_attention import attention_blocks, is_faster_on
from pipelines.models.segments import block_mask, stands_alone
from pipelines.models.starter.config import StarterConfig
from pipelines.models.starter.encoded_text import EncodedText, previous_columns, text_of
from pipelines.models.starter.image_expert import ImageExpert
from pipelines.models.starter.known_words import in_known_words
from pipelines.models.starter.references import ABSENT, EncodedReferences
from pipelines.models.starter.sampling import sample_images, sample_text
from pipelines.models.starter.vision_tower import DeepStackInjector, DeepStackProjection, VisionTower
from pipelines.models.starter.vq import ImageTokenizer, ImageTokenizerConfig, toy_tokenizer_config


class StarterModel(CheckpointingByOldNames, PreTrainedModel):
    """Language expert, image expert, image tokenizer and vision tower behind the one contract."""

    config_class = StarterConfig
    config: StarterConfig
    identity = UNKNOWN_MODEL
    main_input_name = "input_ids"
    _supports_sdpa = True
    supports_gradient_checkpointing = False
    _tied_weights_keys: ClassVar[dict[str, str]] = {"language.lm_head.weight": "language.model.embed_tokens.weight"}

    language_targets = r"language\.model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj"
    image_targets = r"picture\.(decoder\.layers\.\d+\.(self_attn|mlp)\.\w+_proj|connector\.(up|down))"

    def __init__(self, config: StarterConfig) -> None:
        super().__init__(config)
        self.vq = ImageTokenizer(ImageTokenizerConfig(**config.tokenizer))
        self.vq.requires_grad_(False)
        self.language = LlamaForCausalLM(config.language_config())
        self.picture = ImageExpert(config, self.vq.config)
        self.eyes = VisionTower(language_width=config.hidden_size, **config.eyes)
        self.deep_stack = DeepStackInjector(self.eyes, self.language.model.layers)
        self.spec = ModelSpec(
            text_vocab=config.language["vocab_size"],
            codebook=config.picture["vocab_size"],
            image_tokens=self.vq.config.side**2,
            image_px=self.vq.config.px,
            image_input_tokens=config.eyes["image_input_tokens"],
            max_references=config.references.get("max_images", 0),
            boi_id=config.boi_id,
            image_placeholder_id=config.image_placeholder_id,
            eot_id=config.eot_id,
            pad_id=config.pad_token_id,
            one_generator_per_step=True,
            in_known_words=in_known_words,
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        # Linear, Embedding and norms as in the library; free parameters get their values in the constructors.
        if isinstance(module, DeepStackProjection):
            module.reset_parameters()
        elif isinstance(module, nn.Linear | nn.Embedding):
            module.weight.data.normal_(0.0, 0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.data.zero_()

    def get_input_embeddings(self) -> nn.Module:
        """The token embeddings of the language expert."""
        return self.language.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The head over text ids; codes have their own in the image expert."""
        return self.language.lm_head

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, px, px) in [-1, 1] to codes (N, C)."""
        with torch.no_grad():
            return self.vq.encode(pixels)

    def decode_images(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (N, C) to pixels (N, 3, px, px) in [-1, 1]."""
        with torch.no_grad():
            return self.vq.decode(codes)

    def embed_text(self, ids: torch.Tensor, pixel_values: torch.Tensor | None) -> torch.Tensor:
        """Text ids (B, W) to (B, W, E); image placeholders are filled from `pixel_values` in reading order.

        Inside `deep_stack.injecting()` the later layers get the image features as well when these rows are read next.
        """
        read_as = ids.where(ids != self.spec.boi_id, self.config.boi_embedding_id)
        embeds = self.language.get_input_embeddings()(read_as)
        is_placeholder = ids == self.spec.image_placeholder_id
        self.deep_stack.clear()
        if pixel_values is None:
            if bool(is_placeholder.any()):
                raise ValueError("the text has places for looked-at pictures, but no pictures were given")
            return embeds
        features = self.deep_stack.set_images(is_placeholder, pixel_values.to(embeds.dtype))
        features = features.to(embeds.dtype)  # under autocast they are bf16
        if len(features) != int(is_placeholder.sum()):
            raise ValueError(
                f"{len(pixel_values)} pictures fill {len(features)} places, the text has {int(is_placeholder.sum())}"
            )
        return embeds.masked_scatter(is_placeholder[..., None], features)

    def hidden_states(
        self, text: EncodedText, pixel_values: torch.Tensor | None, need_text: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states (B, W, E): the last layer's (only valid with `need_text`) and the context layer's."""
        # Layer by layer and not by the library's forward: the context layer's states are needed, and often only those.
        stack = self.language.model
        between = self.config.context_layer
        depth = len(stack.layers) if need_text else between  # an image-only batch stops at the context layer
        if text.segments is not None or not bool(text.mask.all()):
            segments = torch.zeros_like(text.ids) if text.segments is None else text.segments
            mask: torch.Tensor | None = block_mask(segments, text.mask)
            blocks = attention_blocks(segments, mask) if is_faster_on(mask.device) else None
        else:
            mask = blocks = None  # plain causal: the fused kernel needs no mask
        hidden = self.embed_text(text.ids, pixel_values)
        rotary = stack.rotary_emb(hidden, text.positions)
        context_states = hidden
        with self.deep_stack.injecting():
            for index, layer in enumerate(stack.layers[:depth]):
                context_states = hidden if index == between else context_states
                hidden = layer(
                    hidden,
                    attention_mask=mask,
                    position_ids=text.positions,
                    position_embeddings=rotary,
                    packed_blocks=blocks,
                )
        return stack.norm(hidden), hidden if depth == between else context_states

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        segment_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        reference_codes: torch.Tensor | None = None,
        drop_context: torch.Tensor | None = None,
        entropies: bool = False,
        **kwargs: Any,
    ) -> Scores:
        """See `UnifiedModel.forward`. `drop_context` (N,) bool empties images' contexts (classifier-free guidance)."""
        refuse_unknown(type(self).__name__, kwargs)
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        labels = torch.full_like(input_ids, -100) if labels is None else labels
        is_code = input_ids >= self.spec.text_vocab
        is_text = real.bool() & ~is_code
        labelled_text = (labels != -100) & (labels < self.spec.text_vocab)
        need_text = bool(labelled_text.any())
        # Turns of images that stand alone see no conversation, so they go through the first layers by themselves; the
        # others, which cost the most, run on conversations only.
        turns = None
        if segment_ids is not None and bool((alone := is_text & stands_alone(segment_ids)).any()):
            turns = text_of(input_ids, alone, segment_ids)
            is_text = is_text & ~alone
        text = text_of(input_ids, is_text, segment_ids)
        last = context_states = turn_states = None
        if turns is None or need_text:
            last, context_states = self.hidden_states(text, pixel_values, need_text)
        if turns is not None:
            _, turn_states = self.hidden_states(turns, None, need_text=False)
        logps = torch.zeros(input_ids.shape, dtype=torch.float32, device=input_ids.device)
        entropy = torch.zeros_like(logps)
        if need_text:
            rows, columns, found, found_entropies = self._text_logprobs(text, labels, last, entropies)
            logps = logps.index_put((rows, columns), found)
            entropy = entropy.index_put((rows, columns), found_entropies)
        if bool(is_code.any()):
            rows, columns, found, found_entropies = self._image_logprobs(
                *((text, context_states) if turns is None else (turns, turn_states)),
                input_ids,
                is_code,
                reference_codes,
                drop_context,
                entropies,
            )
            labelled = labels[rows, columns] != -100  # (N, C)
            logps = logps.index_put((rows[labelled], columns[labelled]), found[labelled])
            entropy = entropy.index_put((rows[labelled], columns[labelled]), found_entropies[labelled])
        count = (labels != -100).sum().clamp(min=1)
        return Scores(loss=-logps.sum() / count, logps=logps, entropies=entropy)

    def _text_logprobs(
        self, text: EncodedText, labels: torch.Tensor, last: torch.Tensor, entropies: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """(rows, columns in the full row, logps, entropies) of the labelled text ids, each (L,)."""
        targets = labels.gather(1, text.source)  # (B, W)
        rows, columns = torch.nonzero((targets != -100) & text.mask & (text.positions > 0), as_tuple=True)
        before = previous_columns(text)[rows, columns]
        hidden = last[rows, before]  # (L, E)
        ids = targets[rows, columns]  # (L,)
        found, found_entropies = compute_token_logprobs(self.language.lm_head, hidden, ids, entropies)
        return rows, text.source[rows, columns], found, found_entropies

    def _image_logprobs(
        self,
        text: EncodedText,
        context_states: torch.Tensor,
        input_ids: torch.Tensor,
        is_code: torch.Tensor,
        reference_codes: torch.Tensor | None,
        drop: torch.Tensor | None,
        entropies: bool,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """(rows, columns in the full row, logps, entropies) of all codes, each (N, C)."""
        rows, code_columns = (part.view(-1, self.spec.image_tokens) for part in torch.nonzero(is_code, as_tuple=True))
        # The column of the begin-of-image id in the text: in the full row it stands right before the first code.
        columns = (text.source[rows[:, 0]] == code_columns[:, :1] - 1).int().argmax(1)  # (N,)
        hidden, mask = self.gather_context(text, context_states, rows[:, 0], columns)
        context, mask = self.picture.context(hidden, mask, drop)
        codes = input_ids[rows, code_columns] - self.spec.text_vocab
        references = self.read_references(reference_codes)
        if references is not None and len(references.mask) == 1:  # the same for all
            references = references.select(torch.zeros_like(rows[:, 0]))
        hidden = self.picture(context, mask, codes, references)  # (N, C, D)
        flat = hidden.flatten(0, 1)  # (N * C, D)
        found, found_entropies = compute_token_logprobs(self.picture.head, flat, codes.flatten(), entropies)
        return rows, code_columns, found.view(codes.shape), found_entropies.view(codes.shape)

    def read_references(self, reference_codes: torch.Tensor | None, own_rows: bool = False) -> EncodedReferences | None:
        """Keys and values of references (N, R, C), `ABSENT` where there is none; None when there are none at all.

        Equal sets are computed once, unless `own_rows`: then row n is computed as row n, as adapters of several need
        it.
        """
        if reference_codes is None:
            return None
        sets = reference_codes.to(self.device)
        rows: torch.Tensor | None = None
        if not own_rows:
            sets, rows = sets.unique(dim=0, return_inverse=True)
        present = (sets != ABSENT).all(-1)  # (U, R)
        vectors = self.vq.code_vectors[sets.clamp(min=0)]  # (U, R, C, L)
        encoded = self.picture.encode_references(vectors.to(self.dtype), present)
        return encoded if rows is None else encoded.select(rows)

    def gather_context(
        self, text: EncodedText, context_states: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states (N, K, E) and mask (N, K) of the last K text positions up to each image.

        rows, columns: (N,) where in the text each image's begin-of-image id stands, which is the last of the K. The
        positions before an own segment are those of the shared prefix.
        """
        offsets = torch.arange(self.config.context_tokens - 1, -1, -1, device=rows.device)  # (K,)
        context_positions = text.positions[rows, columns][:, None] - offsets  # (N, K) position ids of the context
        own = columns[:, None] - offsets  # (N, K) columns, if all of them are in the own segment
        if text.segments is not None:
            prefix = ((text.segments == 0) & text.mask).sum(1)[rows][:, None]  # (N, 1) its length
            prefix = prefix * ~stands_alone(text.segments[rows, columns])[:, None]
            # In the prefix, column and position id are the same.
            own = torch.where(context_positions < prefix, context_positions, own)
        mask = context_positions >= 0
        return context_states[rows[:, None], own.clamp(min=0)], mask

    def sample_text(
        self, prompts: list[list[int]], sampling: Sampling = DEFAULT_SAMPLING, **settings: Any
    ) -> TextSamples:
        """See `UnifiedModel.sample_text`."""
        return sample_text(self, prompts, sampling, **settings)

    def sample_images(
        self, prompts: list[list[int]], sampling: Sampling = DEFAULT_SAMPLING, **settings: Any
    ) -> ImageSamples:
        """See `UnifiedModel.sample_images`."""
        return sample_images(self, prompts, sampling, **settings)


def own_settings(config: ImageTokenizerConfig) -> dict[str, Any]:
    """The image tokenizer's sizes as a plain dict, for `StarterConfig.tokenizer`."""
    names = ("px", "codebook_size", "latent_dim", "encoder_widths", "widths", "blocks")
    return {name: value for name, value in config.to_dict().items() if name in names}


def toy_starter(seed: int = 0) -> tuple[StarterModel, PreTrainedTokenizerFast]:
    """The real class at toy size with random weights, and the toy tokenizer; tests train and sample it."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = StarterConfig(
        language={
            **sizes,
            "vocab_size": toy_tokenizer.TOY_VOCAB,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": True,
            "pad_token_id": toy_tokenizer.PAD_ID,
            "eos_token_id": toy_tokenizer.EOT_ID,
        },
        picture={**sizes, "vocab_size": 32, "max_position_embeddings": 512, "pad_token_id": None},
        # The encoder keeps the default widths: random toy weights, and tests that rely on them, stay what they were.
        tokenizer=own_settings(toy_tokenizer_config()) | {"encoder_widths": ImageTokenizerConfig().encoder_widths},
        eyes={"px": 32, "patch_px": 8, "width": 16, "layers": 1, "heads": 2, "image_input_tokens": 4},
        references={"max_images": 2, "merge": 2, "num_attention_heads": 4, "intermediate_size": 64},
        context_layer=1,
        context_tokens=16,
        boi_id=toy_tokenizer.BOI_ID,
        boi_embedding_id=toy_tokenizer.BOI_ID,
        image_placeholder_id=toy_tokenizer.IMAGE_PLACEHOLDER_ID,
        eot_id=toy_tokenizer.EOT_ID,
        pad_id=toy_tokenizer.PAD_ID,
    )
    model = StarterModel(config).eval()
    identify(model, ModelIdentity("understudy/starter-toy", TOY_REVISION))
    return model, toy_tokenizer.toy_tokenizer()
