"""Putting the starter together from what the repository ships and what the package registry carries.

`weights/` beside this file holds our own parts in bf16 (picture tokenizer, picture expert, eyes, critic) in files of at
most 16 MiB; the language expert comes from its package (`language.py`). CARD.md says how they were made.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pipelines.core.settings import cache_dir
from pipelines.models.starter.config import StarterConfig
from pipelines.models.starter.language import language_folder
from pipelines.models.starter.model import StarterModel
from pipelines.rewards.starter_critic import StarterCritic, StarterCriticConfig

WEIGHTS = Path(__file__).parent / "weights"
NAME = "understudy/starter"
"""What adapters name as their base model."""


class StarterWeightsMissing(RuntimeError):
    """The repository's own weights are not there or not whole."""


def revision(folder: Path = WEIGHTS) -> str:
    """A short hash of the shipped weights, written into every adapter trained on them."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.safetensors")):
        digest.update(file.name.encode())
        with file.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()[:12]


def load_starter(folder: Path = WEIGHTS) -> tuple[StarterModel, PreTrainedTokenizerFast]:
    """The starter in fp32 on the CPU, ready to sample or train.

    Raises WeightsMissing or LanguageMissing with the mend.
    """
    if not (folder / "config.json").exists():
        raise StarterWeightsMissing(
            "The starter's weights are missing from this installation; install Understudy again, "
            "or make them with `python -m pipelines.starter_build.build all`."
        )
    language = language_folder(cache_dir())
    with torch.device("meta"):
        model = StarterModel(StarterConfig.from_pretrained(folder))
    # Each part is read into its own module; `assign` keeps the file's storage, so nothing is copied twice.
    own: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("starter-*.safetensors")):
        own |= {key: value.float() for key, value in load_file(file).items()}
    words = {f"language.{key}": value for key, value in load_file(language / "model.safetensors").items()}
    words["language.lm_head.weight"] = words["language.model.embed_tokens.weight"]
    missing, unexpected = model.load_state_dict({**own, **words}, strict=False, assign=True)
    if missing or unexpected:
        raise StarterWeightsMissing(
            f"The starter's weights do not fit its config: missing {missing[:3]}, unexpected {unexpected[:3]}"
        )
    _revive_buffers(model)
    model.language.tie_weights()
    model.name_or_path = NAME
    model.config.name_or_path = NAME
    tokenizer = AutoTokenizer.from_pretrained(language)
    return model.eval(), tokenizer


def _revive_buffers(model: StarterModel) -> None:
    """Rotary tables are not saved; a model made on the meta device must compute them anew."""
    for stack in (model.language.model, model.picture.decoder):
        stack.rotary_emb = type(stack.rotary_emb)(config=stack.config)


def load_critic(folder: Path = WEIGHTS / "critic") -> StarterCritic:
    """The starter's critic with its words attached; raises WeightsMissing."""
    if not (folder / "config.json").exists():
        raise StarterWeightsMissing(
            "The critic's weights are missing from this installation; install Understudy again."
        )
    critic = StarterCritic(StarterCriticConfig.from_pretrained(folder))
    critic.load_state_dict(
        {
            key: value.float() if value.is_floating_point() else value
            for key, value in load_file(folder / "model.safetensors").items()
        }
    )
    return critic.eval().attach_words(*language_words())


def language_words() -> tuple[PreTrainedTokenizerFast, torch.Tensor]:
    """Tokenizer and embedding table (vocabulary, width) of the language expert, without its other weights."""
    language = language_folder(cache_dir())
    with safe_open(language / "model.safetensors", "pt") as file:
        return AutoTokenizer.from_pretrained(language), file.get_tensor("model.embed_tokens.weight")


def pack(
    model: StarterModel, critic: StarterCritic, folder: Path = WEIGHTS, limit_bytes: int = 15 * 2**20
) -> dict[str, int]:
    """Write our own parts in bf16, in files below `limit_bytes`; returns their sizes in bytes."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("starter-*.safetensors"):
        old.unlink()
    parts: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for key, value in model.state_dict().items():
        if key.startswith("language."):
            continue
        small = value.to(torch.bfloat16) if value.is_floating_point() else value
        if size + small.nbytes > limit_bytes:
            parts.append({})
            size = 0
        parts[-1][key] = small.contiguous()
        size += small.nbytes
    for number, part in enumerate(parts):
        save_file(part, folder / f"starter-{number + 1:02d}-of-{len(parts):02d}.safetensors")
    model.config.save_pretrained(folder)
    critic.to(torch.bfloat16).save_pretrained(folder / "critic")
    sizes = {str(file.relative_to(folder)): file.stat().st_size for file in sorted(folder.rglob("*.safetensors"))}
    (folder / "sizes.json").write_text(json.dumps(sizes, indent=1) + "\n", encoding="utf-8")
    return sizes
