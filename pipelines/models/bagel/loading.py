"""BAGEL from its published folder: every file by name, every tensor once, nothing else.

`load_folder` is for any folder in the published layout, `load_bagel` for a pinned one from the hub. bf16 on a GPU, fp32
on a CPU unless told otherwise, or 4 bits; the autoencoder stays fp32, as published. `config.json` is never read: at the
pinned commit it is not valid JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import PreTrainedTokenizerBase
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

from pipelines.core.model_identity import ModelIdentity
from pipelines.models.bagel.config import (
    AUTOENCODER,
    IMAGE_PX,
    LOOK_PX,
    PIXELS_PER_LATENT,
    TEXT_NUMBERS,
    VISION_NUMBERS,
    BagelConfig,
)
from pipelines.models.bagel.decoder import TWIN
from pipelines.models.bagel.four_bits import as_parameter_of, use_four_bits
from pipelines.models.bagel.layout import (
    AUTOENCODER_FILE,
    LANGUAGE_FILE,
    MODEL_FILE,
    PIECES,
    VISION_FILE,
    empty_model,
    published_names,
    used_vision,
    wrapped_tokenizer,
)
from pipelines.models.bagel.unified import UnifiedBagel
from pipelines.models.device_memory import check_bits
from pipelines.models.hub_weights import MODELS, WeightsMissing, check_whole, fetch, tensor_shapes
from pipelines.models.interface import identify

PRESET = "bagel-7b"
AGAIN = "copy or download it again"
SHOWN = 3
"""Tensor names in a message."""


def load_bagel(bits: int = 16) -> tuple[UnifiedBagel, PreTrainedTokenizerBase]:
    """BAGEL-7B-MoT and its tokenizer, from a local folder, the hub's cache or the hub."""
    check_bits(PRESET, bits)
    found = fetch(PRESET)
    model, tokenizer = load_folder(found.folder, PRESET, bits=bits)
    identify(model, ModelIdentity(MODELS[PRESET].repository, found.revision))
    return model, tokenizer


def load_folder(
    folder: Path,
    name: str,
    dtype: torch.dtype | None = None,
    autoencoder: dict[str, Any] | None = None,
    bits: int = 16,
) -> tuple[UnifiedBagel, PreTrainedTokenizerBase]:
    """A model and its tokenizer from files in the published layout; `name` is for messages.

    autoencoder: its numbers, which stand in no file, where they are not the published ones. bits: 4 keeps the linears
    of both experts in 4 bits. Raises WeightsMissing with the file and what to do when something is missing, damaged or
    of another model.
    """
    check_bits(name, bits)
    name = f"{name} in {folder}"
    check_whole(folder, name, AGAIN, MODELS[PRESET].files)
    tokenizer = wrapped_tokenizer(tokenizer_file=str(folder / "tokenizer.json"))
    shapes = {file: tensor_shapes(folder / file, name, AGAIN) for file in (MODEL_FILE, AUTOENCODER_FILE)}
    config = _read_config(folder, name, shapes[MODEL_FILE], tokenizer, autoencoder or AUTOENCODER)
    model = empty_model(config)
    names = published_names(model)
    for file, own in names.items():
        _check_tensors(f"{name}: {file}", dict(own.values()), shapes[file])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or (torch.bfloat16 if device.type == "cuda" else torch.float32)
    if bits == 4:
        use_four_bits(model, dtype)
    _fill(model, folder, names[MODEL_FILE], device, dtype)
    _fill(model, folder, names[AUTOENCODER_FILE], device, torch.float32)
    # Its frequencies are in no file, so they are still on the meta device.
    model.language_model.model.rotary_emb = Qwen3RotaryEmbedding(config.decoder_config()).to(device)
    return model.eval(), tokenizer


def _read_config(
    folder: Path,
    name: str,
    shapes: dict[str, tuple[int, ...]],
    tokenizer: PreTrainedTokenizerBase,
    autoencoder: dict[str, Any],
) -> BagelConfig:
    text = _read_json(folder / LANGUAGE_FILE, name, (*TEXT_NUMBERS, "rope_theta"))
    vision = _read_json(folder / VISION_FILE, name, VISION_NUMBERS)
    if text["hidden_size"] % text["num_attention_heads"]:
        raise WeightsMissing(
            f"{name}: {LANGUAGE_FILE}: num_attention_heads {text['num_attention_heads']} does not divide hidden_size "
            f"{text['hidden_size']}; {AGAIN}."
        )
    vocabulary = tokenizer.get_vocab()
    missing = [piece for piece in PIECES.values() if piece not in vocabulary]
    if missing or len(tokenizer) > text["vocab_size"]:
        raise WeightsMissing(
            f"{name}: tokenizer.json is of another model ("
            + (f"it lacks {', '.join(missing)}" if missing else f"{len(tokenizer)} ids, {text['vocab_size']} are known")
            + "); fetch all files from one place."
        )
    latent_side = _table_side(name, "latent_pos_embed.pos_embed", shapes)
    vision_side = _table_side(name, "vit_pos_embed.pos_embed", shapes)
    return BagelConfig(
        text=text,
        vision={"num_channels": 3, **used_vision(vision)},
        autoencoder=autoencoder,
        latent_side=latent_side,
        vision_side=vision_side,
        image_px=min(IMAGE_PX, latent_side * PIXELS_PER_LATENT),
        look_px=min(LOOK_PX, vision_side * vision["patch_size"]),
        special_ids={field: vocabulary[piece] for field, piece in PIECES.items()},
    )


def _read_json(path: Path, name: str, keys: Sequence[str]) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError) as error:
        raise WeightsMissing(f"{name}: {path.name} is not JSON ({error}); {AGAIN}.") from error
    wrong = [key for key in keys if not isinstance(found, dict) or not isinstance(found.get(key), int | float)]
    if wrong:
        raise WeightsMissing(f"{name}: {path.name} has no number for {', '.join(wrong)}; {AGAIN}.")
    return found


def _table_side(name: str, table: str, shapes: dict[str, tuple[int, ...]]) -> int:
    """The published class has another default, so the table itself says how large an image may be."""
    if table not in shapes:
        raise WeightsMissing(f"{name}: {MODEL_FILE} has no {table}: not a BAGEL checkpoint, or a part of one; {AGAIN}.")
    rows = shapes[table][0]
    if (side := math.isqrt(rows)) ** 2 != rows:
        raise WeightsMissing(f"{name}: {MODEL_FILE}: {table} has {rows} rows, which is no square; {AGAIN}.")
    return side


def _check_tensors(where: str, wanted: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> None:
    missing = [one for one in wanted if one not in found]
    extra = [one for one in found if one not in wanted]
    twins = [one for one in missing if TWIN in one]
    if twins and len(twins) == len(missing):
        raise WeightsMissing(
            f"{where}: {_some(twins)} of the expert that draws are missing: the language model alone, or a fine-tune "
            f"of it. Take the files of {MODELS[PRESET].repository}."
        )
    if missing:
        raise WeightsMissing(f"{where}: {_some(missing)} are missing; {AGAIN}.")
    if extra:
        raise WeightsMissing(
            f"{where}: {_some(extra)} are of another model, or the configuration beside it is; fetch all files from "
            "one place."
        )
    for one, shape in wanted.items():
        if found[one] != shape:
            raise WeightsMissing(
                f"{where}: {one} is {_sizes(found[one])} and the configuration beside it asks for {_sizes(shape)}; "
                "fetch all files from one place."
            )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} tensors ({', '.join(names[:SHOWN])}{more})"


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _fill(
    model: UnifiedBagel,
    folder: Path,
    names: dict[str, tuple[str, tuple[int, ...]]],
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Put a file's tensors into a model on the meta device, one at a time, straight to device and dtype."""
    file = AUTOENCODER_FILE if next(iter(names)).startswith("autoencoder.") else MODEL_FILE
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    with safe_open(folder / file, "pt", device=str(device)) as tensors:
        for name, (published, _) in names.items():
            tensor = tensors.get_tensor(published).to(dtype).reshape(shapes[name])
            module, _, leaf = name.rpartition(".")
            owner = model.get_submodule(module)
            setattr(owner, leaf, as_parameter_of(owner, leaf, tensor))
