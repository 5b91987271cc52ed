"""The starter's numbers, in one config that is saved beside its weights.

Sizes and ids only: how the parts are trained stands in the scripts that build them, the critic has a config of its own.
"""

from __future__ import annotations

from typing import Any

from transformers import LlamaConfig, PretrainedConfig


class StarterConfig(PretrainedConfig):
    """Config of `StarterModel`: a language expert, a picture expert, a picture tokenizer and eyes."""

    model_type = "understudy_starter"
    has_no_defaults_at_init = True

    def __init__(
        self,
        language: dict[str, Any] | None = None,
        picture: dict[str, Any] | None = None,
        tokenizer: dict[str, Any] | None = None,
        eyes: dict[str, Any] | None = None,
        context_layer: int = 12,
        context_tokens: int = 64,
        boi_id: int = 6,
        boi_embedding_id: int = 14,
        image_placeholder_id: int = 16,
        eot_id: int = 2,
        pad_id: int = 0,
        **kwargs: Any,
    ) -> None:
        """Sections are plain dicts of the parts' own configs.

        context_layer: after how many layers of the language expert the picture expert reads its context (a third
        of the way is cheaper than the last layer, and less bent towards the next word). context_tokens: how many
        text positions before the picture it sees. The ids are SmolLM2's reserved pieces, which plain chat never
        uses: boi_id 6 `<filename>` is the one that has an embedding of its own and so can be said for sure (14, with
        which the picture expert was trained, shares its untrained embedding with fifty others and could never get
        more than their common share); where it is read, the embedding of `boi_embedding_id` stands in.
        """
        self.language = language or {}
        self.picture = picture or {}
        self.tokenizer = tokenizer or {}
        self.eyes = eyes or {}
        self.context_layer = context_layer
        self.context_tokens = context_tokens
        self.boi_id = boi_id
        self.boi_embedding_id = boi_embedding_id
        self.image_placeholder_id = image_placeholder_id
        self.eot_id = eot_id
        super().__init__(**{"pad_token_id": pad_id, "eos_token_id": eot_id, "tie_word_embeddings": False, **kwargs})

    @property
    def vocab_size(self) -> int:
        """Words and codes together: the whole id space."""
        return int(self.language["vocab_size"]) + int(self.picture["vocab_size"])

    @property
    def hidden_size(self) -> int:
        """Width of the language expert; libraries ask for it."""
        return int(self.language["hidden_size"])

    def language_config(self) -> LlamaConfig:
        """Config of the language expert."""
        return LlamaConfig(**self.language, attn_implementation="sdpa")

    def picture_config(self) -> LlamaConfig:
        """Config of the picture decoder; `vocab_size` is the codebook."""
        return LlamaConfig(**self.picture, attn_implementation="sdpa")
