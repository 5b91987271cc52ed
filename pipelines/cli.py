"""The command `understudy`: everything the studio can do, from a terminal.

`understudy COMMAND --help` explains each command. With `--json` the last line on standard output is one JSON object and
everything else goes to standard error. Exit status: 0 done, 1 failed with a one-line reason, 2 wrong usage.
Heavy imports happen inside the commands, so `--help` is quick; neither studio nor worker is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from pipelines.commands import bench, character, chat, doctor, draw, env_file, evaluate, jobs, maintenance, train, up
from pipelines.commands.console import CommandFailed, CommandResult, WrongUsage, json_line, reason_of, say
from pipelines.core.jobs.job import RecordMissing, RecordsUnusable
from pipelines.core.problems import CharacterProblems
from pipelines.core.run_folder import RunError
from pipelines.core.words import printable

DONE, FAILED, USAGE = 0, 1, 2
RENAMED: dict[tuple[str, ...], str] = {
    ("secrets",): "init-env",
    ("collect",): "gc",
    ("alive",): "health",
    ("jobs", "further"): "jobs continue",
    ("character", "expand"): "character augment",
}
"""Commands of earlier versions; whoever types one is told its present name."""


class _Parser(argparse.ArgumentParser):
    """Tells wrong usage without commands to the terminal: a file's name may hold some."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def parser() -> argparse.ArgumentParser:
    """The whole command line; each command adds itself."""
    root = _Parser(prog="understudy", description="Teach one character to an open text+image model, and talk with it.")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="last line on standard output is one JSON object")
    shared.add_argument("--debug", action="store_true", help="show the full traceback when something fails")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in (train, chat, draw, evaluate, bench, character, doctor, up, jobs, env_file, maintenance):
        group.add(commands, shared)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    words = sys.argv[1:] if argv is None else list(argv)
    for old, new in RENAMED.items():
        if tuple(words[: len(old)]) == old:
            say(f"understudy: `understudy {' '.join(old)}` is `understudy {new}` now", sys.stderr)
            return USAGE
    try:
        arguments = parser().parse_args(words)
    except SystemExit as exit_:  # argparse prints the usage itself
        return USAGE if exit_.code else DONE
    try:
        # Libraries print where they like; with --json standard output belongs to the one object.
        with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
            run: Callable[[argparse.Namespace], CommandResult] = arguments.run
            answer, status = run(arguments)
    except WrongUsage as error:
        say(f"understudy: {error}", sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        say("understudy: interrupted", sys.stderr)
        return FAILED
    except (
        CommandFailed,
        CharacterProblems,
        RunError,
        RecordMissing,
        RecordsUnusable,
        OSError,
        ValueError,
        RuntimeError,
        ImportError,
    ) as error:
        if arguments.debug:
            raise
        say(f"understudy: {reason_of(error)}", sys.stderr)
        return FAILED
    if arguments.json:
        print(json_line(answer), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
