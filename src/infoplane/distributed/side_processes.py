"""Processes of this machine that carry out pieces of work side by side, one at a time each."""

import signal
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


_NOT_STARTED = "a process beside this one ended while it started, see its lines above; leave out --jobs"


class _Ready:
    """First message of a process: it has imported what it needs."""


class _Import(NamedTuple):
    """Sent to a process that has no work, which does not answer."""

    module: str


class _Ended(NamedTuple):
    """Last message about a piece of work."""

    refusal: UserError | OSError | None = None  # raised again as it is: these have a line for users
    failure: str | None = None  # traceback of any other error


class SideProcesses:
    """Processes that wait for work. They end with the block of the `with` statement, whatever they are doing.

    Args:
        number: of processes.
        preload: module that each process imports at once, while this process still prepares the work.
        later: module that a process imports when it waits for the others.
    """

    def __init__(self, number: int, *, preload: str, later: str | None = None) -> None:
        self._later = later
        self._pipes, self._processes = list[Connection](), list[SpawnProcess]()
        self._ready = set[Connection]()
        try:
            with _without_interruption():  # Ctrl-C reaches all processes of a terminal; this one decides what happens
                for _ in range(number):
                    self._start(preload)
        except BaseException:
            self._end()
            raise

    def _start(self, preload: str) -> None:
        context = get_context("spawn")
        here, there = context.Pipe()
        # A daemon could have no processes of its own, which users' functions may start.
        process = context.Process(target=_child, args=(there, preload), daemon=False)
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
        self._end()

    def _end(self) -> None:
        for process in self._processes:
            process.kill()  # files are written whole or not at all
            process.join()

    def carry_out(self, works: Sequence[Work], heard: Tell) -> None:
        """Hand out the work, in this order, and return when all of it is done.

        Args:
            works: each is carried out once, by any process.
            heard: called here with everything that the work tells.

        Raises:
            UserError, OSError: some work raised it, or a process ended. Then no more work can be handed out.
        """
        try:
            self._carry_out(works, heard)
        except BaseException:
            self._end()
            raise

    def _carry_out(self, works: Sequence[Work], heard: Tell) -> None:
        left, busy = list(reversed(works)), set[Connection]()

        def hand_out(pipe: Connection) -> None:
            if left:
                with self._lost_if_broken(pipe):
                    pipe.send(left.pop())
                busy.add(pipe)
            elif self._later is not None and busy:
                with self._lost_if_broken(pipe):
                    pipe.send(_Import(self._later))

        for pipe in self._pipes:
            hand_out(pipe)
        while busy:
            ready = wait(busy)
            for pipe in [pipe for pipe in self._pipes if pipe in ready]:
                with self._lost_if_broken(pipe):
                    said = pipe.recv()
                if isinstance(said, _Ready):
                    self._ready.add(pipe)
                elif not isinstance(said, _Ended):
                    heard(said)
                elif said.refusal is not None:
                    raise said.refusal
                elif said.failure is not None:
                    raise RuntimeError(f"a process of this run failed:\n{said.failure}")
                else:
                    busy.discard(pipe)
                    hand_out(pipe)

    @contextmanager
    def _lost_if_broken(self, pipe: Connection) -> Iterator[None]:
        """Turn the end of a pipe into a UserError."""
        try:
            yield
        except (EOFError, OSError):
            raise UserError(_LOST if pipe in self._ready else _NOT_STARTED) from None


@contextmanager
def _without_interruption() -> Iterator[None]:
    """Block Ctrl-C in the processes that are started in the block, for good; in this one it waits for the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _child(pipe: Connection, preload: str) -> None:
    begin_child()
    import_module(preload)
    pipe.send(_Ready())
    with suppress(EOFError):  # of the process that hands out work
        while True:
            work: Work | _Import = pipe.recv()
            if isinstance(work, _Import):
                import_module(work.module)
            else:
                pipe.send(_outcome(work, pipe.send))


def _outcome(work: Work, tell: Tell) -> _Ended:
    try:
        work(tell)
    except (UserError, OSError) as error:
        return _Ended(refusal=error)
    except Exception:  # noqa: BLE001 - raised again where the work was handed out
        return _Ended(failure=traceback.format_exc())
    return _Ended()
