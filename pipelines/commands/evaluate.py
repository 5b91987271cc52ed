"""`understudy evaluate`: scores of a run's checkpoints on the held-out split.

The measuring is `pipelines.evaluation.scorecard`; here are the arguments, the progress bar and the printed table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.commands.console import CommandFailed, CommandResult, say, scorecard
from pipelines.commands.progress import progress


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the command on the command line."""
    command = commands.add_parser("evaluate", parents=[shared], help="measure checkpoints on the held-out split")
    command.add_argument("run_dir", metavar="RUN", type=Path)
    command.add_argument(
        "--checkpoint", metavar="NAME", action="append", default=[], help="one checkpoint, repeatable; all unless given"
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Measure again, write each checkpoint's scores.json and print the table."""
    from pipelines.core.run_folder import BASE, adapters
    from pipelines.evaluation.evaluate_run import evaluate_run

    available = [BASE, *adapters(arguments.run_dir)]
    unknown = [name for name in arguments.checkpoint if name not in available]
    if unknown and (arguments.run_dir / "run.json").is_file():
        raise CommandFailed(
            f"{arguments.run_dir} has no checkpoint {', '.join(unknown)}; it has {', '.join(available)}"
        )
    with progress() as show:
        checkpoints = evaluate_run(arguments.run_dir, tuple(arguments.checkpoint), show, again=True)
    say(scorecard(checkpoints))
    return {"checkpoints": checkpoints}, 0
