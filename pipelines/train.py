"""A run from beginning to end: prepare -> Unified-SFT -> Character-GRPO -> evaluate -> save, in one run folder.

    python -m pipelines.train RUN [--events]      run or resume a prepared run folder
    accelerate launch -m pipelines.train RUN      the same on several GPUs

`prepare_run` makes the folder, `train` works in it; both are what `understudy train` and the worker use. With
`--events` each event is a line of JSON on standard output. SIGTERM or Ctrl-C stops after the step at hand and keeps
everything learnt; a second one kills. Exit status: 0 complete (result.json is there), 1 failed, 2 wrong usage,
3 stopped and kept.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import platform
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelines.core.character.character import Character, CharacterImage, TestSplit
from pipelines.core.character.character_folder import (
    IMAGES,
    TEST_IMAGES,
    ImageSource,
    read_character,
    read_test_split,
    write_character,
    write_test_split,
)
from pipelines.core.character.held_out_split import hold_out, with_held_out
from pipelines.core.character.image_decode import clean_image
from pipelines.core.character.serialize import character_to_entries
from pipelines.core.character.text_pictures import with_clean_texts
from pipelines.core.checkpoint_selection import FAULTS, choose_best
from pipelines.core.events import Event, Payload, Report, Stopped, leaves_unsaved
from pipelines.core.full_disk import full_words, is_full
from pipelines.core.jobs.durations import working_seconds
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.model_identity import require_base
from pipelines.core.process_memory import give_back_freed_memory
from pipelines.core.run_folder import (
    CHARACTER_FOLDER,
    RESULT_FILE,
    START,
    RunError,
    TrainerExit,
    adapters,
    checkpoint_folder,
    checkpoint_name,
    ends_stage_early,
    read_events,
    read_json,
    read_result,
    repair_event_log,
    saved_for,
    savings_of,
    step_over_damaged,
    write_exit,
    write_json,
)
from pipelines.models.hub_weights import WeightsMissing

COMPLETE, FAILED, STOPPED = 0, 1, 3
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")


def prepare_run(run_dir: Path, character_dir: Path, recipe: Recipe) -> None:
    """Make a run folder from a character folder, whose pictures are stripped of metadata on the way.

    Raises CharacterProblems, or RunError when the run folder is in use.
    """
    character, split = with_clean_texts(read_character(character_dir)), with_clean_texts(read_test_split(character_dir))
    character = character if split else with_held_out(character)
    images = _clean_images(character_dir / IMAGES, character.images, character.input_images)
    test_images = _clean_images(character_dir / TEST_IMAGES, split.images, split.input_images) if split else {}
    write_run(run_dir, character, split, recipe, images, test_images)


def write_run(
    run_dir: Path,
    character: Character,
    split: TestSplit | None,
    recipe: Recipe,
    images: ImageSource,
    test_images: ImageSource,
) -> None:
    """Make a run folder: the character, its held-out split and their pictures, `run.json` last.

    Pictures are written as they are given. Without a split a few conversations and pictures are held out here.
    Raises CharacterProblems, or RunError when the folder is in use.
    """
    if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise RunError(f"{run_dir} is not empty; name a new folder, or add --resume if a run was begun there")
    if split is None:
        (character, split), test_images = hold_out(character), images  # what is held out came among the others
    folder = run_dir / CHARACTER_FOLDER
    write_test_split(split, folder, test_images)
    write_character(character, folder, images)
    versions = {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
    write_json(
        run_dir / "run.json",
        {
            "recipe": recipe.to_json(),
            "character": character_to_entries(character),
            "versions": versions,
            "seeds": {"train": recipe.seed},
            "made": _now(),
        },
    )


def _clean_images(folder: Path, images: Iterable[CharacterImage], shown: Iterable[str]) -> dict[str, bytes]:
    # Where and when a photo was taken has no place in a run folder, which may be shared.
    files = [*(image.file for image in images), *shown]
    return {file: clean_image((folder / file).read_bytes()) for file in files}


def train(run_dir: Path, report: Report = lambda event: None, resume: bool = True) -> dict[str, Any]:
    """Run the whole recipe in a prepared folder and return what `result.json` holds.

    A folder with complete checkpoints is gone on with from the last one; with `resume` False it is refused.
    `report` gets every event after it is written to `events.jsonl`, and raises Stopped to stop and keep. RunError when
    its checkpoints were trained on other weights of the base model than those that are here.
    """
    give_back_freed_memory()
    recipe = Recipe.from_json(read_json(run_dir / "run.json")["recipe"])
    if not resume and [name for name in adapters(run_dir) if name != START]:
        raise RunError(f"{run_dir} already has checkpoints; add --resume to go on with it")
    finished = read_result(run_dir)
    if finished is not None:
        return finished

    # Of several processes none may rename what others read; the worker has looked before it starts them.
    damaged = step_over_damaged(run_dir) if os.environ.get("WORLD_SIZE", "1") == "1" else []
    kept = adapters(run_dir)
    if kept:
        from pipelines.models.presets import identity_of

        require_base(run_dir, kept, identity_of(recipe.base))
    # With several processes the first reports and scores; the other ranks only train.
    first = _is_first_process()
    record = recorder(run_dir, report) if first else lambda event: None
    damage = Payload(stepped_over=damaged) if damaged else Payload()
    record(Event("prepare", note="reading the character and the model", payload=damage))
    from pipelines.evaluation.evaluate_run import evaluate_run  # takes seconds, so after the first event

    character = read_character(run_dir / CHARACTER_FOLDER)
    _sft(run_dir, character, recipe, record)
    if first and recipe.sft_steps and recipe.grpo_steps:  # so that people see pictures while stage 2 runs
        evaluate_run(run_dir, (), record)
    _grpo(run_dir, character, recipe, record)
    if not first:
        return {}
    checkpoints = evaluate_run(run_dir, (), record)
    best = choose_best([one for one in checkpoints if saved_for(run_dir, one["name"]) == "plan"])
    wrong = "; ".join(FAULTS[fault] for fault in best.faults)
    note = f"the nearest is {best.name}, but {wrong}" if wrong else f"the best checkpoint is {best.name}"
    chosen = Payload(best=best.name, best_faults=list(best.faults))
    record(Event("save", 0, 1, note=note, payload=chosen))
    result = {
        "run": str(run_dir),
        **stage_totals(read_events(run_dir)),
        "best": best.name,
        "best_faults": list(best.faults),
        "checkpoints": checkpoints,
    }
    write_json(run_dir / RESULT_FILE, result)
    record(Event("save", 1, 1, note=note, artifacts=(RESULT_FILE,), payload=chosen))
    return result


def _sft(run_dir: Path, character: Character, recipe: Recipe, report: Report) -> None:
    """Stage 1, unless its last checkpoint is there."""
    there = adapters(run_dir, "sft")
    if not recipe.sft_steps or _is_over(run_dir, "sft", recipe.sft_steps, there):
        return
    from transformers import set_seed

    from pipelines.models.device_memory import free_gpu_memory, plan_for_this_device, record_weights
    from pipelines.models.presets import load
    from pipelines.training.sft import run_sft

    plan = plan_for_this_device(recipe, savings_of(run_dir))
    set_seed(recipe.seed)  # the adapter's first values are drawn from the global generator
    model, tokenizer = load(recipe.base, plan.bits)
    record_weights(run_dir, recipe.base, plan)
    resume_from = checkpoint_folder(run_dir, there[-1]) if there else None
    start = checkpoint_folder(run_dir, START) if START in adapters(run_dir) else None
    run_sft(model, tokenizer, character, recipe, run_dir, report, resume_from, plan.sft, start)
    del model
    free_gpu_memory()


def _is_over(run_dir: Path, stage: str, steps: int, there: Sequence[str]) -> bool:
    """Whether the stage has its last checkpoint, or ended before it."""
    return checkpoint_name(stage, steps) in there or (bool(there) and ends_stage_early(run_dir, there[-1]))


def _grpo(run_dir: Path, character: Character, recipe: Recipe, report: Report) -> None:
    """Stage 2, unless its last checkpoint is there; starts from stage 1's last adapter, or from `start`."""
    there = adapters(run_dir, "grpo")
    if not recipe.grpo_steps or _is_over(run_dir, "grpo", recipe.grpo_steps, there):
        return
    from peft import PeftModel, get_peft_model
    from transformers import set_seed

    from pipelines.models.device_memory import free_gpu_memory, plan_for_this_device, record_weights
    from pipelines.models.presets import load
    from pipelines.rewards.judge import load_judge
    from pipelines.training.grpo import make_trainer, run_grpo
    from pipelines.training.sft_loss import lora_config

    plan = plan_for_this_device(recipe, savings_of(run_dir))
    set_seed(recipe.seed)
    model, tokenizer = load(recipe.base, plan.bits)
    record_weights(run_dir, recipe.base, plan)
    learnt = adapters(run_dir, START) + adapters(run_dir, "sft")
    if learnt:
        start = str(checkpoint_folder(run_dir, learnt[-1]))
        student = PeftModel.from_pretrained(model, start, is_trainable=True)
    else:
        student = get_peft_model(model, lora_config(model, recipe))
    resume_from = checkpoint_folder(run_dir, there[-1]) if there else None
    judge = load_judge(recipe.base, recipe.effort)
    trainer = make_trainer(student, tokenizer, character, recipe, run_dir, judge, report, plan.grpo)
    run_grpo(trainer, resume_from)
    del model, student, judge, trainer
    free_gpu_memory()


def recorder(run_dir: Path, report: Report) -> Report:
    """A report that numbers and dates each event, appends it to `events.jsonl` and hands it on."""
    written = repair_event_log(run_dir)

    def record(event: Event) -> None:
        nonlocal written
        event = replace(event, sequence=written, time=_now())
        with (run_dir / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(event.to_line())
        written += 1
        report(event)

    return record


def stage_totals(events: Sequence[Event]) -> dict[str, Any]:
    """Seconds of the run and seconds, steps and tokens of its two training stages, over all attempts.

    Time between two events of one attempt belongs to the later one's stage; an attempt begins with a `prepare` event.
    Tokens are learned (sft) or sampled (grpo) positions, each step counted once.
    """
    seconds = dict.fromkeys(("prepare", "sft", "grpo", "evaluate", "save"), 0.0)
    for before, after in itertools.pairwise(events):
        if after.stage != "prepare":
            seconds[after.stage] += working_seconds(before.time, after.time)
    stages = {}
    for stage in ("sft", "grpo"):
        own = [event for event in events if event.stage == stage and "tokens" in event.metrics]
        steps = {event.step: event.metrics["tokens"] for event in own}
        if steps:
            tokens = int(sum(steps.values()))
            stages[stage] = {"seconds": round(seconds[stage], 1), "steps": max(steps), "tokens": tokens}
    return {"seconds": round(sum(seconds.values()), 1), "stages": stages}


def _is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"  # set by `accelerate launch`


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


@contextlib.contextmanager
def stop_on_signals(is_unsaved: Callable[[], bool] = lambda: True) -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether SIGINT or SIGTERM came; the second one has its usual, deadly effect.

    Where nothing is unsaved (the model is being loaded, a checkpoint is being measured) the first one raises Stopped at
    once: what it interrupts is done again, and whatever swallows the exception is stopped by the next report.
    """
    asked: list[int] = []

    def note(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(number, signal.SIG_DFL)
        # Of several processes all have to stop at the same step.
        if not is_unsaved() and os.environ.get("WORLD_SIZE", "1") == "1":
            print("Stopping: all that was learned is saved.", file=sys.stderr, flush=True)
            raise Stopped
        print("Stopping after this step, which is saved; once more to kill.", file=sys.stderr, flush=True)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_as_process(run_dir: Path, events: bool, work: Callable[[Report], object]) -> int:
    """Do `work` as a process of its own: a signal stops it and keeps; returns the exit status.

    events: print each event as a line of JSON on standard output.
    """
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") if events else None
    unsaved = False
    # Libraries print as well: with `events` standard output carries events only.
    quiet = contextlib.redirect_stdout(sys.stderr) if lines else contextlib.nullcontext()
    with quiet, stop_on_signals(lambda: unsaved) as asked:

        def report(event: Event) -> None:
            nonlocal unsaved
            unsaved = leaves_unsaved(event)
            if lines:
                lines.write(event.to_line())
                lines.flush()
            if asked():
                raise Stopped

        ended = TrainerExit(COMPLETE)
        try:
            work(report)
        except Stopped:
            print(f"stopped; kept in {run_dir}", file=sys.stderr)
            ended = TrainerExit(STOPPED)
        except RunError as error:
            ended = TrainerExit(FAILED, str(error))
        except WeightsMissing as error:
            ended = TrainerExit(FAILED, f"The base model is not there. {error}")
        except Exception as error:
            from pipelines.models.device_memory import is_out_of_memory

            if not is_out_of_memory(error) and not is_full(error):
                raise
            traceback.print_exc()
            ended = TrainerExit(FAILED, cause="memory")
            if is_full(error):
                ended = TrainerExit(FAILED)
                print(full_words(run_dir, "the training could not save"), file=sys.stderr)
    if ended.reason:
        print(f"pipelines.train: {ended.reason}", file=sys.stderr)
    if _is_first_process():
        write_exit(run_dir, ended)
    return ended.status


def main(argv: Sequence[str] | None = None) -> int:
    """Run or resume a run folder; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.train", description="Run or resume a run folder.")
    parser.add_argument("run_dir", metavar="RUN", type=Path)
    parser.add_argument("--events", action="store_true", help="print each event as a line of JSON on standard output")
    arguments = parser.parse_args(argv)
    return run_as_process(arguments.run_dir, arguments.events, lambda report: train(arguments.run_dir, report))


if __name__ == "__main__":
    sys.exit(main())
