"""`understudy up`: studio and worker in one terminal.

Neither is in this version: the command says so and names what does the same work without them.
"""

from __future__ import annotations

import argparse

from pipelines.commands.terminal import Answer, CommandFailed


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the command on the command line."""
    command = commands.add_parser("up", parents=[shared], help="start studio and worker")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Answer:
    """Say that there is nothing to start yet; exit status 1."""
    raise CommandFailed("studio and worker are not yet in this version; use `understudy train` and `understudy chat`")
