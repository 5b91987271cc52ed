"""A job for a rendering process that fails; in a module of its own, so that the process needs no torch to import it."""

from __future__ import annotations

import time


def fail_at_two(number: int) -> int:
    """The number; fails for 2 and takes a minute for larger ones."""
    if number == 2:
        raise RuntimeError("this one cannot be drawn")
    if number > 2:
        time.sleep(60)
    return number
