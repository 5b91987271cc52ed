"""`understudy bench`: our code against the plain library path as a ratio, and the numbers of the starter's card.

The measuring is in `pipelines.benchmarks` and `pipelines.starter_build`; here are the arguments and what is printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.commands.console import CommandFailed, CommandResult, WrongUsage

BENCHES = ("sft", "sample", "grpo", "reply", "starter", "gpu", "janus")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the command on the command line."""
    command = commands.add_parser(
        "bench", parents=[shared], help="ours against the plain library path, as a ratio; `starter`: what it can do"
    )
    command.add_argument("name", choices=BENCHES)
    command.add_argument("--base", default="starter", help="preset of the base model (default: starter)")
    command.add_argument("--repeats", type=int, default=3, help="pairs of measurements (default 3)")
    command.add_argument("--quick", action="store_true", help="starter: a tenth of the pictures")
    command.add_argument("--build", metavar="FOLDER", type=Path, help="starter: this build, not what is installed")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Run one benchmark and print its ratio."""
    if arguments.repeats < 1:
        raise WrongUsage("--repeats must be at least 1")
    if arguments.name == "starter":
        return measure_starter(arguments.build, arguments.quick)
    from pipelines.benchmarks import BENCHMARKS

    answer = BENCHMARKS[arguments.name](arguments.base, arguments.repeats)
    print(
        f"{answer['name']}: ours {answer['ours']:.4g}, plain {answer['plain']:.4g} {answer['unit']}; "
        f"ratio {answer['ratio_median']:.2f} (above 1: ours is faster)"
    )
    return answer, 0


def measure_starter(build: Path | None, quick: bool) -> CommandResult:
    """Every number of the starter's card, section by section; nothing is trained."""
    from pipelines.core.settings import Settings
    from pipelines.starter_build.build_config import build_config

    if build is not None and not build.is_dir():
        raise CommandFailed(f"{build}: there is no such folder; name the one given to --out of the build")
    folder = build or Settings.from_environment().home / "bench" / "starter"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        from pipelines.starter_build.measure import measure_all

        sections = measure_all(folder, build_config(folder).build_size, quick=quick)
    except ImportError as error:
        raise CommandFailed(f"{error}; drawing what is measured on needs: pip install 'understudy[build]'") from error
    return {"name": "starter", **sections}, 0
