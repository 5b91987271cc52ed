"""From a build's parts to the shipped weights: safetensors, graders, model card and sample sheet.

The part `pack` of the build. It writes to `pipelines/models/starter/weights/`, which `loading.py` reads. A build that
has trained the graders alone adds them to the weights that are there.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from pipelines.evaluation.graders import GRADERS, WEIGHTS_FILE
from pipelines.models.starter.loading import REVISION_FILE, WEIGHTS, compute_revision
from pipelines.models.starter.model import StarterModel
from pipelines.rewards.starter_critic import StarterCritic
from pipelines.starter_build.build_config import BuildSize
from pipelines.starter_build.load_build import assemble_starter, has_parts, load_build_critic
from pipelines.starter_build.measure import measure_all
from pipelines.starter_build.measure_graders import main as measure_graders_of
from pipelines.starter_build.starter_card import starter_model_card, with_grader_tables

LIMIT_BYTES = 75 * 10**6
"""Most bytes of everything in weights/."""
DOCS_IMAGES = Path(__file__).resolve().parents[2] / "docs" / "pictures"


def export_weights(out: Path, size: BuildSize, hardware: str) -> dict[str, Any]:
    """Write weights/ with its card and sample sheet from the parts in `out`; returns the files' sizes in bytes.

    Parts that changed since they were measured are measured first, with the quick counts. Where `out` has no starter,
    only graders, these are added to the shipped weights and their figures to the card.
    """
    measure_graders_of(["--build", str(out)])
    if not has_parts(out):
        write_graders(out)
        card = WEIGHTS / "CARD.md"
        card.write_text(with_grader_tables(card.read_text(encoding="utf-8"), out), encoding="utf-8")
        return {"sizes": write_sizes(WEIGHTS)}
    if not is_measured(out):  # so that a card never has figures of other weights
        measure_all(out, size, quick=True)
    model, _ = assemble_starter(out, size=size)
    write_weights(model, load_build_critic(out))
    write_graders(out)
    sizes = write_sizes(WEIGHTS)
    for name, target in (("sheet.png", WEIGHTS), ("likeness.png", DOCS_IMAGES)):
        if (out / name).exists() and target.is_dir():
            shutil.copy(out / name, target / name)
    (WEIGHTS / "CARD.md").write_text(starter_model_card(out, sizes, hardware), encoding="utf-8")
    return {"sizes": sizes}


def write_weights(
    model: StarterModel, critic: StarterCritic, folder: Path = WEIGHTS, limit_bytes: int = 15 * 2**20
) -> dict[str, int]:
    """Write the parts of our own and the critic in bf16, in files below `limit_bytes`; returns their sizes in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("starter-*.safetensors"):
        old.unlink()
    shards: list[dict[str, torch.Tensor]] = [{}]
    shard_bytes = 0
    for key, value in model.state_dict().items():
        if key.startswith("language."):  # SmolLM2's, fetched from its package instead
            continue
        rounded = value.to(torch.bfloat16) if value.is_floating_point() else value
        if shard_bytes + rounded.nbytes > limit_bytes:
            shards.append({})
            shard_bytes = 0
        shards[-1][key] = rounded.contiguous()
        shard_bytes += rounded.nbytes
    for number, shard in enumerate(shards, start=1):
        save_file(shard, folder / f"starter-{number:02d}-of-{len(shards):02d}.safetensors")
    (folder / REVISION_FILE).write_text(compute_revision(folder) + "\n", encoding="ascii")
    model.config.save_pretrained(folder)
    critic.to(torch.bfloat16).save_pretrained(folder / "critic")
    return write_sizes(folder)


def write_graders(out: Path, folder: Path = WEIGHTS, limit_bytes: int = LIMIT_BYTES) -> dict[str, int]:
    """Copy what `out` has of classifier and identity encoder, in bf16 as trained; returns their sizes in bytes.

    Raises ValueError, and copies nothing, if the folder would grow over `limit_bytes`.
    """
    trained = {name: out / name / "model" for name in GRADERS if (out / name / "model" / WEIGHTS_FILE).is_file()}
    kept = [file for file in folder.rglob("*") if file.is_file() and file.relative_to(folder).parts[0] not in trained]
    size = sum(file.stat().st_size for file in kept)
    size += sum(file.stat().st_size for source in trained.values() for file in source.iterdir())
    if size > limit_bytes:
        raise ValueError(f"with the graders {folder} would have {size} bytes, {limit_bytes} bytes are allowed")
    for name, source in trained.items():
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(source, folder / name)
    return {f"{name}/{WEIGHTS_FILE}": (folder / name / WEIGHTS_FILE).stat().st_size for name in trained}


def write_sizes(folder: Path) -> dict[str, int]:
    """Write sizes.json: every file of weights -> bytes."""
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
