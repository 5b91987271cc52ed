"""Putting the starter together from what the repository ships and what the package registry carries.

`weights/` beside this file holds our own parts in bf16 (image tokenizer, image expert, vision tower; and the critic,
which `pipelines.rewards.judge` loads) in files of at most 16 MiB; the language expert comes from its package
(`language.py`). CARD.md says how they were made.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pipelines.core.model_identity import ModelIdentity
from pipelines.core.settings import cache_dir
from pipelines.models.hub_weights import WeightsMissing
from pipelines.models.interface import ReplayFigure, identify
from pipelines.models.starter.config import StarterConfig
from pipelines.models.starter.language import language_folder
from pipelines.models.starter.model import StarterModel

WEIGHTS = Path(__file__).parent / "weights"
REPLAY_FILE, REPLAY_CODES = "replay.safetensors", "codes"
"""Drawings of other figures for fine-tuning; made by `pipelines/starter_build/build_replay.py`."""
NAME = "understudy/starter"
"""The base model's name in adapters trained on it."""
REVISION_FILE = "revision.txt"


def revision(folder: Path = WEIGHTS) -> str:
    """A short hash of the shipped weights, written into every adapter trained on them.

    Read from REVISION_FILE, which is written with the weights: hashing them takes a noticeable part of a start.
    """
    try:
        return (folder / REVISION_FILE).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return compute_revision(folder)


def compute_revision(folder: Path) -> str:
    """The hash itself, over the parts that an adapter changes or relies on: not the critic, nor what is replayed."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("starter-*.safetensors")):
        digest.update(file.name.encode())
        with file.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()[:12]


def load_starter(folder: Path = WEIGHTS) -> tuple[StarterModel, PreTrainedTokenizerFast]:
    """The starter in fp32 on the CPU, ready to sample or train.

    Raises WeightsMissing, which says what to do.
    """
    if not (folder / "config.json").exists():
        raise WeightsMissing(
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
    language_weights = {f"language.{key}": value for key, value in load_file(language / "model.safetensors").items()}
    language_weights["language.lm_head.weight"] = language_weights["language.model.embed_tokens.weight"]
    missing, unexpected = model.load_state_dict({**own, **language_weights}, strict=False, assign=True)
    if missing or unexpected:
        raise WeightsMissing(
            f"The starter's weights do not fit its config: missing {missing[:3]}, unexpected {unexpected[:3]}"
        )
    _recompute_buffers(model)
    model.language.tie_weights()
    identify(model, ModelIdentity(NAME, revision(folder)))
    tokenizer = AutoTokenizer.from_pretrained(language)
    return model.eval(), tokenizer


def load_replay_drawings(folder: Path = WEIGHTS) -> list[ReplayFigure]:
    """The figures that fine-tuning replays; none where the weights came without."""
    file = folder / REPLAY_FILE
    if not file.exists():
        return []
    with safe_open(file, "pt") as opened:
        about, codes = json.loads(opened.metadata()["about"]), opened.get_tensor(REPLAY_CODES).tolist()
    return [
        ReplayFigure(words["name"], words["appearance"], tuple(words["looks"]), tuple(map(tuple, drawn)))
        for words, drawn in zip(about, codes, strict=True)
    ]


def _recompute_buffers(model: StarterModel) -> None:
    """Rotary tables are not saved, and on the meta device they were never computed."""
    for stack in (model.language.model, model.picture.decoder):
        stack.rotary_emb = type(stack.rotary_emb)(config=stack.config)


def language_words() -> tuple[PreTrainedTokenizerFast, torch.Tensor]:
    """Tokenizer and embedding table (vocabulary, width) of the language expert, without its other weights."""
    language = language_folder(cache_dir())
    with safe_open(language / "model.safetensors", "pt") as file:
        return AutoTokenizer.from_pretrained(language), file.get_tensor("model.embed_tokens.weight")
