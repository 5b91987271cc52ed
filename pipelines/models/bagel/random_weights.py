"""Random weights in BAGEL's published layout, and the same classes at toy size.

Checkpoints written here go through the real loading code, so it can be tried and measured without a download.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

from pipelines.core.model_identity import TOY_REVISION, ModelIdentity
from pipelines.models.bagel.config import AUTOENCODER, BagelConfig
from pipelines.models.bagel.four_bits import as_parameter_of, use_four_bits
from pipelines.models.bagel.layout import (
    AUTOENCODER_FILE,
    LANGUAGE_7B,
    LANGUAGE_FILE,
    MODEL_FILE,
    PIECES,
    VISION_7B,
    VISION_FILE,
    config_7b,
    empty_model,
    published_tensors,
    used_vision,
    wrapped_tokenizer,
)
from pipelines.models.bagel.patches import position_table
from pipelines.models.bagel.unified import UnifiedBagel
from pipelines.models.interface import identify

BROKEN_CONFIG = '[\n"llm_config",\n"vit_config",\n"ae",\n]\n'
"""Stands for the published `config.json`, a lone list with a trailing comma."""
TOY_LANGUAGE = {
    **LANGUAGE_7B,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "vocab_size": 264,
}
TOY_VISION = {
    **VISION_7B,
    "hidden_size": 32,
    "image_size": 56,
    "intermediate_size": 48,
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
}
TOY_AUTOENCODER: dict[str, Any] = {**AUTOENCODER, "ch": 32, "ch_mult": [1, 1, 2, 2], "num_res_blocks": 1}


def toy_config() -> BagelConfig:
    """All parts at toy size: images up to 128 px drawn, up to 56 px looked at; those of a character are smaller."""
    first = len(pre_tokenizers.ByteLevel.alphabet())
    return BagelConfig(
        text=TOY_LANGUAGE,
        vision=used_vision(TOY_VISION),
        autoencoder=TOY_AUTOENCODER,
        latent_side=8,
        vision_side=4,
        special_ids={field: first + number for number, field in enumerate(PIECES)},
        image_px=32,
        look_px=28,
        flow_steps=4,
    )


def toy_bagel(seed: int = 0) -> tuple[UnifiedBagel, PreTrainedTokenizerBase]:
    """The real classes at toy size with random weights, and their tokenizer; the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        model = UnifiedBagel(toy_config())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not name.endswith("pos_embed"):
                weight.copy_(_random_weight(name, tuple(weight.shape), generator))
    identify(model, ModelIdentity("understudy/bagel-toy", TOY_REVISION))
    return model.eval(), wrapped_tokenizer(tokenizer_object=layout_tokenizer())


def full_size_config() -> BagelConfig:
    """BAGEL-7B-MoT's numbers with the ids of `layout_tokenizer`, which makes texts longer than the published one."""
    config = config_7b()
    config.special_ids = toy_config().special_ids
    return config


def random_bagel(
    config: BagelConfig, device: torch.device, dtype: torch.dtype, bits: int = 16
) -> tuple[UnifiedBagel, PreTrainedTokenizerBase]:
    """A model of any size with random weights, made where they stay: 29 GB would take minutes through a file."""
    model = empty_model(config)
    if bits == 4:
        use_four_bits(model, dtype)
    generator = torch.Generator(device).manual_seed(0)
    for name, weight in list(model.named_parameters()):
        module, _, leaf = name.rpartition(".")
        kept = torch.float32 if name.startswith("autoencoder.") else dtype
        if leaf == "pos_embed":
            value = position_table(math.isqrt(len(weight)), config.hidden_size).to(device, kept)
        else:
            value = _random_weight(name, tuple(weight.shape), generator, device).to(kept)
        setattr(model.get_submodule(module), leaf, as_parameter_of(model.get_submodule(module), leaf, value))
    model.language_model.model.rotary_emb = Qwen3RotaryEmbedding(model.config.decoder_config()).to(device)
    identify(model, ModelIdentity("understudy/random-bagel", TOY_REVISION))
    return model.eval(), wrapped_tokenizer(tokenizer_object=layout_tokenizer())


def layout_tokenizer() -> Tokenizer:
    """One id for each byte, then the published special pieces."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*alphabet, *PIECES.values()]
    tokenizer = Tokenizer(models.BPE(vocab={piece: place for place, piece in enumerate(pieces)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in PIECES.values()])
    return tokenizer


def write_layout(folder: Path, seed: int = 0) -> None:
    """A whole toy checkpoint in `folder`, which is made; weights in bf16, the autoencoder's in fp32, as published."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(BROKEN_CONFIG, encoding="utf-8")
    for name, content in ((LANGUAGE_FILE, TOY_LANGUAGE), (VISION_FILE, TOY_VISION)):
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
    layout_tokenizer().save(str(folder / "tokenizer.json"))
    config = toy_config()
    tensors = published_tensors(empty_model(config))
    generator = torch.Generator().manual_seed(seed)
    weights = {name: _random_weight(name, shape, generator) for name, shape in tensors[MODEL_FILE].items()}
    weights["latent_pos_embed.pos_embed"] = position_table(config.latent_side, config.hidden_size)
    weights["vit_pos_embed.pos_embed"] = position_table(config.vision_side, config.hidden_size)
    save_file({name: weight.bfloat16() for name, weight in weights.items()}, folder / MODEL_FILE)
    save_file(
        {name: _random_weight(name, shape, generator) for name, shape in tensors[AUTOENCODER_FILE].items()},
        folder / AUTOENCODER_FILE,
    )
    files = {name: file for file, names in tensors.items() for name in names}
    total = sum((folder / file).stat().st_size for file in tensors)
    index = {"metadata": {"total_size": total}, "weight_map": files}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")


def _random_weight(
    name: str, shape: tuple[int, ...], generator: torch.Generator, device: torch.device | None = None
) -> torch.Tensor:
    if len(shape) == 1:  # norm weights are told by their names; everything else of one dimension is a bias
        fill = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        return torch.full(shape, fill, device=device)
    # About what preserves the scale of activations, so that untrained images differ from each other.
    return torch.empty(shape, device=device).normal_(0, 1 / math.sqrt(math.prod(shape[1:])), generator=generator)
