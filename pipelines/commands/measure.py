"""`understudy evaluate` and `understudy bench`: numbers about a run, and about our code against the plain way.

The measuring is in `pipelines.evaluate` and `pipelines.benchmarks`; here are the arguments and what is printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.commands.terminal import Answer, CommandFailed, WrongUsage, scorecard

BENCHES = ("sft", "sample", "grpo", "reply")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the two commands on the command line."""
    evaluate = commands.add_parser("evaluate", parents=[shared], help="measure checkpoints on the held-out split")
    evaluate.add_argument("run_dir", metavar="RUN", type=Path)
    evaluate.add_argument(
        "--checkpoint", metavar="NAME", action="append", default=[], help="one checkpoint, repeatable; all unless given"
    )
    evaluate.set_defaults(run=run_evaluate)
    bench = commands.add_parser("bench", parents=[shared], help="ours against the plain library path, as a ratio")
    bench.add_argument("name", choices=BENCHES)
    bench.add_argument("--base", default="starter", help="preset of the base model (default: starter)")
    bench.add_argument("--repeats", type=int, default=3, help="pairs of measurements (default 3)")
    bench.set_defaults(run=run_bench)


def run_evaluate(arguments: argparse.Namespace) -> Answer:
    """Measure again, write each checkpoint's scores.json and print the table."""
    from pipelines.core.runs import BASE, adapters
    from pipelines.evaluate import evaluate_run

    there = [BASE, *adapters(arguments.run_dir)]
    unknown = [name for name in arguments.checkpoint if name not in there]
    if unknown and (arguments.run_dir / "run.json").is_file():
        raise CommandFailed(f"{arguments.run_dir} has no checkpoint {', '.join(unknown)}; it has {', '.join(there)}")
    checkpoints = evaluate_run(arguments.run_dir, tuple(arguments.checkpoint), print_progress, again=True)
    print(scorecard(checkpoints))
    return {"checkpoints": checkpoints}, 0


def print_progress(event: object) -> None:
    """Events of an evaluation are not shown; the table comes at the end."""


def run_bench(arguments: argparse.Namespace) -> Answer:
    """Run one benchmark and print its ratio."""
    if arguments.repeats < 1:
        raise WrongUsage("--repeats must be at least 1")
    from pipelines.benchmarks import BENCHMARKS

    answer = BENCHMARKS[arguments.name](base=arguments.base, repeats=arguments.repeats)
    print(
        f"{answer['name']}: ours {answer['ours']:.4g}, plain {answer['plain']:.4g} {answer['unit']}; "
        f"ratio {answer['ratio_median']:.2f} (above 1: ours is faster)"
    )
    return answer, 0
