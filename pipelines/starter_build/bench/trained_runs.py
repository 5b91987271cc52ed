"""The characters that the benchmark trains, each once: own-art, characters and replies share them.

They go through the real run path: `prepare_run`, then `train`, in OUT/runs/NAME. An interrupted training goes on; one
made with other weights, another recipe or another character is removed and made anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from pipelines.core.character.character import Character
from pipelines.core.character.character_folder import read_character
from pipelines.core.events import Event
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.run_folder import CHARACTER_FOLDER, read_json, read_result, write_json
from pipelines.inference.engine import InferenceEngine, find_checkpoint
from pipelines.models.presets import identity_of
from pipelines.starter_build.bench.bench_context import BenchContext
from pipelines.starter_build.own_art.sets import SETS, TEXTS, write_folder
from pipelines.train import prepare_run, train

SAID_EVERY = 12
"""Steps of a training of which one is told."""


def bench_recipe(context: BenchContext) -> Recipe:
    """The recipe of `quick`, with the changes of these counts."""
    return Recipe.for_effort(context.base, "quick", **context.counts.recipe)


def shortened_note(context: BenchContext) -> tuple[str, ...]:
    """A note where less is trained than `quick` does."""
    recipe = context.counts.recipe
    if not recipe:
        return ()
    changes = ", ".join(f"{name} {value}" for name, value in recipe.items())
    return (f"trained for less than `quick` ({changes}): the goals are for the whole recipe",)


def run_folder(context: BenchContext, name: str, recipe: Recipe, character: str = "") -> Path:
    """OUT/runs/NAME for a training with that recipe; what is there of another one is removed.

    character: a hash or words for what is learned.
    """
    folder = context.out / "runs" / name
    file = folder.with_name(f"{name}.json")
    key = {"revision": asdict(identity_of(context.base)), "recipe": recipe.to_json(), "character": character}
    if folder.exists() and (not file.is_file() or read_json(file) != json.loads(json.dumps(key))):
        context.say(f"{name}: weights, recipe or character changed, so it is trained anew")
        shutil.rmtree(folder)
    write_json(file, key)
    return folder


def trained_run(context: BenchContext, slug: str) -> Path:
    """The run folder of a bundled character or a set of own art, trained if it is not yet."""
    recipe = bench_recipe(context)
    source = context.out / "own-art" / slug if slug in SETS else bundled_folder(slug)
    if slug in SETS and not (source / "character.yaml").is_file():
        write_folder(slug, source)
    run = run_folder(context, slug, recipe, texts_hash(slug))
    if not (run / "run.json").is_file():
        shutil.rmtree(run, ignore_errors=True)
        prepare_run(run, source, recipe)
    if read_result(run) is None:
        context.say(f"{slug}: training")
        context.release()
        train(run, _told(context.say, slug))
    return run


def texts_hash(slug: str) -> str:
    """Of the texts of a character, held-out ones included: another text is another training, and another reading."""
    texts = [
        SETS[slug].text(document) if slug in SETS else (bundled_folder(slug) / document).read_text(encoding="utf-8")
        for document in TEXTS
    ]
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:12]


def run_settings(context: BenchContext, slugs: Sequence[str]) -> dict[str, Any]:
    """What decides the drawings and replies of trained characters."""
    return {"recipe": bench_recipe(context).to_json(), "characters": {slug: texts_hash(slug) for slug in slugs}}


def bundled_folder(slug: str) -> Path:
    """The folder of a character that comes with the project."""
    return Path(str(files("pipelines.core").joinpath("bundled"))) / slug


def trained_engine(context: BenchContext, run: Path) -> tuple[InferenceEngine, str]:
    """(the context's engine, the name in it of the run's best checkpoint)."""
    best = find_checkpoint(str(run))
    if best.adapter is not None and run.name not in context.engine.names():
        context.engine.add(run.name, best.adapter)
    return context.engine, run.name if best.adapter is not None else best.name


def run_recipe(run: Path) -> Recipe:
    """The recipe that a run was trained with."""
    return Recipe.from_json(read_json(run / "run.json")["recipe"])


def run_character(run: Path) -> Character:
    """The character as the run learned it."""
    return read_character(run / CHARACTER_FOLDER)


def _told(say: Callable[[str], None], slug: str) -> Callable[[Event], None]:
    def report(event: Event) -> None:
        if event.stage not in ("sft", "grpo") or event.step % SAID_EVERY == 0 or event.step == event.total:
            numbers = f" loss {event.metrics['loss']:.3g}" if "loss" in event.metrics else ""
            say(f"{slug}: {event.stage} {event.step}/{event.total}{numbers} {event.note}".rstrip())

    return report
