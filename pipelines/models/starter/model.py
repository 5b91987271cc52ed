"""The starter: one `PreTrainedModel` with an expert for words and an expert for pictures (after BAGEL's mixture).

Words are SmolLM2-135M. A picture is drawn by a small autoregressive decoder over VQ codes that reads the language
expert's hidden states of the text just before it, so the picture loss reaches the language expert's LoRA. Codes never
pass through the language expert: they only ever end a turn, and later turns keep the scene's words instead.
The contract (shapes, ids, packing) is in `pipelines.models.interface`; sampling is in `sampling.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from transformers import LlamaForCausalLM, LlamaModel, PreTrainedModel, PreTrainedTokenizerFast

from pipelines.models import toy_tokenizer
from pipelines.models.decoding.sampling import DEFAULT_SAMPLING, ImageSamples, Sampling, TextSamples
from pipelines.models.decoding.token_logprobs import compute_token_logprobs
from pipelines.models.interface import (
    CheckpointingByOldNames,
    ModelSpec,
    Scores,
    block_mask,
    refuse_unknown,
    restart_positions,
)
from pipelines.models.starter.config import StarterConfig
from pipelines.models.starter.sampling import sample_images, sample_text
from pipelines.models.starter.vision_tower import DeepStackInjector, DeepStackProjection, VisionTower
from pipelines.models.starter.vq import ImageTokenizer, ImageTokenizerConfig, toy_tokenizer_config


@dataclass
class EncodedText:
    """The text positions of a batch, codes taken out. W is the longest row."""

    ids: torch.Tensor
    """(B, W)"""
    mask: torch.Tensor
    """(B, W) bool, True on real positions."""
    segments: torch.Tensor | None
    """(B, W)"""
    positions: torch.Tensor
    """(B, W) position ids."""
    source: torch.Tensor
    """(B, W) index of each position in the full row."""


class Connector(nn.Module):
    """Hidden states of the language expert to the width of the picture expert."""

    def __init__(self, language_width: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(language_width)
        self.up = nn.Linear(language_width, width)
        self.down = nn.Linear(width, width)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., E) to (..., D)."""
        return self.down(F.silu(self.up(self.norm(hidden))))


class ImageExpert(nn.Module):
    """An autoregressive Llama over picture codes behind a context of K vectors.

    N pictures, K context places, C codes, D width. The context ends at fixed place K - 1 (the begin-of-picture
    id); shorter contexts are masked on the left, and columns nobody uses are cut off.
    """

    def __init__(self, config: StarterConfig, image_tokens: int) -> None:
        super().__init__()
        decoder = config.picture_config()
        self.context_tokens = config.context_tokens
        self.connector = Connector(config.hidden_size, decoder.hidden_size)
        self.decoder = LlamaModel(decoder)  # its embed_tokens are the code embeddings
        self.places = nn.Parameter(torch.randn(image_tokens, decoder.hidden_size) * 0.02)
        self.nothing = nn.Parameter(torch.randn(decoder.hidden_size) * 0.02)  # the empty context of guidance
        self.head = nn.Linear(decoder.hidden_size, decoder.vocab_size, bias=False)

    def context(
        self, hidden: torch.Tensor, mask: torch.Tensor, drop: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, K, E) and (N, K) to decoder inputs (N, K', D) and mask; `drop` (N,) bool empties a context."""
        longest = int(mask.sum(1).max())
        made, mask = self.connector(hidden[:, -longest:]), mask[:, -longest:]
        if drop is not None:
            made = torch.where(drop[:, None, None], self.nothing.expand_as(made), made)
            last_only = torch.zeros_like(mask)
            last_only[:, -1] = True
            mask = torch.where(drop[:, None], last_only, mask)
        return made, mask

    def embed(self, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        """(N, c) codes standing at picture places first.. to (N, c, D)."""
        return self.decoder.embed_tokens(codes) + self.places[first : first + codes.shape[1]]

    def forward(self, context: torch.Tensor, mask: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Hidden states (N, C, D) from which `head` scores each code, given the context and the codes before it."""
        inputs = torch.cat([context, self.embed(codes[:, :-1])], 1)
        seen = torch.cat([mask, mask.new_ones(len(codes), codes.shape[1] - 1)], 1)
        first = self.context_tokens - context.shape[1]
        positions = torch.arange(first, first + inputs.shape[1], device=codes.device)[None]
        hidden = self.decoder(
            inputs_embeds=inputs, attention_mask=seen.long(), position_ids=positions, use_cache=False
        ).last_hidden_state
        return hidden[:, context.shape[1] - 1 :]


class StarterModel(CheckpointingByOldNames, PreTrainedModel):
    """Language expert, picture expert, picture tokenizer and eyes behind the one contract."""

    config_class = StarterConfig
    config: StarterConfig
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
        self.picture = ImageExpert(config, self.vq.config.side**2)
        self.eyes = VisionTower(language_width=config.hidden_size, **config.eyes)
        self.glance = DeepStackInjector(self.eyes, self.language.model.layers)
        self.spec = ModelSpec(
            text_vocab=config.language["vocab_size"],
            codebook=config.picture["vocab_size"],
            image_tokens=self.vq.config.side**2,
            image_px=self.vq.config.px,
            image_input_tokens=config.eyes["image_input_tokens"],
            boi_id=config.boi_id,
            image_placeholder_id=config.image_placeholder_id,
            eot_id=config.eot_id,
            pad_id=config.pad_token_id,
            one_generator_per_step=True,
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        # Linear, Embedding and norms as in the library; free parameters are set where they are made.
        if isinstance(module, DeepStackProjection):
            module.reset_parameters()
        elif isinstance(module, nn.Linear | nn.Embedding):
            module.weight.data.normal_(0.0, 0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.data.zero_()

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings of the language expert."""
        return self.language.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The head over words; codes have their own in the picture expert."""
        return self.language.lm_head

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, px, px) in [-1, 1] to codes (N, C)."""
        with torch.no_grad():
            return self.vq.encode(pixels)

    def decode_images(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (N, C) to pixels (N, 3, px, px) in [-1, 1]."""
        with torch.no_grad():
            return self.vq.decode(codes)

    def embed_words(self, ids: torch.Tensor, pixel_values: torch.Tensor | None) -> torch.Tensor:
        """(B, W) ids to (B, W, E); look placeholders are filled from `pixel_values` in reading order.

        Layers get what was seen as well when they read these rows next inside `glance.feeding()`.
        """
        read_as = ids.where(ids != self.spec.boi_id, self.config.boi_embedding_id)
        embeds = self.language.get_input_embeddings()(read_as)
        places = ids == self.spec.image_placeholder_id
        self.glance.away()
        if pixel_values is None:
            if bool(places.any()):
                raise ValueError("the text has places for looked-at pictures, but no pictures were given")
            return embeds
        seen = self.glance.at(places, pixel_values.to(embeds.dtype)).to(embeds.dtype)  # autocast: bf16
        if len(seen) != int(places.sum()):
            raise ValueError(f"{len(pixel_values)} pictures fill {len(seen)} places, the text has {int(places.sum())}")
        return embeds.masked_scatter(places[..., None], seen)

    def read(
        self, words: EncodedText, pixel_values: torch.Tensor | None, need_words: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states (B, W, E): the last layer's (of no use unless `need_words`) and the context layer's."""
        stack = self.language.model
        between = self.config.context_layer
        depth = len(stack.layers) if need_words else between  # a picture-only batch stops at the context layer
        if words.segments is not None or not bool(words.mask.all()):
            segments = torch.zeros_like(words.ids) if words.segments is None else words.segments
            mask: torch.Tensor | None = block_mask(segments, words.mask)
        else:
            mask = None  # plain causal: the fused kernel needs no mask
        hidden = self.embed_words(words.ids, pixel_values)
        rotary = stack.rotary_emb(hidden, words.positions)
        middle = hidden
        with self.glance.feeding():
            for index, layer in enumerate(stack.layers[:depth]):
                middle = hidden if index == between else middle
                hidden = layer(hidden, attention_mask=mask, position_ids=words.positions, position_embeddings=rotary)
        return stack.norm(hidden), hidden if depth == between else middle

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        segment_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        drop_context: torch.Tensor | None = None,
        entropies: bool = False,
        **kwargs: Any,
    ) -> Scores:
        """See `UnifiedModel.forward`. `drop_context` (N,) bool empties pictures' contexts (guidance training)."""
        refuse_unknown(type(self).__name__, kwargs)
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        labels = torch.full_like(input_ids, -100) if labels is None else labels
        is_code = input_ids >= self.spec.text_vocab
        words = words_of(input_ids, real.bool() & ~is_code, segment_ids)
        supervised_words = (labels != -100) & (labels < self.spec.text_vocab)
        need_words = bool(supervised_words.any())
        last, middle = self.read(words, pixel_values, need_words)
        logps = torch.zeros(input_ids.shape, dtype=torch.float32, device=input_ids.device)
        spread = torch.zeros_like(logps)
        if need_words:
            rows, places, found, spreads = self._score_words(words, labels, last, entropies)
            logps = logps.index_put((rows, places), found)
            spread = spread.index_put((rows, places), spreads)
        if bool(is_code.any()):
            rows, places, found, spreads = self._score_pictures(
                words, input_ids, is_code, middle, drop_context, entropies
            )
            wanted = labels[rows, places] != -100  # (N, C)
            logps = logps.index_put((rows[wanted], places[wanted]), found[wanted])
            spread = spread.index_put((rows[wanted], places[wanted]), spreads[wanted])
        count = (labels != -100).sum().clamp(min=1)
        return Scores(loss=-logps.sum() / count, logps=logps, entropies=spread)

    def _score_words(
        self, words: EncodedText, labels: torch.Tensor, last: torch.Tensor, entropies: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """(rows, places in the full row, logps, entropies) of the supervised words, each (L,)."""
        targets = labels.gather(1, words.source)  # (B, W)
        rows, columns = torch.nonzero((targets != -100) & words.mask & (words.positions > 0), as_tuple=True)
        before = _previous(words)[rows, columns]
        hidden = last[rows, before]  # (L, E)
        found, spreads = compute_token_logprobs(self.language.lm_head, hidden, targets[rows, columns], entropies)
        return rows, words.source[rows, columns], found, spreads

    def _score_pictures(
        self,
        words: EncodedText,
        input_ids: torch.Tensor,
        is_code: torch.Tensor,
        middle: torch.Tensor,
        drop: torch.Tensor | None,
        entropies: bool,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """(rows, places in the full row, logps, entropies) of all codes, each (N, C)."""
        codes_in_picture = self.spec.image_tokens
        rows, places = (part.view(-1, codes_in_picture) for part in torch.nonzero(is_code, as_tuple=True))
        # The compact column of the begin-of-picture id: it stands right before the first code in the full row.
        columns = (words.source[rows[:, 0]] == places[:, :1] - 1).int().argmax(1)  # (N,)
        hidden, mask = self.gather_context(words, middle, rows[:, 0], columns)
        context, mask = self.picture.context(hidden, mask, drop)
        codes = input_ids[rows, places] - self.spec.text_vocab
        hidden = self.picture(context, mask, codes)  # (N, C, D)
        found, spreads = compute_token_logprobs(self.picture.head, hidden.flatten(0, 1), codes.flatten(), entropies)
        return rows, places, found.view(codes.shape), spreads.view(codes.shape)

    def gather_context(
        self, words: EncodedText, middle: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states (N, K, E) and mask (N, K) of the K text positions up to (rows, columns), own segment first,
        then the shared prefix; the begin-of-picture id is last."""
        back = torch.arange(self.config.context_tokens - 1, -1, -1, device=rows.device)  # (K,)
        at = words.positions[rows, columns][:, None] - back  # positions wanted (N, K)
        own = columns[:, None] - back  # columns if all of them stand in the own segment
        if words.segments is not None:
            prefix = ((words.segments == 0) & words.mask).sum(1)[rows][:, None]
            own = torch.where(at < prefix, at, own)  # in the prefix, column equals position
        mask = at >= 0
        return middle[rows[:, None], own.clamp(min=0)], mask

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


def words_of(input_ids: torch.Tensor, keep: torch.Tensor, segment_ids: torch.Tensor | None) -> EncodedText:
    """Take the text positions of each row, in order, padded on the right."""
    order = (~keep).int().argsort(dim=1, stable=True)  # kept columns first, order unchanged
    longest = int(keep.sum(1).max())
    source = order[:, :longest]
    mask = keep.gather(1, source)
    segments = None if segment_ids is None else segment_ids.gather(1, source).where(mask, -1)
    if segments is None:
        positions = torch.arange(longest, device=input_ids.device).expand_as(source)
    else:
        positions = restart_positions(segments)
    return EncodedText(input_ids.gather(1, source).where(mask, 0), mask, segments, positions, source)


def _previous(words: EncodedText) -> torch.Tensor:
    """(B, W) column of the position each word is predicted from: the one before, or the prefix's last."""
    columns = torch.arange(words.ids.shape[1], device=words.ids.device).expand_as(words.ids)
    if words.segments is None:
        return (columns - 1).clamp(min=0)
    prefix = ((words.segments == 0) & words.mask).sum(1, keepdim=True)
    return torch.where(words.positions == prefix, prefix - 1, columns - 1).clamp(min=0)


def own_settings(config: ImageTokenizerConfig) -> dict[str, Any]:
    """The picture tokenizer's sizes as a plain dict, for `StarterConfig.tokenizer`."""
    names = ("px", "codebook_size", "latent_dim", "encoder_widths", "widths", "blocks")
    return {name: value for name, value in config.to_dict().items() if name in names}


def toy_starter(seed: int = 0) -> tuple[StarterModel, PreTrainedTokenizerFast]:
    """The real class at toy size with random weights, and the toy tokenizer; the test double of the recipe."""
    torch.manual_seed(seed)
    words = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = StarterConfig(
        language={
            **words,
            "vocab_size": toy_tokenizer.TOY_VOCAB,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": True,
            "pad_token_id": toy_tokenizer.PAD_ID,
            "eos_token_id": toy_tokenizer.END_ID,
        },
        picture={**words, "vocab_size": 32, "max_position_embeddings": 512, "pad_token_id": None},
        # The encoder keeps the default widths: random toy weights, and tests that rely on them, stay what they were.
        tokenizer=own_settings(toy_tokenizer_config()) | {"encoder_widths": ImageTokenizerConfig().encoder_widths},
        eyes={"px": 32, "patch_px": 8, "width": 16, "layers": 1, "heads": 2, "image_input_tokens": 4},
        context_layer=1,
        context_tokens=16,
        boi_id=toy_tokenizer.BOI_ID,
        boi_embedding_id=toy_tokenizer.BOI_ID,
        image_placeholder_id=toy_tokenizer.LOOK_ID,
        eot_id=toy_tokenizer.END_ID,
        pad_id=toy_tokenizer.PAD_ID,
    )
    return StarterModel(config).eval(), toy_tokenizer.toy_tokenizer()
