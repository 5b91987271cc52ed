"""What stands beside an adapter for whoever finds it without us: README.md with the scores, and what its files are.

`adapter_config.json` names the base model and its revision from the first save on (`pipelines.core.model_identity`); an
adapter of version 0.1 may not, and gets them here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pipelines.core.model_identity import ModelIdentity, identity_in
from pipelines.core.run_folder import (
    REFERENCE_THUMBNAILS,
    REFERENCES_FILE,
    checkpoint_folder,
    read_json,
    write_json,
)
from pipelines.core.score_axes import trusted
from pipelines.core.score_names import SCORE_NAMES
from pipelines.models.hub_weights import MODELS
from pipelines.models.presets import identity_of

METHODS = {
    "start": "an earlier run, from which this one goes on",
    "sft": "Unified-SFT",
    "grpo": "Unified-SFT, then Character-GRPO",
}
NUMBERS = {2: "two", 3: "three", 4: "four"}


def write_model_card(run_dir: Path, entry: dict[str, Any]) -> None:
    """Finish a checkpoint's README.md and adapter_config.json; `entry` has its name, stage, step and scores."""
    folder = checkpoint_folder(run_dir, entry["name"])
    run, config = read_json(run_dir / "run.json"), read_json(folder / "adapter_config.json")
    base = identity_in(config)
    if not base.revision:
        base = identity_of(run["recipe"]["base"])
        write_json(
            folder / "adapter_config.json",
            config | {"base_model_name_or_path": base.name, "revision": base.revision},
        )
    references = len(list((folder / REFERENCE_THUMBNAILS).glob("*.jpg")))
    (folder / "README.md").write_text(model_card(run, entry, base, references), encoding="utf-8")


def model_card(run: dict[str, Any], entry: dict[str, Any], base: ModelIdentity, references: int) -> str:
    """The model card: front matter that the Hub reads, then what a person wants to know.

    references: how many reference images lie beside the adapter.
    """
    recipe, character = run["recipe"], run["character"]
    licence = str(character.get("licence", "")).strip()
    front: dict[str, Any] = {
        "library_name": "peft",
        "base_model": base.name,
        "base_model_relation": "adapter",
        "tags": ["understudy", "lora", "role-play", "text-and-image"],
        "license": "other",
        "license_name": licence or "not stated",
    }
    method = METHODS[entry["stage"]]
    seen = references_section(character["name"], references)
    scores = "\n".join(
        f"| {score.words} | {score.shown(entry['scores'][key])} | {score.definition} |"
        for key, score in SCORE_NAMES.items()
        if key in trusted(entry["scores"], entry.get("measurement", {}).get("counts", {}))
    )
    return f"""---
{yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip()}
---

# {character["name"]}: {entry["name"]}

A LoRA adapter (rank {recipe["lora_rank"]}) that teaches `{base.name}` at revision `{base.revision}` to answer as
{character["name"]} and to draw them. Made by Understudy: {method}, step {entry["step"]}, seed {recipe["seed"]}.

Licence of the character's text and pictures: {licence or "not stated"}. {base_licence(base.name)}
{seen}
| score | value | what it is |
|---|---|---|
{scores}

Scores are measured on the character's held-out split with fixed prompts and seeds; the base model's are in the run.
What would rest on too little is left out.

Talk with it: `understudy chat RUN:{entry["name"]}`.
"""


def base_licence(name: str) -> str:
    """What is known of the licence of a base model, by the name of its repository."""
    known = next((model.licence for model in MODELS.values() if model.repository == name), "")
    return f"The base model's: {known}." if known else "The base model has its own."


def references_section(name: str, count: int) -> str:
    """What the files of references are; empty without any."""
    if not count:
        return ""
    pictures = "a picture" if count == 1 else f"{NUMBERS.get(count, count)} pictures"
    return f"""
## Reference pictures

`{REFERENCES_FILE}` holds the codes of {pictures} of {name}, which the base model looks at wherever it draws: they say
who it is that is drawn, the words say what {name} does. `{REFERENCE_THUMBNAILS}/` shows the same small, for people; no
program reads it. PEFT loads the adapter without either, but then the pictures show {name} less surely. Both are of the
character's own pictures, under the licence above.
"""
