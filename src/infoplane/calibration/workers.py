"""Worker processes of one thread each, so that results do not depend on their number."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context

import torch

from infoplane.distributed.child_processes import begin_child

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@contextmanager
def worker_processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Yield an executor; an error or Ctrl-C inside the block ends its processes at once."""
    ours = set(active_children())
    with _single_threads():
        executor = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin_worker)
        try:
            yield executor
        except BaseException:
            for process in set(active_children()) - ours:
                process.terminate()
            raise
        finally:
            executor.shutdown(cancel_futures=True)


@contextmanager
def _single_threads() -> Iterator[None]:
    # Libraries read this when they are loaded, before our code runs in the new process.
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin_worker() -> None:
    torch.set_num_threads(1)
    begin_child()
