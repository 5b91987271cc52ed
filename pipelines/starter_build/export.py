"""From the parts of a build to one starter, and from there to `weights/` with its card and sample sheet.

Only `build.py` needs this. What everybody else calls, the starter out of `weights/`, is `loading.py`; nothing is
trained here.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pipelines.core.settings import cache_dir
from pipelines.models.starter.config import StarterConfig
from pipelines.models.starter.language import language_folder
from pipelines.models.starter.loading import WEIGHTS, revision
from pipelines.models.starter.model import StarterModel, own_settings
from pipelines.models.starter.vq import ImageTokenizer
from pipelines.rewards.starter_critic import StarterCritic
from pipelines.starter_build.build_config import SIZES, BuildSize, build_config
from pipelines.starter_build.build_loop import read_state

CONTEXT_LAYER = 4
STORED = 24_000
"""Pictures of the stored set, as `build pictures` draws it."""
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


PART_TITLES = {
    "tokenizer": "Picture tokenizer (held-out drawings, dB)",
    "critic": "Critic (held-out identities)",
    "classifier": "Attribute classifier, for measuring only (held-out drawings)",
    "eyes": "Eyes (share of slots named right on held-out identities)",
    "picture": "Picture expert (loss in nats a code)",
}
TRAINED = tuple(PART_TITLES)
MEASURED_TITLES = {
    "tokenizer": "Measured: what the picture tokenizer keeps",
    "pictures": "Measured: drawing what is asked (unseen identities and combinations; `real` is the same reading of "
    "real drawings)",
    "guidance": "Measured: sweep of guidance (expression, clothes and match by the critic)",
    "eyes": "Measured: what the eyes see (unseen identities)",
    "critic": "Measured: what the critic can tell (unseen identities)",
    "language": "Measured: language kept",
}
ART = {
    "avataaars": "avataaars by Pablo Stanley (free for personal and commercial use)",
    "toon-head": "toon-head by Johan Melin (CC BY 4.0)",
    "critters": "critters by DiceBear (CC0 1.0)",
    "adventurer": "adventurer by Lisa Wischofsky (CC BY 4.0)",
    "micah": "micah by Micah Lanier (CC BY 4.0)",
    "bottts": "bottts by Pablo Stanley (free for personal and commercial use)",
    "sprouts": "sprouts by DiceBear (CC0 1.0)",
    "moods": "moods by DiceBear (CC0 1.0)",
    "animals": "animals of our own (CC0 1.0)",
}
DOCS_PICTURES = Path(__file__).resolve().parents[3] / "docs" / "pictures"
CARD_HEAD = """---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
tags: [understudy, text-to-image, role-play]
---
# The starter, revision {revision}

A small unified text+image model for two CPU cores: SmolLM2-135M-Instruct (not in this folder, fetched from its package
and used unchanged) with our picture tokenizer, picture expert, eyes, and the critic that judges it.
{megabytes:.1f} MB in bf16. Trained on {hardware}, by `python -m pipelines.starter_build.build`.

- **Data**: drawings ({drawn}) made by this repository's own script from {art},
  over our own scenes; captions and questions by script. No photographs, no scraped pictures. Every twentieth identity
  and 2 % of the combinations of expression, clothes and place are held out. LICENCES.md has the licences.
- **Language**: the language expert's weights are frozen, so its language is SmolLM2's to the bit.
- **Domain**: cartoon busts at {px} px with eight expressions, eleven colours of clothes, {places} places. Other
  pictures (photographs, other art) are redrawn in this manner at best.
- **Sheet**: sheet.png has real drawings in odd rows and the starter's, for the same captions, below them.
"""


def fresh_starter(
    out: Path, device: str = "cpu", size: BuildSize = SIZES["cpu"]
) -> tuple[StarterModel, PreTrainedTokenizerFast]:
    """A starter with the trained picture tokenizer, the language expert, and whatever parts `out` holds already."""
    folder = language_folder(cache_dir())
    language = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    vq = ImageTokenizer.from_pretrained(out / "tokenizer" / "tokenizer")
    sizes = {"vocab_size": vq.config.codebook_size, "max_position_embeddings": 512, "pad_token_id": None}
    config = StarterConfig(
        language={name: language[name] for name in LANGUAGE_FIELDS if name in language},
        picture=size.picture | sizes,
        tokenizer=own_settings(vq.config),
        eyes=size.eyes,
        context_layer=CONTEXT_LAYER,
    )
    torch.manual_seed(0)
    model = StarterModel(config)
    model.vq.load_state_dict({key: value.float() for key, value in vq.state_dict().items()})
    model.language.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    model.language.tie_weights()
    for part, module in (("picture", model.picture), ("eyes", model.eyes)):
        saved = read_state(out / part / f"{part}.pt").get(part, {})
        if saved:
            module.load_state_dict({key: value.float() for key, value in saved.items()})
    return model.to(device), AutoTokenizer.from_pretrained(folder)


def pack_all(out: Path, size: BuildSize, hardware: str) -> dict[str, Any]:
    """Write weights/ with its card and sample sheet from the parts in `out`; returns the files' sizes in bytes.

    Parts that changed since they were measured are measured first, with the quick counts.
    """
    # Imported here: measuring draws, which needs the build extra.
    from pipelines.starter_build.measure import measure_all

    if not is_measured(out):
        measure_all(out, size, quick=True)
    model, _ = fresh_starter(out, size=size)
    sizes = write_weights(model, StarterCritic.from_pretrained(out / "critic" / "model"))
    for name, target in (("sheet.png", WEIGHTS), ("likeness.png", DOCS_PICTURES)):
        if (out / name).exists() and target.is_dir():
            shutil.copy(out / name, target / name)
    (WEIGHTS / "CARD.md").write_text(starter_card(out, sizes, hardware), encoding="utf-8")
    return {"sizes": sizes}


def write_weights(
    model: StarterModel, critic: StarterCritic, folder: Path = WEIGHTS, limit_bytes: int = 15 * 2**20
) -> dict[str, int]:
    """Write our own parts in bf16, in files below `limit_bytes`; returns their sizes in bytes."""
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


def is_measured(out: Path) -> bool:
    """Whether `out`/measured.json has its sections and is younger than every part's state."""
    file = out / "measured.json"
    if not file.exists() or not isinstance(json.loads(file.read_text(encoding="utf-8")).get("pictures"), dict):
        return False
    states = [state for name in ("state.pt", "eyes.pt", "picture.pt") for state in out.glob(f"*/{name}")]
    return all(state.stat().st_mtime <= file.stat().st_mtime for state in states)


def starter_card(out: Path, sizes: dict[str, int], hardware: str) -> str:
    """The model card: what the weights are, how they were made, and every number the build measured."""
    plan = build_config(out)
    domain, size = plan.domain, plan.sizes
    lines = [
        CARD_HEAD.format(
            revision=revision(),
            hardware=hardware,
            megabytes=sum(sizes.values()) / 1e6,
            px=size.px,
            places=len(domain.places),
            art=", ".join(ART[style] for style in domain.styles),
            drawn=_drawn(out, plan.stream),
        )
    ]
    for part in TRAINED:
        lines += _rows(PART_TITLES[part], _scores(out / f"{part}.json"))
    measured = _scores(out / "measured.json")
    for name, title in MEASURED_TITLES.items():
        if name in measured:
            lines += _rows(title, measured[name])
    for name, scores in _scores(out / "fewshot" / "fewshot.json").items():
        lines += _rows(f"Few-shot: nine pictures of somebody unseen, {name}", scores)
    notes = [f"- {note}" for note in measured.get("notes", [])]
    return "\n".join([*lines, *(["\n## Notes on measuring\n", *notes] if notes else [])]) + "\n"


def _scores(file: Path) -> dict[str, Any]:
    """What a part or a measure wrote; {} when it has not run."""
    scores: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return scores


def _drawn(out: Path, stream: bool) -> str:
    """How many pictures were drawn to train on, and whether they were kept."""
    most = max(int(_scores(out / f"{part}.json").get("drawn", 0)) for part in TRAINED)
    if stream:
        return "drawn on demand and never stored"
    later = f"; the picture expert went on with {most - STORED:,} more, drawn on demand" if most > STORED else ""
    return f"{STORED:,} of {STORED // 10:,} identities{later}"


def _rows(title: str, scores: dict[str, Any]) -> list[str]:
    numbers = {name: value for name, value in scores.items() if isinstance(value, int | float)}
    rows = [f"| {name.replace('_', ' ')} | {value:.4g} |" for name, value in numbers.items()]
    return [f"\n## {title}\n\n| figure | value |\n|---|---|", *rows] if rows else []
