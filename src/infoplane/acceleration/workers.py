"""Parts of a batch side by side, each on a thread of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import torch

SMALLEST_PART = 16  # images: smaller parts spend their time on calls

Result = TypeVar("Result")


def in_parts(work: Callable[[slice], Result], images: int, workers: int) -> list[Result]:
    """Return `work(rows)` for consecutive rows that together are all of a batch, in their order.

    torch's own threads share every single operation and meet at its end. A small network's operations are too short
    for that; whole passes through parts of the batch are not. Operations on a worker use one thread, and their Python
    code takes turns, so `work` must spend its time in torch and must not touch state that parts share.

    Args:
        work: computes on the rows it is given.
        images: in the batch.
        workers: threads; with 1, or a small batch, `work` runs here on all rows at once.
    """
    parts = min(workers, images // SMALLEST_PART)
    if parts < 2:
        return [work(slice(0, images))]
    ends = [images * part // parts for part in range(parts + 1)]
    rows = [slice(begin, end) for begin, end in pairwise(ends)]
    return list(_pool(workers).map(work, rows))


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="infoplane-part", initializer=_one_thread)
    list(pool.map(lambda _: None, range(workers)))
    torch.set_num_threads(threads)  # the initialiser also changed what threads to come begin with
    return pool


def _one_thread() -> None:
    torch.set_num_threads(1)
