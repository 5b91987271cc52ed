"""How this process asks the system for memory, and what the most was that it held.

glibc keeps freed blocks below its mmap threshold, which grows by itself up to 32 MiB, for later use. A training step
frees its activations in another order than it made them, so what is kept ends up in pieces that nothing fits into: a
gigabyte of five in stage 1 of the starter (docs/log.md). With a fixed threshold every large tensor has a mapping of its
own that goes back when it is freed, and huge pages keep that from costing a page fault per 4 KiB.
https://man7.org/linux/man-pages/man3/mallopt.3.html
"""

from __future__ import annotations

import ctypes
import os
import sys

MMAP_THRESHOLD = 4 * 2**20
"""Bytes from which on an allocation gets a mapping of its own."""
_M_MMAP_THRESHOLD = -3  # <malloc.h>


def give_back_freed_memory() -> bool:
    """Fix glibc's mmap threshold and let PyTorch's CPU allocator use huge pages; call before torch allocates.

    False where the C library is not glibc, which then stays as it is. A user's own settings of the environment
    (MALLOC_MMAP_THRESHOLD_, THP_MEM_ALLOC_ENABLE) are kept.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by c10 at its first allocation
    if sys.platform != "linux" or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD))
    except AttributeError:  # musl has no such function
        return False


def peak_memory_bytes() -> int:
    """The most memory this process has held so far (resident set), in bytes; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
