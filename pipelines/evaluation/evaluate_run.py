"""The scorecard of a run's checkpoints, the base first: `scores.json` and `samples/` in each.

What is measured is in `scorecard.py`. Left to itself only what the recipe meant to save is measured: a checkpoint that
somebody's stop made is a place to resume from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.core.character.character import TestSplit
from pipelines.core.character.character_folder import read_character, read_test_split
from pipelines.core.events import Event, Payload, Report
from pipelines.core.jobs.case_counts import CASES
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.model_identity import require_base
from pipelines.core.run_folder import (
    BASE,
    CHARACTER_FOLDER,
    SAMPLES_FOLDER,
    SCORES_FILE,
    START,
    RunError,
    adapters,
    checkpoint_folder,
    read_events,
    read_json,
    read_scores,
    saved_for,
    stage_and_step,
    write_json,
)
from pipelines.evaluation.model_card import write_model_card
from pipelines.evaluation.scorecard import EvalResult, eval_context, measure, voice_interval
from pipelines.inference.engine import InferenceEngine
from pipelines.inference.generate import sampling_of
from pipelines.inference.generate_images import contact_sheet, to_image
from pipelines.models.presets import identity_of
from pipelines.rewards.judge import load_judge

KEYS = ("name", "stage", "step", "scores", "measurement")
"""What `evaluate_run` returns of `scores.json`."""


def evaluate_run(
    run_dir: Path, names: Sequence[str], report: Report, again: bool = False, engine: InferenceEngine | None = None
) -> list[dict[str, Any]]:
    """Scores of the named checkpoints, each with KEYS; when none is named, of all that the recipe meant to save, with
    `again` of really all.

    A checkpoint that has `scores.json` is not measured again unless `again`. Events count what is measured, of all
    that the run will have. Raises RunError for an unknown name, or one that was trained on other weights of the base.
    """
    recipe = Recipe.from_json(read_json(run_dir / "run.json")["recipe"])
    there = [BASE, *adapters(run_dir)]
    unknown = [name for name in names if name not in there]
    if unknown:
        raise RunError(f"{run_dir} has no checkpoint {', '.join(unknown)}; it has {', '.join(there)}")
    files = {name: checkpoint_folder(run_dir, name) / SCORES_FILE for name in there}
    wanted = names or [name for name in there if again or files[name].is_file() or saved_for(run_dir, name) == "plan"]
    chosen = [name for name in there if name in wanted]
    todo = [name for name in chosen if again or not files[name].is_file()]
    if todo:
        require_base(run_dir, [name for name in todo if name != BASE], identity_of(recipe.base))
        folder = run_dir / CHARACTER_FOLDER
        judge = load_judge(recipe.base, recipe.effort)
        context = eval_context(folder, read_character(folder), read_test_split(folder) or TestSplit(), judge)
        engine = engine or InferenceEngine(recipe.base)
    total = len(chosen) if again else max(recipe.checkpoint_count + (START in there), len(chosen))
    for number, name in enumerate(todo, start=1 + len(chosen) - len(todo)):
        assert engine is not None
        adapter = checkpoint_folder(run_dir, name)
        if name != BASE:
            engine.add(name, adapter)
        with engine.using(name) as model:
            codes = engine.encode_references(context.reference_files)
            sampling, cases = sampling_of(recipe), CASES[recipe.effort]
            result = measure(model, engine.tokenizer, context, judge, sampling, codes, cases)
        scores, artifacts = _write_result(run_dir, name, result)
        if name != BASE:
            engine.drop(name)
        relative = tuple(str(path.relative_to(run_dir)) for path in artifacts)
        report(
            Event(
                "evaluate",
                number,
                total,
                metrics=scores,
                note=name,
                artifacts=relative,
                payload=Payload(checkpoint=name),
            )
        )
    entries = [read_scores(run_dir, name) or {} for name in chosen]
    return [{key: value for key, value in entry.items() if key in KEYS} for entry in entries]


def _write_result(run_dir: Path, name: str, result: EvalResult) -> tuple[dict[str, float], list[Path]]:
    """Leave what was measured in the checkpoint's folder; returns its scores and the files."""
    folder = checkpoint_folder(run_dir, name)
    stage, step = stage_and_step(name)
    reward = mean_step_reward(run_dir, name)
    scores = result.scores | ({} if reward is None else {"reward": reward})
    artifacts = _save_samples(folder / SAMPLES_FOLDER, result)
    entry = {"name": name, "stage": stage, "step": step, "scores": scores, "measurement": _measurement(run_dir, result)}
    said = {"replies": result.replies, "talk": result.talk, "likelihoods": result.likelihoods}
    write_json(folder / SCORES_FILE, entry | said)
    if name != BASE:
        write_model_card(run_dir, entry)
    return scores, [*artifacts, folder / SCORES_FILE]


def _measurement(run_dir: Path, result: EvalResult) -> dict[str, Any]:
    """What the scores rest on and how sure they are, as plain values."""
    intervals = {axis: list(low_high) for axis, low_high in result.intervals.items()}
    base = read_scores(run_dir, BASE)  # None for the base itself, which is measured first
    voice = voice_interval(result.likelihoods, [tuple(row) for row in (base or {}).get("likelihoods", [])])
    return {"counts": result.counts, "intervals": intervals | ({"voice": list(voice)} if voice else {})}


def _save_samples(folder: Path, result: EvalResult) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    images = [to_image(pixels) for _, pixels in result.images]
    paths = [folder / f"{number:02d}.png" for number in range(1, len(images) + 1)]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    sheet = folder / "sheet.png"
    contact_sheet(images, [label for label, _ in result.images]).save(sheet)
    return [*paths, sheet]


def mean_step_reward(run_dir: Path, name: str) -> float | None:
    """Mean reward of the GRPO steps between the checkpoint before and this one; None for other stages."""
    stage, step = stage_and_step(name)
    if stage != "grpo":
        return None
    earlier = [s for s in (stage_and_step(other)[1] for other in adapters(run_dir, "grpo")) if s < step]
    after = max(earlier, default=0)
    # A resumed run repeats steps: the last event of a step counts.
    rewards = {e.step: e.metrics["reward"] for e in read_events(run_dir) if e.stage == "grpo" and "reward" in e.metrics}
    own = [value for at, value in rewards.items() if after < at <= step]
    return sum(own) / len(own) if own else None
