"""`understudy train`: one character folder in, one run folder out, with live progress.

Ctrl-C once stops after the step at hand and keeps a run that `--resume` goes on with; twice kills it. With `--queue` a
worker trains instead, wherever it is, and there is no run folder here: see `jobs.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.commands.console import (
    CommandFailed,
    CommandResult,
    WrongUsage,
    character_folder,
    scorecard,
)
from pipelines.core.events import Event, Report, Stopped
from pipelines.core.jobs.recipe import Recipe
from pipelines.core.stage_names import STAGE_NAMES


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the command on the command line."""
    command = commands.add_parser("train", parents=[shared], help="teach one character to the model")
    command.add_argument("character", metavar="CHARACTER_DIR", help="character folder, or the name of a bundled one")
    command.add_argument("--out", metavar="RUN", type=Path, help="run folder, made if missing")
    command.add_argument("--queue", action="store_true", help="have a worker do it, without --out (understudy up)")
    command.add_argument("--base", default="starter", help="preset of the base model (default: starter)")
    command.add_argument("--effort", default="quick", choices=("quick", "standard", "thorough"))
    command.add_argument("--resume", action="store_true", help="go on with RUN where it was stopped or killed")
    command.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="override one field of the recipe, for example --set sft_steps=30 (docs/training.md lists them)",
    )
    command.set_defaults(run=run)


def recipe_overrides(pairs: list[str], recipe: Recipe | None = None) -> dict[str, Any]:
    """`["sft_steps=30"]` to values of the right type; WrongUsage names the field and what it takes.

    Of a table, such as `reward_weights`, a part may be given; the rest is as in `recipe` or the usual one.
    """
    known = (recipe or Recipe()).to_json()
    defaults = {name: value for name, value in known.items() if name not in ("base", "effort")}
    overrides: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or name not in defaults:
            raise WrongUsage(f"--set {pair}: write FIELD=VALUE with one of {', '.join(defaults)}")
        default = defaults[name]
        try:
            value = json.loads(text)
        except ValueError as error:
            raise WrongUsage(f"--set {pair}: {text!r} is not a number or a JSON object") from error
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(default):
            raise WrongUsage(f"--set {pair}: {name} takes a value such as {json.dumps(default)}")
        if isinstance(default, dict):
            unknown = sorted(set(value) - set(default))
            if unknown:
                raise WrongUsage(f"--set {pair}: {name} has no {', '.join(unknown)}, only {', '.join(default)}")
            value = {**default, **value}
        overrides[name] = value
    return overrides


def run(arguments: argparse.Namespace) -> CommandResult:
    """Prepare the run folder unless it is resumed, train, and print the scorecard."""
    overrides = recipe_overrides(arguments.overrides)
    if arguments.queue == (arguments.out is not None) or (arguments.queue and arguments.resume):
        raise WrongUsage("train takes either --out RUN, or --queue alone (resume with: understudy jobs resume ID)")
    if arguments.queue:
        from pipelines.commands.jobs import send_and_follow

        folder = character_folder(arguments.character)
        check(folder)
        return send_and_follow(folder, Recipe.for_effort(arguments.base, arguments.effort, **overrides))
    run_dir: Path = arguments.out
    recorded = (run_dir / "run.json").is_file()
    if recorded and not arguments.resume:
        raise CommandFailed(f"{run_dir} already holds a run; add --resume to go on with it, or name another folder")
    if arguments.resume and recorded and overrides:
        raise WrongUsage("--set cannot change a run that is resumed; its recipe is in run.json")
    if arguments.resume and not recorded:
        print(f"{run_dir} holds no run yet; starting from the beginning.")
    if not recorded:
        recipe = Recipe.for_effort(arguments.base, arguments.effort, **overrides)
        _start(run_dir, character_folder(arguments.character), recipe)

    from pipelines.train import stop_on_signals, train

    try:
        with stop_on_signals() as asked, progress() as show:

            def report(event: Event) -> None:
                show(event)
                if asked():
                    raise Stopped

            result = train(run_dir, report, resume=True)
    except Stopped as error:
        raise CommandFailed(
            f"stopped; everything learnt so far is kept in {run_dir}. Go on with: "
            f"understudy train {arguments.character} --out {run_dir} --resume"
        ) from error
    print(scorecard(result["checkpoints"], result["best"]))
    print(f"Best checkpoint: {run_dir / 'checkpoints' / result['best']}  ({result['seconds']:.0f} s in all)")
    print(f"Talk with it: understudy chat {run_dir}")
    keys = ("run", "seconds", "stages", "best", "checkpoints")
    return {key: result[key] for key in keys}, 0


def check(character_dir: Path) -> None:
    """Check the character as a creator would want it; CommandFailed with the first problem."""
    from pipelines.core.character.checks import check_report

    report = check_report(character_dir)
    if not report["ok"]:
        problems = [problem for problem in report["problems"] if problem["severity"] == "error"]
        first, more = problems[0], len(problems) - 1
        also = f" ({more} more: understudy character check {character_dir})" if more else ""
        raise CommandFailed(f"{first['field']}: {first['message']} {first['mend']}{also}")


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


@contextlib.contextmanager
def progress() -> Iterator[Report]:
    """Bars on standard error, one a stage: loss, reward parts and time left; plain lines in a log file."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<25}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
    )
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:

        def show(event: Event) -> None:
            words = STAGE_NAMES[event.stage]
            numbers = "  ".join(f"{key} {value:.3g}" for key, value in shown(event.metrics).items()) or event.note
            if event.stage not in tasks:
                tasks[event.stage] = bars.add_task(words, total=1, numbers="")
            done = event.step if event.total else 0
            bars.update(tasks[event.stage], total=max(event.total, 1), completed=done, numbers=numbers)
            if not console.is_terminal:
                place = f" {event.step}/{event.total}" if event.total else ""
                print(f"{words}{place}  {numbers}", file=sys.stderr, flush=True)

        yield show


def shown(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics worth a place beside the bar: loss, reward and its parts."""
    wanted = ("loss", "reward", *Recipe().reward_weights)
    return {key: metrics[key] for key in wanted if key in metrics}
