"""Processes of this machine that carry out pieces of work side by side, one at a time each."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import NamedTuple, Self

from infoplane.distributed.child_processes import begin_child
from infoplane.errors import UserError

Tell = Callable[[object], None]
Work = Callable[[Tell], None]  # can be sent to a process; what it tells is heard by the process that handed it out

_LOST = (
    "a process of this run has ended before its work was done; what was finished is kept: give the command again, "
    "and it continues from there, with fewer --jobs if memory was short"
)


class _Ended(NamedTuple):
    """Last message about a piece of work."""

    refusal: str | None = None  # message of a UserError
    failure: str | None = None  # traceback of any other error


class SideProcesses:
    """Processes that wait for work. They end with the block of the `with` statement, whatever they are doing.

    Args:
        number: of processes.
        preload: module that each process imports at once, while this process still prepares the work.
    """

    def __init__(self, number: int, *, preload: str) -> None:
        context = get_context("spawn")
        self._pipes, self._processes = list[Connection](), list[SpawnProcess]()
        for _ in range(number):
            here, there = context.Pipe()
            process = context.Process(target=_child, args=(there, preload), daemon=True)
            process.start()
            there.close()  # so that the pipe ends when the process does
            self._pipes.append(here)
            self._processes.append(process)

    def __len__(self) -> int:
        return len(self._processes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()  # files are written whole or not at all
            process.join()

    def carry_out(self, works: Sequence[Work], heard: Tell) -> None:
        """Hand out the work, in this order, and return when all of it is done.

        Args:
            works: each is carried out once, by any process.
            heard: called here with everything that the work tells.

        Raises:
            UserError: some work was refused, or a process ended.
        """
        left, busy = list(reversed(works)), set[Connection]()

        def hand_out(pipe: Connection) -> None:
            if left:
                with _lost_if_broken():
                    pipe.send(left.pop())
                busy.add(pipe)

        for pipe in self._pipes:
            hand_out(pipe)
        while busy:
            ready = wait(busy)
            for pipe in [pipe for pipe in self._pipes if pipe in ready]:
                with _lost_if_broken():
                    said = pipe.recv()
                if not isinstance(said, _Ended):
                    heard(said)
                    continue
                if said.refusal is not None:
                    raise UserError(said.refusal)
                if said.failure is not None:
                    raise RuntimeError(f"a process of this run failed:\n{said.failure}")
                busy.discard(pipe)
                hand_out(pipe)


@contextmanager
def _lost_if_broken() -> Iterator[None]:
    """Turn the end of a pipe into a UserError."""
    try:
        yield
    except (EOFError, OSError):
        raise UserError(_LOST) from None


def _child(pipe: Connection, preload: str) -> None:
    begin_child()
    import_module(preload)
    with suppress(EOFError):  # of the process that hands out work
        while True:
            work: Work = pipe.recv()
            pipe.send(_outcome(work, pipe.send))


def _outcome(work: Work, tell: Tell) -> _Ended:
    try:
        work(tell)
    except UserError as error:
        return _Ended(refusal=str(error))
    except Exception:  # noqa: BLE001 - raised again where the work was handed out
        return _Ended(failure=traceback.format_exc())
    return _Ended()
