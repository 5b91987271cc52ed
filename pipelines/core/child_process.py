"""Ties a program to the one that starts it: when that one dies, however it dies, the kernel ends this one.

    subprocess.Popen(tethered(["python", "-m", "..."]))

A worker that is killed cannot stop its trainer any more, and a trainer that nobody listens to must not hold the GPU.
Linux does this for a process that asks for it, and keeps the wish when it becomes another program; this file is run as
a script for that. On other systems the command runs untied. Start it from a thread that lives as long as the program:
the tie is to the thread.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def tied_to_parent(command: Sequence[str], death: signal.Signals = signal.SIGKILL, nice: int = 0) -> list[str]:
    """The command line that runs `command` tied to this process; `death` is what it gets when this one is gone.

    nice: how far it stands back (0 to 19) behind others that want the same cores.
    """
    return [sys.executable, "-S", __file__, str(os.getpid()), str(int(death)), str(nice), *command]


def main() -> None:
    """Tie this process to its parent, then become the command."""
    (parent, death, nice), command = map(int, sys.argv[1:4]), sys.argv[4:]
    os.nice(nice)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death)
        if os.getppid() != parent:  # it died before we were tied
            sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
