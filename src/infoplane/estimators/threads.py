"""Run a block of code on one thread, which is faster for many small operations."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the CPU operations of torch, numpy and scipy inside the block on one thread; then restore the settings.

    Threads wait for each other at the end of every operation. Fitting a decoder takes some thousand operations, on
    small matrices if there are few examples. If the system runs two threads on one core, they take up to 15 times as
    long. The waiting threads of scipy's linear algebra also occupy a core.
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
    """Find the loaded libraries, once only, since that takes milliseconds."""
    return ThreadpoolController()
