"""Janus checkpoints in exactly the published layout with random weights: files to test and to measure loading with.

    write_layout(folder, SIZES["1b"])       config, generation config, processor, tokenizer and weights as published

Sizes and special ids are those of deepseek-community/Janus-Pro-1B and -7B (964 and 1,018 tensors; 4,153,273,622 bytes
of weights for the small one); the tokenizer knows single bytes and the published special pieces at their published
ids. Speed and memory do not depend on the values of weights. `toy` is the same layout at a size for tests.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    JanusConfig,
    JanusForConditionalGeneration,
    JanusVisionConfig,
    JanusVQVAEConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

CHAT_TEMPLATE = (
    "{%set seps=['\n\n','<\uff5cend\u2581of\u2581sentence\uff5c>']%}{%for message in messages%}"
    "{%if message['role']|lower=='user'%}<|User|>: {%elif message['role']|lower=='assistant'%}<|Assistant|>: "
    "{%else%}{{message['role'].capitalize()}}: {%endif%}"
    "{%for content in message['content']%}{%if content['type']=='image'%}<image_placeholder>\n"
    "{%else%}{{content['text']}}{%endif%}{%endfor%}"
    "{%if message['role']|lower=='user'%}{{seps[0]}}{%else%}{{seps[1]}}{%endif%}{%endfor%}"
    "{%if add_generation_prompt%}<|Assistant|>:{%endif%}"
)
"""What the published template makes of whole turns; ours are compared with it in a test."""
SHARD_BYTES = 5 * 10**9
"""Larger weights come in several files, as published."""


@dataclass(frozen=True)
class JanusSize:
    """The numbers in which published checkpoints differ; `image_placeholder_id` is the first of the special pieces."""

    hidden: int
    layers: int
    inner: int
    heads: int
    vocab: int
    bos_id: int
    pad_id: int
    boi_id: int
    image_placeholder_id: int
    vision: tuple[int, int, int] = (1024, 24, 16)
    """Vision tower: width, layers, heads."""
    px: int = 384
    patch: int = 16
    codebook: int = 16384
    vq: tuple[int, tuple[int, ...], int] = (128, (1, 1, 2, 2, 4), 2)
    """Image tokenizer: channels, multipliers, blocks; it halves the side once less than it has multipliers."""
    positions: int = 16384

    @property
    def image_tokens(self) -> int:
        """Codes of one drawn image, and placeholders of one looked-at image."""
        return (self.px // self.patch) ** 2


SIZES = {
    "1b": JanusSize(2048, 24, 5632, 16, 102400, 100000, 100002, 100003, 100581),
    "7b": JanusSize(4096, 30, 11008, 32, 102400, 100000, 100015, 100016, 100594),
    "toy": JanusSize(48, 2, 96, 4, 300, 260, 262, 263, 265, (32, 1, 2), 32, 8, 64, (32, (1, 1, 1, 1), 1)),
}


def layout_config(size: JanusSize) -> JanusConfig:
    """`config.json` of a size."""
    channels, multipliers, blocks = size.vq
    width, layers, heads = size.vision
    return JanusConfig(
        text_config=LlamaConfig(
            vocab_size=size.vocab,
            hidden_size=size.hidden,
            intermediate_size=size.inner,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.heads,
            max_position_embeddings=size.positions,
            bos_token_id=size.bos_id,
            eos_token_id=size.bos_id + 1,
            pad_token_id=size.pad_id,
        ),
        vision_config=JanusVisionConfig(
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            image_size=size.px,
            patch_size=size.patch,
            projection_dim=size.hidden,
            num_image_tokens=size.image_tokens,
        ),
        vq_config=JanusVQVAEConfig(
            num_embeddings=size.codebook,
            base_channels=channels,
            channel_multiplier=list(multipliers),
            num_res_blocks=blocks,
            latent_channels=2 * channels,
            projection_dim=size.hidden,
            image_token_embed_dim=size.hidden,
        ),
        image_token_id=size.image_placeholder_id,
        tie_word_embeddings=False,
    )


def layout_tokenizer(size: JanusSize) -> PreTrainedTokenizerFast:
    """Bytes and the published special pieces at their ids; begins with the begin-of-sentence id, as published."""
    special = {
        "<\uff5cbegin\u2581of\u2581sentence\uff5c>": size.bos_id,
        "<\uff5cend\u2581of\u2581sentence\uff5c>": size.bos_id + 1,
        "<\uff5c\u2581pad\u2581\uff5c>": size.pad_id,
        "<begin_of_image>": size.boi_id,
        "<image_placeholder>": size.image_placeholder_id,
        "<end_of_image>": size.image_placeholder_id + 12,
        "<|User|>": size.image_placeholder_id + 20,
        "<|Assistant|>": size.image_placeholder_id + 21,
    }
    alphabet = {piece: place for place, piece in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet | special, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in special])
    bos, eos, pad, boi, placeholder, eoi, *_ = special
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token=eos,
        pad_token=pad,
        model_max_length=size.positions,
        extra_special_tokens={"image_token": placeholder, "boi_token": boi, "eoi_token": eoi},
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def write_layout(
    folder: Path, size: JanusSize, seed: int = 0, dtype: torch.dtype = torch.bfloat16, shard_bytes: int = SHARD_BYTES
) -> None:
    """A whole checkpoint in `folder`, which is made; tensor by tensor, so that no more memory than a file is used.

    Values are drawn on the GPU where there is one: one processor thread takes a minute for the small model's. They are
    the same for the same seed on the same kind of device.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = layout_config(size)
    config.architectures, config.dtype = ["JanusForConditionalGeneration"], dtype
    config.save_pretrained(folder)
    _write(
        folder / "generation_config.json",
        {
            "pad_token_id": size.pad_id,
            "bos_token_id": size.bos_id,
            "eos_token_id": size.bos_id + 1,
            "guidance_scale": 5,
            "temperature": 1,
            "generation_kwargs": {"boi_token_id": size.boi_id},
        },
    )
    _write(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "JanusImageProcessor",
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "do_pad": True,
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
            "min_size": 14,
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"height": size.px, "width": size.px},
        },
    )
    _write(
        folder / "processor_config.json",
        {"processor_class": "JanusProcessor", "use_default_system_prompt": True, "num_image_tokens": size.image_tokens},
    )
    layout_tokenizer(size).save_pretrained(folder)
    with torch.device("meta"):
        shapes = JanusForConditionalGeneration(config).state_dict()
    generator = torch.Generator("cuda" if torch.cuda.is_available() else "cpu").manual_seed(seed)
    _write_weights(folder, shapes, generator, dtype, shard_bytes)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _write_weights(
    folder: Path, shapes: dict[str, torch.Tensor], generator: torch.Generator, dtype: torch.dtype, shard_bytes: int
) -> None:
    total = sum(math.prod(tensor.shape) * dtype.itemsize for tensor in shapes.values())
    shards = -(-total // shard_bytes)
    file_of_tensor: dict[str, str] = {}
    names = list(shapes)
    for shard in range(shards):
        file = "model.safetensors" if shards == 1 else f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        own = names[shard * len(names) // shards : (shard + 1) * len(names) // shards]
        weights = {name: _random_weight(name, shapes[name], generator, dtype) for name in own}
        save_file(weights, folder / file, metadata={"format": "pt"})
        file_of_tensor |= dict.fromkeys(own, file)
    if shards > 1:
        _write(
            folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": file_of_tensor}
        )


def _random_weight(name: str, like: torch.Tensor, generator: torch.Generator, dtype: torch.dtype) -> torch.Tensor:
    if not like.dtype.is_floating_point:
        return torch.arange(like.numel(), dtype=like.dtype).reshape(like.shape)  # position ids
    if like.ndim == 1:  # norm weights are told by their names; everything else of one dimension is a bias
        fill = torch.ones if "norm" in name and name.endswith("weight") else torch.zeros
        return fill(like.shape, dtype=dtype)
    # About what preserves the scale of activations, so that untrained images differ from each other.
    scale = 1 / math.sqrt(math.prod(like.shape[1:]))
    return torch.empty(like.shape, dtype=dtype, device=generator.device).normal_(0, scale, generator=generator).cpu()
