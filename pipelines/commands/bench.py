"""`understudy evaluate` and `understudy bench`: numbers about a run, and about our code against the plain way.

The measuring is in `pipelines.evaluation.scorecard` and `pipelines.benchmarks`; here are the arguments and what is printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.commands.console import CommandFailed, CommandResult, WrongUsage, scorecard

BENCHES = ("sft", "sample", "grpo", "reply", "starter", "gpu", "janus")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the two commands on the command line."""
    evaluate = commands.add_parser("evaluate", parents=[shared], help="measure checkpoints on the held-out split")
    evaluate.add_argument("run_dir", metavar="RUN", type=Path)
    evaluate.add_argument(
        "--checkpoint", metavar="NAME", action="append", default=[], help="one checkpoint, repeatable; all unless given"
    )
    evaluate.set_defaults(run=run_evaluate)
    bench = commands.add_parser(
        "bench", parents=[shared], help="ours against the plain library path, as a ratio; `starter`: what it can do"
    )
    bench.add_argument("name", choices=BENCHES)
    bench.add_argument("--base", default="starter", help="preset of the base model (default: starter)")
    bench.add_argument("--repeats", type=int, default=3, help="pairs of measurements (default 3)")
    bench.add_argument("--quick", action="store_true", help="starter: a tenth of the pictures")
    bench.add_argument("--build", metavar="FOLDER", type=Path, help="starter: this build, not what is installed")
    bench.set_defaults(run=run_bench)


def run_evaluate(arguments: argparse.Namespace) -> CommandResult:
    """Measure again, write each checkpoint's scores.json and print the table."""
    from pipelines.core.run_folder import BASE, adapters
    from pipelines.evaluation.scorecard import evaluate_run

    there = [BASE, *adapters(arguments.run_dir)]
    unknown = [name for name in arguments.checkpoint if name not in there]
    if unknown and (arguments.run_dir / "run.json").is_file():
        raise CommandFailed(f"{arguments.run_dir} has no checkpoint {', '.join(unknown)}; it has {', '.join(there)}")
    checkpoints = evaluate_run(arguments.run_dir, tuple(arguments.checkpoint), print_progress, again=True)
    print(scorecard(checkpoints))
    return {"checkpoints": checkpoints}, 0


def print_progress(event: object) -> None:
    """Events of an evaluation are not shown; the table comes at the end."""


def run_bench(arguments: argparse.Namespace) -> CommandResult:
    """Run one benchmark and print its ratio."""
    if arguments.repeats < 1:
        raise WrongUsage("--repeats must be at least 1")
    if arguments.name == "starter":
        return measure_starter(arguments.build, arguments.quick)
    from pipelines.benchmarks import BENCHMARKS

    answer = BENCHMARKS[arguments.name](base=arguments.base, repeats=arguments.repeats)
    print(
        f"{answer['name']}: ours {answer['ours']:.4g}, plain {answer['plain']:.4g} {answer['unit']}; "
        f"ratio {answer['ratio_median']:.2f} (above 1: ours is faster)"
    )
    return answer, 0


def measure_starter(build: Path | None, quick: bool) -> CommandResult:
    """Every number of the starter's card, section by section; nothing is trained."""
    from pipelines.core.settings import Settings
    from pipelines.starter_build.build_config import build_config
    from pipelines.starter_build.measure import measure_all

    if build is not None and not build.is_dir():
        raise CommandFailed(f"{build}: there is no such folder; name the one given to --out of the build")
    folder = build or Settings.from_environment().home / "bench" / "starter"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        sections = measure_all(folder, build_config(folder).sizes, quick=quick)
    except ImportError as error:
        raise CommandFailed(f"{error}; drawing what is measured on needs: pip install 'understudy[build]'") from error
    return {"name": "starter", **sections}, 0
