"""Our commands as somebody can type them here: in messages that say what to do next.

`make setup` puts `understudy` into a virtual environment that nobody has to activate, so the bare name is right only
where a shell finds this very program under it (in the containers, or after `activate`); a text that is read elsewhere,
such as the README beside an adapter, has the bare name.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

PROGRAM = "understudy"


def as_typed(command: str, *names: object) -> str:
    """`understudy COMMAND NAMES`, such as `.venv/bin/understudy chat 'runs/my own'`; names are quoted for a shell."""
    own = Path(sys.executable).with_name(PROGRAM)  # not resolved: a virtual environment's Python is a link out of it
    found = shutil.which(PROGRAM)
    if found and (not own.is_file() or Path(found).samefile(own)):
        program = PROGRAM
    elif own.is_file():
        program = _from_here(own)
    else:
        program = f"{_from_here(Path(sys.executable))} -m pipelines.cli"
    return " ".join([program, command, *(shlex.quote(str(name)) for name in names)])


def install_as_typed(extra: str) -> str:
    """What installs an extra of this project into the environment that runs."""
    return f"{_from_here(Path(sys.executable))} -m pip install 'understudy[{extra}]'"


def _from_here(path: Path) -> str:
    """The path as a shell takes it, from the working directory where it lies below that."""
    try:
        here = Path.cwd()
    except OSError:  # it was deleted; a message is no place to fail
        return shlex.quote(str(path))
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
