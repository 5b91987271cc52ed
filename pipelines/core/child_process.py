"""Child processes that end with their parent, however it ends (Linux's parent-death signal).

    subprocess.Popen(tied_to_parent(["python", "-m", "..."]))

A worker that is killed cannot stop its trainer any more, and a trainer without a worker must not hold the GPU. The
kernel signals a process that asked for it with prctl(PR_SET_PDEATHSIG), and keeps that over execve; this file is run as
a script that asks and then becomes the command. On other systems the command runs untied. The parent is the starting
thread, so start it from one that lives as long as the program.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def tied_to_parent(command: Sequence[str], death: signal.Signals = signal.SIGKILL, nice: int = 0) -> list[str]:
    """The command line that runs `command` tied to this process; `death` is the signal it gets when this one is gone.

    nice: its niceness, 0 to 19; higher gives way to other programs on the same cores.
    """
    return [sys.executable, "-S", __file__, str(os.getpid()), str(int(death)), str(nice), *command]


def tie_to_parent(parent: int, death: int = signal.SIGKILL) -> None:
    """Have the kernel end this process when `parent`, which started it, is gone; SystemExit when it is gone already."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(death))
        if os.getppid() != parent:  # it died before the tie was made
            sys.exit(1)


def main() -> None:
    """Tie this process to its parent, then become the command."""
    (parent, death, nice), command = map(int, sys.argv[1:4]), sys.argv[4:]
    os.nice(nice)
    tie_to_parent(parent, death)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
