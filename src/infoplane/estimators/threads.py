"""One thread where the work is many small operations."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch's CPU operations inside the block on one thread, and put the caller's number back.

    Threads meet at the end of every operation. A decoder is some thousand operations on small matrices: two threads
    gain a fifth at best, at 5,000 x 16,384, and where the system keeps both on one core they take up to 15 times as
    long, each waiting for the other's turn.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
