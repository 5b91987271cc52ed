"""The starter's sizes and ids, in one config that is saved beside its weights.

How the parts are trained stands in the scripts that build them; the critic has a config of its own.
"""

from __future__ import annotations

from typing import Any

from transformers import LlamaConfig, PretrainedConfig

from pipelines.models import packed_attention

OLD_KEYS = {"look_id": "image_placeholder_id", "end_id": "eot_id", "boi_reads_as": "boi_embedding_id"}
OLD_EYES_KEYS = {"look_tokens": "image_input_tokens"}
"""Keys of a config.json that was written before the names on the right; both are read."""


class StarterConfig(PretrainedConfig):
    """Config of `StarterModel`: a language expert, an image expert, an image tokenizer and a vision tower.

    The sections are named after the modules: `language`, `picture` and its `references`, `tokenizer`, `eyes`.
    """

    model_type = "understudy_starter"
    has_no_defaults_at_init = True

    def __init__(
        self,
        language: dict[str, Any] | None = None,
        picture: dict[str, Any] | None = None,
        tokenizer: dict[str, Any] | None = None,
        eyes: dict[str, Any] | None = None,
        references: dict[str, Any] | None = None,
        context_layer: int = 12,
        context_tokens: int = 64,
        boi_id: int = 6,
        boi_embedding_id: int = 14,
        image_placeholder_id: int = 16,
        eot_id: int = 2,
        pad_id: int = 0,
        **kwargs: Any,
    ) -> None:
        """Sections are plain dicts of the parts' own configs; a model without references has no such section.

        references: arguments of `ReferenceEncoder`, and max_images: how many references a drawing may have.
        context_layer: after how many layers of the language expert the image expert reads its context (a third of the
        way is cheaper than the last layer, and its states say less about the next word alone). context_tokens: how many
        text positions before the image it reads. The ids are reserved tokens of SmolLM2, which ordinary chat never
        uses. boi_id 6 `<filename>` is the one with an embedding of its own, so it can get all of the probability; 14,
        with which the image expert was trained, shares its untrained embedding with fifty others and could never get
        more than a fiftieth. As an input, `boi_id` therefore has the embedding of `boi_embedding_id`.
        """
        kwargs, old = _split(kwargs, OLD_KEYS)
        boi_embedding_id = old.get("boi_embedding_id", boi_embedding_id)
        image_placeholder_id = old.get("image_placeholder_id", image_placeholder_id)
        eot_id = old.get("eot_id", eot_id)
        self.language = language or {}
        self.picture = picture or {}
        self.tokenizer = tokenizer or {}
        self.eyes = {OLD_EYES_KEYS.get(key, key): value for key, value in (eyes or {}).items()}
        self.references = references or {}
        self.context_layer = context_layer
        self.context_tokens = context_tokens
        self.boi_id = boi_id
        self.boi_embedding_id = boi_embedding_id
        self.image_placeholder_id = image_placeholder_id
        self.eot_id = eot_id
        super().__init__(**{"pad_token_id": pad_id, "eos_token_id": eot_id, "tie_word_embeddings": False, **kwargs})

    @property
    def vocab_size(self) -> int:
        """Text ids and image codes together: the whole id space."""
        return int(self.language["vocab_size"]) + int(self.picture["vocab_size"])

    @property
    def hidden_size(self) -> int:
        """Width of the language expert; libraries read it."""
        return int(self.language["hidden_size"])

    def language_config(self) -> LlamaConfig:
        """Config of the language expert."""
        return LlamaConfig(**self.language, attn_implementation=packed_attention.NAME)

    def picture_config(self) -> LlamaConfig:
        """Config of the image expert's decoder; its `vocab_size` is the codebook."""
        return LlamaConfig(**self.picture, attn_implementation="sdpa")


def _split(kwargs: dict[str, Any], renamed: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments under names that are still in use, and the values of renamed ones under their new names."""
    old = {new: kwargs[key] for key, new in renamed.items() if key in kwargs}
    return {key: value for key, value in kwargs.items() if key not in renamed}, old
