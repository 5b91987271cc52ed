"""The starter's image expert: a small decoder over image codes behind references and the hidden states of a text.

What drives it in training is `model.py`, in sampling `sampling.py`.

Dimension letters: N images, C codes of one image, K context positions, K' those in use, E width of the language
expert, D width of the image expert, R references of a drawing, L latent width of a code.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from transformers import DynamicCache, LlamaModel

from pipelines.models.starter.config import StarterConfig
from pipelines.models.starter.references import EncodedReferences, ReferenceEncoder, encode_references
from pipelines.models.starter.vq import ImageTokenizerConfig


class Connector(nn.Module):
    """Hidden states of the language expert to the width of the image expert."""

    def __init__(self, language_width: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(language_width)
        self.up = nn.Linear(language_width, width)
        self.down = nn.Linear(width, width)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., E) to (..., D)."""
        return self.down(F.silu(self.up(self.norm(hidden))))


class ImageExpert(nn.Module):
    """An autoregressive Llama over image codes behind reference images and a context of K vectors.

    The context always ends at position K - 1 (the begin-of-image id), so that codes have the same positions behind a
    short text; shorter contexts are masked on the left, and columns that no row of the batch uses are cut off.
    References stand before the context, with the positions behind the last code.
    """

    def __init__(self, config: StarterConfig, tokenizer: ImageTokenizerConfig) -> None:
        super().__init__()
        decoder, image_tokens = config.picture_config(), tokenizer.side**2
        self.context_tokens = config.context_tokens
        self.reference_position = config.context_tokens + image_tokens
        self.connector = Connector(config.hidden_size, decoder.hidden_size)
        self.decoder = LlamaModel(decoder)  # its embed_tokens are the code embeddings
        self.places = nn.Parameter(torch.randn(image_tokens, decoder.hidden_size) * 0.02)  # (C, D)
        self.nothing = nn.Parameter(torch.randn(decoder.hidden_size) * 0.02)  # (D,) context without text, for guidance
        self.head = nn.Linear(decoder.hidden_size, decoder.vocab_size, bias=False)
        sizes = {key: value for key, value in config.references.items() if key != "max_images"}
        self.references = (
            ReferenceEncoder(tokenizer.latent_dim, tokenizer.side, decoder.hidden_size, **sizes) if sizes else None
        )

    def encode_references(self, code_vectors: torch.Tensor, present: torch.Tensor) -> EncodedReferences:
        """Code vectors (N, R, C, L) of which `present` (N, R) says which are real; keys and values of the decoder.

        RuntimeError where these weights read no references.
        """
        if self.references is None:
            raise RuntimeError("these weights of the starter draw without reference pictures")
        vectors = self.references(code_vectors)
        return encode_references(self.decoder, vectors, present, self.reference_position)

    def context(
        self, hidden: torch.Tensor, mask: torch.Tensor, drop: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states (N, K, E) and mask (N, K) to decoder inputs (N, K', D) and their mask.

        drop: (N,) bool, contexts to replace by the learned empty one (for classifier-free guidance).
        """
        longest = int(mask.sum(1).max())
        embeds, mask = self.connector(hidden[:, -longest:]), mask[:, -longest:]
        if drop is not None:
            embeds = torch.where(drop[:, None, None], self.nothing.expand_as(embeds), embeds)
            last_only = torch.zeros_like(mask)
            last_only[:, -1] = True
            mask = torch.where(drop[:, None], last_only, mask)
        return embeds, mask

    def embed(self, codes: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Codes (N, c) at positions first.. of the image to (N, c, D)."""
        return self.decoder.embed_tokens(codes) + self.places[first : first + codes.shape[1]]

    def forward(
        self,
        context: torch.Tensor,
        mask: torch.Tensor,
        codes: torch.Tensor,
        references: EncodedReferences | None = None,
    ) -> torch.Tensor:
        """Hidden states (N, C, D) that predict each code from references, context and the codes before it."""
        inputs = torch.cat([context, self.embed(codes[:, :-1])], 1)
        seen = torch.cat([mask, mask.new_ones(len(codes), codes.shape[1] - 1)], 1)
        cache: DynamicCache | None = None
        if references is not None:
            cache, seen = references.cache, torch.cat([references.mask, seen], 1)
        first = self.context_tokens - context.shape[1]
        positions = torch.arange(first, first + inputs.shape[1], device=codes.device)[None]
        hidden = self.decoder(
            inputs_embeds=inputs,
            attention_mask=seen.long(),
            position_ids=positions.expand(len(codes), -1),
            cache=cache,
            use_cache=cache is not None,
        ).last_hidden_state
        return hidden[:, context.shape[1] - 1 :]
