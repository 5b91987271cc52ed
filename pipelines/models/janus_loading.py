"""Janus-Pro from published files: found, checked, loaded, and its tokenizer checked against the model.

`load_janus` is for a preset, `load_folder` for any folder in the published layout; both are what training, chat and
benchmarks use. bf16 on a GPU, fp32 on a CPU unless told otherwise; `bits=4` keeps the language model's linears
in 4 bits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, JanusConfig, PreTrainedTokenizerBase

from pipelines.core.model_identity import ModelIdentity
from pipelines.models.device_memory import check_bits
from pipelines.models.hub_weights import MODELS, WeightsMissing, check_whole, fetch, tensor_names
from pipelines.models.interface import identify
from pipelines.models.janus import CHAT_FORMAT, JanusModel

PRESETS = ("janus-pro-1b", "janus-pro-7b")
UNQUANTIZED_MODULES = (
    "lm_head",
    "vision_model",
    "aligner",
    "vqmodel",
    "generation_embeddings",
    "generation_aligner",
    "generation_head",
)
"""Modules that stay in bf16 with a 4-bit base: small, and the image side is sensitive to rounding."""


def load_janus(preset: str, bits: int = 16) -> tuple[JanusModel, PreTrainedTokenizerBase]:
    """A published model and its tokenizer, from a local folder, the hub's cache or the hub.

    Raises ValueError for an unknown preset, and WeightsMissing, which says what to do, when the files are missing,
    incomplete or not those of a Janus.
    """
    if preset not in PRESETS:
        raise ValueError(f"unknown Janus preset {preset!r}; known: {', '.join(PRESETS)}")
    found = fetch(preset)
    model, tokenizer = load_folder(found.folder, preset, bits)
    identify(model, ModelIdentity(MODELS[preset].repository, found.revision))
    return model, tokenizer


def load_folder(
    folder: Path, name: str, bits: int = 16, dtype: torch.dtype | None = None
) -> tuple[JanusModel, PreTrainedTokenizerBase]:
    """A model and its tokenizer from files in the published layout; `name` is for messages.

    dtype: bf16 on a GPU and fp32 on a CPU unless given.
    """
    check_bits(name, bits)
    on_gpu = torch.cuda.is_available()
    dtype = dtype or (torch.bfloat16 if on_gpu else torch.float32)
    check_whole(folder, f"{name} in {folder}", "copy or download it again")
    config = JanusConfig.from_pretrained(folder)
    if config.model_type != "janus":
        raise WeightsMissing(
            f"{name} in {folder} is a {config.model_type} checkpoint, not the published janus layout; "
            "take the one of deepseek-community, not of deepseek-ai."
        )
    # The library ties embedding and head by default; the published weights have two tensors.
    config.tie_word_embeddings = "lm_head.weight" not in tensor_names(folder)
    settings: dict[str, Any] = {"config": config, "dtype": dtype}
    if bits == 4:
        settings |= _four_bit_settings(dtype)
    # Straight to its device and dtype: not first whole on the CPU, nor in fp32.
    model = JanusModel.from_pretrained(folder, **settings, device_map={"": "cuda" if on_gpu else "cpu"})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    _check_tokenizer(model, tokenizer, name)
    return model.eval(), tokenizer


def _four_bit_settings(dtype: torch.dtype) -> dict[str, Any]:
    from transformers import BitsAndBytesConfig

    quantized = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=list(UNQUANTIZED_MODULES),
    )
    return {"quantization_config": quantized}


def _check_tokenizer(model: JanusModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Fill in special ids that the model's files leave out; WeightsMissing when tokenizer and model do not match."""
    defaults = model.generation_config
    for part in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if getattr(defaults, part) is None:
            setattr(defaults, part, getattr(tokenizer, part))
    spec = model.spec
    vocabulary = tokenizer.get_vocab()
    boi_id = vocabulary.get(CHAT_FORMAT.image_before, spec.boi_id)
    placeholder_id = vocabulary.get("<image_placeholder>", spec.image_placeholder_id)
    if len(tokenizer) > spec.text_vocab or boi_id != spec.boi_id or placeholder_id != spec.image_placeholder_id:
        raise WeightsMissing(
            f"{name}: tokenizer and weights are of two different models (a picture is announced by id "
            f"{boi_id} in one and {spec.boi_id} in the other); fetch both from one place."
        )
