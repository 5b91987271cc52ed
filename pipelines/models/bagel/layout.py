"""The published folder of BAGEL: its files, and the names and shapes of their tensors.

`published_tensors` reads them from a model, which may be on the meta device, so the loader, the writer of random
weights and the test against the published index have one source.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from pipelines.models.bagel.autoencoder import published_name, published_shape
from pipelines.models.bagel.config import BagelConfig
from pipelines.models.bagel.unified import UnifiedBagel

MODEL_FILE, AUTOENCODER_FILE = "ema.safetensors", "ae.safetensors"
LANGUAGE_FILE, VISION_FILE = "llm_config.json", "vit_config.json"
AUTOENCODER_PREFIX = "autoencoder."
PIECES = {
    "text_start": "<|im_start|>",
    "text_end": "<|im_end|>",
    "image_start": "<|vision_start|>",
    "image_end": "<|vision_end|>",
    "pad": "<|endoftext|>",
    "looked_at": "<|image_pad|>",
}
"""Field of `SpecialIds` -> the tokenizer's piece."""
LANGUAGE_7B: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "hidden_act": "silu",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "max_position_embeddings": 32768,
    "max_window_layers": 28,
    "model_type": "qwen2",
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "sliding_window": 131072,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_sliding_window": False,
    "vocab_size": 152064,
}
VISION_7B: dict[str, Any] = {
    "hidden_size": 1152,
    "image_size": 980,
    "intermediate_size": 4304,
    "model_type": "siglip_vision_model",
    "num_attention_heads": 16,
    "num_channels": 3,
    "num_hidden_layers": 27,
    "patch_size": 14,
}
"""What the two published files say."""


def used_vision(published: dict[str, Any], unused_layers: int = 1) -> dict[str, Any]:
    """`vit_config.json` with the layers that are used: BAGEL takes the states before the last one."""
    return {**published, "num_hidden_layers": published["num_hidden_layers"] - unused_layers}


def config_7b() -> BagelConfig:
    """Of BAGEL-7B-MoT."""
    return BagelConfig(text=LANGUAGE_7B, vision=used_vision(VISION_7B))


def wrapped_tokenizer(**source: Any) -> PreTrainedTokenizerBase:
    """The published tokenizer as the library's class; source: its `tokenizer_file` or `tokenizer_object`."""
    return PreTrainedTokenizerFast(
        **source,
        eos_token=PIECES["text_end"],
        pad_token=PIECES["pad"],
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def empty_model(config: BagelConfig) -> UnifiedBagel:
    """On the meta device: names and shapes, no memory."""
    with torch.device("meta"):
        return UnifiedBagel(config)


def published_tensors(model: UnifiedBagel) -> dict[str, dict[str, tuple[int, ...]]]:
    """File -> published name -> shape."""
    return {file: dict(names.values()) for file, names in published_names(model).items()}


def published_names(model: UnifiedBagel) -> dict[str, dict[str, tuple[str, tuple[int, ...]]]]:
    """File -> our name -> (published name, published shape)."""
    found: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {MODEL_FILE: {}, AUTOENCODER_FILE: {}}
    levels = len(model.config.autoencoder["ch_mult"])
    for name, tensor in model.state_dict().items():
        if name.startswith(AUTOENCODER_PREFIX):
            published = published_name(name.removeprefix(AUTOENCODER_PREFIX), levels)
            found[AUTOENCODER_FILE][name] = published, published_shape(published, tensor.shape)
        else:
            found[MODEL_FILE][name] = name, tuple(tensor.shape)
    return found
