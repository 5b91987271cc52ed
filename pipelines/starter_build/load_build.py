"""Load a starter and a critic from the parts in a build folder.

The rest of the program loads the shipped weights instead: `pipelines.models.starter.loading`. Nothing is trained here.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pipelines.core.settings import cache_dir
from pipelines.models.starter.config import StarterConfig
from pipelines.models.starter.language import language_folder
from pipelines.models.starter.loading import load_starter
from pipelines.models.starter.model import StarterModel, own_settings
from pipelines.models.starter.vq import ImageTokenizer
from pipelines.rewards.judge import load_starter_critic
from pipelines.rewards.starter_critic import StarterCritic
from pipelines.starter_build.build_config import SIZES, BuildSize
from pipelines.starter_build.build_loop import read_state

CONTEXT_LAYER = 4
"""Layers of the language expert in front of the image expert's context, see `StarterConfig`."""
LANGUAGE_FIELDS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_parameters",
    "tie_word_embeddings",
    "head_dim",
    "hidden_act",
)
"""Fields of SmolLM2's config.json that the starter's config keeps."""


def has_parts(out: Path) -> bool:
    """Whether the folder holds a build's parts; the tokenizer is trained first."""
    return (out / "tokenizer" / "tokenizer").is_dir()


def assemble_starter(
    out: Path, device: str = "cpu", size: BuildSize = SIZES["cpu"]
) -> tuple[StarterModel, PreTrainedTokenizerFast]:
    """A starter with the build's image tokenizer, the language expert, and whichever other parts `out` has so far.

    Parts that are not trained yet keep their initial weights (seed 0).
    """
    folder = language_folder(cache_dir())
    language = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    vq = ImageTokenizer.from_pretrained(out / "tokenizer" / "tokenizer")
    codebook = {"vocab_size": vq.config.codebook_size, "max_position_embeddings": 1024, "pad_token_id": None}
    config = StarterConfig(
        language={name: language[name] for name in LANGUAGE_FIELDS if name in language},
        picture=size.image_expert | codebook,
        tokenizer=own_settings(vq.config),
        eyes=size.vision_tower,
        references=size.references,
        context_layer=CONTEXT_LAYER,
    )
    torch.manual_seed(0)
    model = StarterModel(config)
    model.vq.load_state_dict({key: value.float() for key, value in vq.state_dict().items()})
    # Not strict: the output projection is tied to the embeddings and not stored.
    model.language.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    model.language.tie_weights()
    for part, module in (("picture", model.picture), ("eyes", model.eyes)):
        state_dict = read_state(out / part / f"{part}.pt").get(part, {})
        if state_dict:
            module.load_state_dict({key: value.float() for key, value in state_dict.items()})
    return model.to(device), AutoTokenizer.from_pretrained(folder)


def load_build_critic(out: Path) -> StarterCritic:
    """The build's critic in fp32, frozen; raises FileNotFoundError if it has not been trained."""
    folder = out / "critic" / "model"
    if not folder.is_dir():
        raise FileNotFoundError(f"{out} has no critic: run the part `critic` with --out {out} first")
    critic: StarterCritic = StarterCritic.from_pretrained(folder).float().eval().requires_grad_(False)
    return critic


def load_models(
    out: Path, size: BuildSize, device: str = "cpu"
) -> tuple[StarterModel, PreTrainedTokenizerFast, StarterCritic]:
    """The build's starter and critic, rounded to bf16 as they are shipped; the shipped ones if `out` has no parts."""
    if has_parts(out):
        model, tokenizer = assemble_starter(out, device, size)
        critic = load_build_critic(out)
    else:
        model, tokenizer = load_starter()
        critic = load_starter_critic()
    # Rounded as `export.write_weights` rounds them. The critic is saved in bf16 by its training already.
    for module in (model.picture, model.eyes, model.vq):
        for value in module.parameters():
            value.data = value.data.bfloat16().float()
    model = model.requires_grad_(False).to(device).eval()
    critic.attach_words(tokenizer, model.get_input_embeddings().weight)
    return model, tokenizer, critic.to(device).eval()
