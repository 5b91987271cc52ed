"""Forty bombs in the sizes in which they were found, each read in the studio's reading process.

    python -m tests.benchmarks.upload_bombs          one line each; exit status 1 where one took too much

Making them takes two minutes and 300 MB.
"""

from __future__ import annotations

import sys

from tests.read_bombs import NOTHING_TO_REFUSE, measured
from tests.upload_bombs import bombs


def main() -> int:
    """Read them all."""
    failed = 0
    for bomb in bombs(whole=True):
        took = measured(bomb)
        fits = took.seconds < 20 and took.process_mb < 1500 and took.parent_mb < 100
        fits &= took.is_refused or bomb.kind in NOTHING_TO_REFUSE
        failed += not fits
        state = "refused" if took.is_refused else "read"
        print(
            f"{'ok  ' if fits else 'FAIL'} {took.seconds:5.1f} s {took.process_mb:5d} MB, "
            f"studio +{took.parent_mb:3d} MB {state:7} {took.bomb}: {took.words[:120]}",
            flush=True,
        )
    print(f"{failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
