"""`understudy train`: one character folder in, one run folder out, with live progress.

Ctrl-C once stops after the present step and saves a checkpoint that `--resume` continues from; twice kills it. With
`--queue` a worker trains instead, possibly on another host, and there is no run folder here: see `follow_job.py`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from pipelines.commands.console import (
    CommandFailed,
    CommandResult,
    WrongUsage,
    best_words,
    character_folder,
    say,
    scorecard,
)
from pipelines.commands.follow_job import train_in_queue
from pipelines.commands.progress import progress
from pipelines.commands.recipe_flags import add_set_flag, recipe_overrides
from pipelines.core.command_line import as_typed
from pipelines.core.events import Event, Stopped, leaves_unsaved
from pipelines.core.full_disk import RUN_GB, lacking_at
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.process_memory import peak_memory_bytes


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the command on the command line."""
    command = commands.add_parser("train", parents=[shared], help="teach one character to the model")
    command.add_argument("character", metavar="CHARACTER_DIR", help="character folder, or the name of a bundled one")
    command.add_argument("--out", metavar="RUN", type=Path, help="run folder, made if missing")
    command.add_argument("--queue", action="store_true", help="have a worker do it, without --out (where `up` runs)")
    command.add_argument("--base", default="starter", help="preset of the base model (default: starter)")
    command.add_argument("--effort", default="quick", choices=("quick", "standard", "thorough"))
    command.add_argument("--resume", action="store_true", help="go on with RUN where it was stopped or killed")
    add_set_flag(
        command, "override one field of the recipe, for example --set sft_steps=30 (docs/training.md lists them)"
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Prepare the run folder unless it is resumed, train, and print the scorecard."""
    overrides = recipe_overrides(arguments.overrides)
    if arguments.queue == (arguments.out is not None) or (arguments.queue and arguments.resume):
        raise WrongUsage(f"train takes either --out RUN, or --queue alone (resume with: {as_typed('jobs resume ID')})")
    if arguments.queue:
        folder = character_folder(arguments.character)
        check(folder)
        return train_in_queue(folder, Recipe.for_effort(arguments.base, arguments.effort, **overrides))
    run_dir: Path = arguments.out
    recorded = (run_dir / "run.json").is_file()
    if recorded and not arguments.resume:
        raise CommandFailed(f"{run_dir} already holds a run; add --resume to go on with it, or name another folder")
    if arguments.resume and recorded and overrides:
        raise WrongUsage("--set cannot change a run that is resumed; its recipe is in run.json")
    if arguments.resume and not recorded:
        say(f"{run_dir} holds no run yet; starting from the beginning.")
    for sentence in lacking_at([(run_dir.absolute(), "the run folder", RUN_GB)]):
        say(sentence, file=sys.stderr)
    if not recorded:
        recipe = Recipe.for_effort(arguments.base, arguments.effort, **overrides)
        _start(run_dir, character_folder(arguments.character), recipe)

    from pipelines.train import stop_on_signals, train

    unsaved = False
    try:
        with stop_on_signals(lambda: unsaved) as asked, progress() as show:

            def report(event: Event) -> None:
                nonlocal unsaved
                unsaved = leaves_unsaved(event)
                show(event)
                if asked():
                    raise Stopped

            result = train(run_dir, report, resume=True)
    except Stopped as error:
        raise CommandFailed(
            f"stopped; everything learnt so far is kept in {run_dir}. Go on with: "
            + as_typed("train --resume", arguments.character, "--out", run_dir)
        ) from error
    say(scorecard(result["checkpoints"], result["best"]))
    used = f"{result['seconds']:.0f} s in all, at most {peak_memory_bytes() / 1e9:.1f} GB of memory"
    say(f"{best_words(result)} ({used})")
    say(f"Talk with it: {as_typed('chat', run_dir)}")
    keys = ("run", "seconds", "stages", "best", "best_faults", "checkpoints")
    return {key: result[key] for key in keys}, 0


def check(character_dir: Path) -> None:
    """Check the character as a creator would want it; CommandFailed with the first problem.

    Of what could be better it is said where the system prompt is cut: that is what is trained.
    """
    from pipelines.core.character.character_folder import read_character
    from pipelines.core.character.checks import check_report, check_system_prompt

    report = check_report(character_dir)
    if not report["ok"]:
        problems = [problem for problem in report["problems"] if problem["severity"] == "error"]
        first, more = problems[0], len(problems) - 1
        also = f" ({more} more: {as_typed('character check', character_dir)})" if more else ""
        raise CommandFailed(f"{first['field']}: {first['message']} {first['mend']}{also}")
    for cut in check_system_prompt(read_character(character_dir)):
        say(f"{cut.field}: {cut.message} {cut.mend}")


def _start(run_dir: Path, character_dir: Path, recipe: Recipe) -> None:
    """Check the character, then make the run folder."""
    from pipelines.train import prepare_run

    check(character_dir)
    made = not run_dir.exists()
    try:
        prepare_run(run_dir, character_dir, recipe)
    except BaseException:
        if made:  # a half-copied folder is not left behind
            shutil.rmtree(run_dir, ignore_errors=True)
        raise
