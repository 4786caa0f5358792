"""Memory that tensors give back is kept for the next tensors, instead of going to the system and coming back."""

import ctypes
import sys

# <malloc.h>: names of glibc's settings
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3

ALWAYS_KEPT = 2**31 - 1  # bytes of free memory at the end of the heap before any goes back
FETCHED_AT_ONCE = 64 * 2**20
LARGEST_FROM_HEAP = 2**30


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory; for a process that allocates the same large tensors again and again.

    By default glibc returns them to the system, which hands out zeroed pages again at the next operation: up to a
    third of the time of a small network's step (docs/performance.md). The process stays as large as it once was.

    Returns:
        Whether there was something to set; False where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = ((MMAP_THRESHOLD, LARGEST_FROM_HEAP), (TRIM_THRESHOLD, ALWAYS_KEPT), (TOP_PAD, FETCHED_AT_ONCE))
    accepted = [mallopt(setting, value) for setting, value in wanted]
    return all(accepted)
