"""One thread where the work is many small operations."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the CPU operations of torch, numpy and scipy inside the block on one thread, and put the numbers back.

    Threads meet at the end of every operation. A decoder is some thousand operations on small matrices: two threads
    gain a fifth at best, at 5,000 x 16,384, and where the system keeps both on one core they take up to 15 times as
    long, each waiting for the other's turn. The threads of scipy's linear algebra wait in a loop that occupies a core.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _linear_algebra().limit(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(threads)


@cache
def _linear_algebra() -> ThreadpoolController:
    """Find the libraries that are loaded: once, since that takes milliseconds."""
    return ThreadpoolController()
