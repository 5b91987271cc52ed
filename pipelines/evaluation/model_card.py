"""What stands beside an adapter for whoever finds it without us: README.md with the scores, and a base model by name.

PEFT writes where the base model was loaded from; a path of this machine must not travel, and a name alone
does not say which weights were meant. So name and revision are put into `adapter_config.json` and the card here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pipelines.core.run_folder import checkpoint_folder, read_json, write_json
from pipelines.core.score_names import SCORE_NAMES


def base_identity(preset: str) -> tuple[str, str]:
    """Public name and revision of a preset's weights, the revision that is wanted where a run did not record which it
    found; it is empty for toy models."""
    # Imported here: each family is heavy, and only one of them is needed.
    if preset == "starter":
        from pipelines.models.starter.loading import NAME, revision

        return NAME, revision()
    from pipelines.models.hub_weights import MODELS, pinned

    if preset in MODELS:
        return MODELS[preset].repository, pinned(preset).revision
    return f"understudy/{preset}", ""


def write_model_card(run_dir: Path, entry: dict[str, Any]) -> None:
    """Finish a checkpoint's README.md and adapter_config.json; `entry` has its name, stage, step and scores."""
    folder = checkpoint_folder(run_dir, entry["name"])
    run = read_json(run_dir / "run.json")
    base, wanted = base_identity(run["recipe"]["base"])
    revision = run.get("weights", {}).get("revision") or wanted
    config = read_json(folder / "adapter_config.json")
    write_json(folder / "adapter_config.json", config | {"base_model_name_or_path": base, "revision": revision or None})
    (folder / "README.md").write_text(model_card(run, entry, base, revision), encoding="utf-8")


def model_card(run: dict[str, Any], entry: dict[str, Any], base: str, revision: str) -> str:
    """The model card: front matter that the Hub reads, then what a person wants to know."""
    recipe, character = run["recipe"], run["character"]
    licence = str(character.get("licence", "")).strip()
    front: dict[str, Any] = {
        "library_name": "peft",
        "base_model": base,
        "base_model_relation": "adapter",
        "tags": ["understudy", "lora", "role-play", "text-and-image"],
        "license": "other",
        "license_name": licence or "not stated",
    }
    method = "Unified-SFT" if entry["stage"] == "sft" else "Unified-SFT, then Character-GRPO"
    at = f" at revision `{revision}`" if revision else ""
    scores = "\n".join(
        f"| {key} | {value:.4g} | {SCORE_NAMES[key].definition} |"
        for key, value in entry["scores"].items()
        if key in SCORE_NAMES
    )
    return f"""---
{yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip()}
---

# {character["name"]}: {entry["name"]}

A LoRA adapter (rank {recipe["lora_rank"]}) that teaches `{base}`{at} to answer as
{character["name"]} and to draw them. Made by Understudy: {method}, step {entry["step"]}, seed {recipe["seed"]}.

Licence of the character's text and pictures: {licence or "not stated"}. The base model has its own.

| score | value | what it is |
|---|---|---|
{scores}

Scores are measured on the character's held-out split with fixed prompts and seeds; the base model's are in the run.

Talk with it: `understudy chat RUN:{entry["name"]}`.
"""
