"""The run folder: names, what counts as complete, and how files get there without being half written.

    RUN/run.json       recipe, character snapshot, versions        RUN/character/   the character folder, copied
    RUN/events.jsonl   one event a line                            RUN/result.json  written last
    RUN/exit.json      how the trainer's process ended, unless it was killed
    RUN/checkpoints/base, start, sft-000060, grpo-000008, each with scores.json and samples/*.png

A checkpoint folder appears under its name only when everything in it is written: a stage writes to
`partial_folder(...)` and calls `finish_checkpoint`. `base` has scores and samples but no adapter.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.core.checkpoint_sums import damaged_files, write_sums
from pipelines.core.durable import replace_durably
from pipelines.core.events import Event
from pipelines.core.renamed_keys import run_result_keys

BASE = "base"
"""Name of the checkpoint that is the model before training."""
START = "start"
"""Name of the checkpoint of an earlier training that a run goes on from; its steps are the earlier one's."""
CHARACTER_FOLDER = "character"
CHECKPOINTS = "checkpoints"
RESULT_FILE = "result.json"
SCORES_FILE = "scores.json"
SAVED_FILE = "saved.json"
"""In a checkpoint at whose step the recipe saves nothing: who made it, a stop or the early end of its stage."""
SAMPLES_FOLDER = "samples"
EXIT_FILE = "exit.json"
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
"""Files without which a checkpoint is no adapter."""
REFERENCES_FILE = "references.safetensors"
"""Beside an adapter whose base model looks at pictures of the character while it draws: their codes."""
REFERENCE_THUMBNAILS = "references"
"""The same pictures small, for people."""
_NAME = re.compile(r"(sft|grpo)-(\d{6})|start")


class RunError(Exception):
    """A run folder that cannot be used; the text names the folder or file and what to do."""


def checkpoint_name(stage: str, step: int) -> str:
    """The folder name of a checkpoint: `sft-000060`."""
    return f"{stage}-{step:06d}"


def stage_and_step(name: str) -> tuple[str, int]:
    """The inverse of `checkpoint_name`; ("base", 0) and ("start", 0). ValueError for any other name."""
    if name in (BASE, START):
        return name, 0
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not a checkpoint name such as base, sft-000060 or grpo-000008")
    return match[1], int(match[2])


def checkpoint_folder(run_dir: Path, name: str) -> Path:
    """Where the checkpoint of that name is or will be."""
    return run_dir / CHECKPOINTS / name


def partial_folder(run_dir: Path, stage: str, step: int) -> Path:
    """A fresh empty folder to write a checkpoint into; remains of an earlier attempt are removed."""
    folder = checkpoint_folder(run_dir, f".partial-{checkpoint_name(stage, step)}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def finish_checkpoint(run_dir: Path, stage: str, step: int) -> Path:
    """Give a written partial folder its name, in one rename; a checkpoint of the same name is replaced."""
    name = checkpoint_name(stage, step)
    final, partial = checkpoint_folder(run_dir, name), checkpoint_folder(run_dir, f".partial-{name}")
    write_sums(partial)
    if final.exists():
        set_aside(run_dir, name, "old")
    replace_durably(partial, final)
    shutil.rmtree(checkpoint_folder(run_dir, f".old-{name}"), ignore_errors=True)
    return final


def set_aside(run_dir: Path, name: str, why: Literal["old", "damaged"] = "damaged") -> None:
    """Take a checkpoint out of the run without deleting it: `.damaged-NAME` beside the others."""
    aside = checkpoint_folder(run_dir, f".{why}-{name}")
    shutil.rmtree(aside, ignore_errors=True)
    replace_durably(checkpoint_folder(run_dir, name), aside)
    if why == "damaged":  # what was concluded from it does not hold any more
        (run_dir / RESULT_FILE).unlink(missing_ok=True)


def step_over_damaged(run_dir: Path) -> list[str]:
    """Set damaged checkpoints aside, so that the run goes on from the one before; returns their names.

    RunError when the one that the run began with is damaged.
    """
    found = [name for name in adapters(run_dir) if damaged_files(checkpoint_folder(run_dir, name))]
    for name in found:
        if name == START:
            raise RunError(start_damaged(run_dir))
        set_aside(run_dir, name)
    return found


def start_damaged(run_dir: Path) -> str:
    """What is said when a run cannot go on since its `start` is damaged."""
    folder = checkpoint_folder(run_dir, START)
    return f"{folder}, which this training began with, is damaged: continue the earlier one again"


def adapters(run_dir: Path, stage: str = "") -> list[str]:
    """Names of complete checkpoints that have an adapter, oldest first (start, sft, grpo), of one stage or all."""
    root = run_dir / CHECKPOINTS
    names = [folder.name for folder in root.iterdir() if folder.is_dir()] if root.is_dir() else []
    found = [
        name
        for name in names
        if _NAME.fullmatch(name)
        and stage in ("", stage_and_step(name)[0])
        and all((root / name / file).is_file() for file in ADAPTER_FILES)
    ]
    order = {START: 0, "sft": 1, "grpo": 2}
    return sorted(found, key=lambda name: (order[stage_and_step(name)[0]], name))


def saved_for(run_dir: Path, name: str) -> Literal["plan", "stop"]:
    """Why a checkpoint was saved: because somebody stopped the run, or as a state that the run itself ends with."""
    return "stop" if _saved_file(run_dir, name).get("saved_for") == "stop" else "plan"


def ends_stage_early(run_dir: Path, name: str) -> bool:
    """Whether the stage of this checkpoint ended with it, before its last step."""
    return "ended_early" in _saved_file(run_dir, name)


def _saved_file(run_dir: Path, name: str) -> dict[str, Any]:
    path = checkpoint_folder(run_dir, name) / SAVED_FILE
    return read_json(path) if path.is_file() else {}


def loadable_files(files: Mapping[str, str]) -> dict[str, str]:
    """Of a checkpoint's files (path -> anything) those that a program needs to use its adapter."""
    return {name: files[name] for name in (*ADAPTER_FILES, REFERENCES_FILE) if name in files}


def usable_files(files: Mapping[str, str]) -> dict[str, str]:
    """`loadable_files`, and what tells people about them: without scores, samples and state for resuming."""
    told = (name for name in files if name == "README.md" or name.startswith(f"{REFERENCE_THUMBNAILS}/"))
    return loadable_files(files) | {name: files[name] for name in told}


def scale_adapter(folder: Path, strength: float) -> None:
    """Multiply what a PEFT LoRA in `folder` adds by `strength`, in its config alone: alpha is linear in it.

    RunError for a folder without an adapter's config.
    """
    path = folder / ADAPTER_FILES[0]
    config = read_json(path)
    config["lora_alpha"] *= strength
    config["alpha_pattern"] = {name: alpha * strength for name, alpha in (config.get("alpha_pattern") or {}).items()}
    write_json(path, config)


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object; RunError naming the file when it is missing or damaged."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path} does not exist: is {path.parent} a run folder, as training makes them?") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read ({error}); restore it or train again into a new folder") from error
    if not isinstance(data, dict):
        raise RunError(f"{path} does not hold a JSON object; restore it or train again into a new folder")
    return data


def read_result(run_dir: Path) -> dict[str, Any] | None:
    """What `result.json` holds, scores under today's names; None while the run is not complete."""
    path = run_dir / RESULT_FILE
    return run_result_keys(read_json(path)) if path.is_file() else None


def read_scores(run_dir: Path, name: str) -> dict[str, Any] | None:
    """A checkpoint's `scores.json` (name, stage, step, scores, replies), scores under today's names.

    None while it has not been measured.
    """
    path = checkpoint_folder(run_dir, name) / SCORES_FILE
    return run_result_keys(read_json(path)) if path.is_file() else None


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write so that a reader or a crash sees the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False, indent=1)
        file.write("\n")
    replace_durably(fresh, path)


def savings_of(run_dir: Path) -> int:
    """By how many steps the memory plan of this run is to be smaller than planned (`memory_plan.smaller_plan`)."""
    return int(read_json(run_dir / "run.json").get("savings", 0))


def set_savings(run_dir: Path, savings: int) -> None:
    """Make the steps of a run smaller, since it ran out of memory."""
    if savings_of(run_dir) != savings:
        write_json(run_dir / "run.json", read_json(run_dir / "run.json") | {"savings": savings})


@dataclass(frozen=True)
class TrainerExit:
    """How `pipelines.train` ended as it says itself; a launcher in front of it has an exit status of its own."""

    status: int
    """Exit status of its first process, as `pipelines.train` documents them."""
    reason: str = ""
    """Why it failed, when the trainer itself knows."""
    cause: Literal["", "memory"] = ""
    """"memory" when it ran out of it."""


def write_exit(run_dir: Path, ended: TrainerExit) -> None:
    """Leave word of the end in the run folder; nothing when there is no such folder, or no room for it."""
    if run_dir.is_dir():
        with contextlib.suppress(OSError):  # the process's own exit status still tells
            write_json(run_dir / EXIT_FILE, asdict(ended))


def read_exit(run_dir: Path) -> TrainerExit | None:
    """How the last trainer in this folder ended; None when it was killed, or has not ended."""
    path = run_dir / EXIT_FILE
    return TrainerExit(**read_json(path)) if path.is_file() else None


def clear_exit(run_dir: Path) -> None:
    """Before a trainer starts: what an earlier one left is no word of this one."""
    (run_dir / EXIT_FILE).unlink(missing_ok=True)


def read_events(run_dir: Path) -> list[Event]:
    """All whole lines of `events.jsonl`; a last line cut off by a crash is left out."""
    path = run_dir / "events.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [Event.from_line(line) for line in lines[:-1] if line]


def repair_event_log(run_dir: Path) -> int:
    """Cut off a half-written last line, so that appending is safe; returns how many events remain."""
    path = run_dir / "events.jsonl"
    if path.is_file():
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            os.truncate(path, len(whole))  # written anew, all of it would be lost where the disk is full
    return len(read_events(run_dir))
