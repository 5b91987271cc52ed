"""`understudy bench`: our code against the plain library path as a ratio; and what the starter can do.

The measuring is in `pipelines.benchmarks` and `pipelines.starter_build`; here are the arguments and what is printed.

    understudy bench sft                                  ours against the plain way, as a ratio
    understudy bench starter --quick                      what the starter can do, in about ten minutes
    understudy bench starter --part people --part replies  two parts of it, whole
    understudy bench starter --build runs/starter-build   the figures of the card, of weights that are being made
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.commands.console import CommandFailed, CommandResult, WrongUsage, say, table
from pipelines.core.command_line import install_as_typed
from pipelines.core.jobs.model_specs import STARTER_PRESETS

BENCHES = ("sft", "sample", "grpo", "reply", "starter", "gpu", "janus")
STARTER_PARTS = ("drawings", "people", "fewshot", "own-art", "characters", "replies")
"""Keys of `pipelines.starter_build.bench.run_bench.PARTS` in their order; here, since `--help` loads no torch."""
OUT, QUICK_OUT = Path("runs/bench-starter"), Path("runs/bench-starter-quick")
"""Apart, since `--quick` trains less, and trainings of another recipe are made anew."""
DRAWING_NEEDS = "drawing what is measured on needs"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the command on the command line."""
    command = commands.add_parser(
        "bench", parents=[shared], help="ours against the plain library path, as a ratio; `starter`: what it can do"
    )
    command.add_argument("name", choices=BENCHES)
    command.add_argument("--base", default="starter", help="preset of the base model (default: starter)")
    command.add_argument("--repeats", type=int, default=3, help="pairs of measurements (default 3)")
    command.add_argument(
        "--part", action="append", choices=STARTER_PARTS, help="starter: this part, several times for several (all)"
    )
    command.add_argument("--quick", action="store_true", help="starter: fewer cases and shorter training, ten minutes")
    command.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help=f"starter: finished cases, trained runs and sheets; an interrupted call goes on ({OUT}, {QUICK_OUT})",
    )
    command.add_argument("--build", metavar="FOLDER", type=Path, help="starter: the card's figures of this build")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Run one benchmark and print its ratio."""
    if arguments.repeats < 1:
        raise WrongUsage("--repeats must be at least 1")
    if arguments.name == "starter":
        if arguments.build is not None:
            return measure_build(arguments.build, arguments.quick)
        return bench_starter(arguments.base, arguments.part, arguments.quick, arguments.out)
    from pipelines.benchmarks import BENCHMARKS

    answer = BENCHMARKS[arguments.name](arguments.base, arguments.repeats)
    say(
        f"{answer['name']}: ours {answer['ours']:.4g}, plain {answer['plain']:.4g} {answer['unit']}; "
        f"ratio {answer['ratio_median']:.2f} (above 1: ours is faster)"
    )
    return answer, 0


def bench_starter(base: str, parts: list[str] | None, quick: bool, out: Path | None) -> CommandResult:
    """The goals of the starter, part by part; exit status 1 when a part had to be skipped."""
    if base not in STARTER_PRESETS:
        raise WrongUsage(f"bench starter measures the starter, not {base}")
    out = out or (QUICK_OUT if quick else OUT)
    try:
        from pipelines.starter_build.bench.bench_context import BenchContext
        from pipelines.starter_build.bench.counts import QUICK, WHOLE
        from pipelines.starter_build.bench.readings import score_table
        from pipelines.starter_build.bench.run_bench import run_bench

        chosen = [name for name in STARTER_PARTS if not parts or name in parts]
        answer, results = run_bench(BenchContext(out, QUICK if quick else WHOLE, base), chosen)
    except ImportError as error:
        raise CommandFailed(f"{error}; {DRAWING_NEEDS}: {install_as_typed('build')}") from error
    if results:
        say(table(score_table(results)))
    for result in results:
        for line in (*result.notes, *(str(out / sheet) for sheet in result.sheets)):
            say(f"{result.part}: {line}")
    return answer | {"quick": quick}, 1 if answer["skipped"] else 0


def measure_build(folder: Path, quick: bool) -> CommandResult:
    """Every number of the card of a build's weights, section by section; nothing is trained."""
    from pipelines.starter_build.build_config import build_config

    if not folder.is_dir():
        raise CommandFailed(f"{folder}: there is no such folder; name the one given to --out of the build")
    try:
        from pipelines.starter_build.measure import measure_all

        sections = measure_all(folder, build_config(folder).build_size, quick=quick)
    except ImportError as error:
        raise CommandFailed(f"{error}; {DRAWING_NEEDS}: {install_as_typed('build')}") from error
    return {"name": "starter", **sections}, 0
