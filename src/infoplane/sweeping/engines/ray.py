"""Engine `ray`: tasks of Ray Core. Ray decides where and when they run, and starts them again if a node is lost."""

import contextlib
import fcntl
import secrets
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from infoplane.distributed.ray_cluster import check_ray, check_reserved, ray_connected
from infoplane.errors import UserError
from infoplane.runs.whole_files import IN_USE, LOCK, make_folder, open_regular, write_whole
from infoplane.sweeping.engines.engine import EngineSettings, EngineSpec
from infoplane.sweeping.execution import (
    POLL,
    RETRIES,
    WAIT,
    Job,
    Outcome,
    execute,
    without_gpus,
    write_failed,
    write_stopped,
)
from infoplane.sweeping.folder import SweepFolder
from infoplane.sweeping.packed import Packed, PackedRun
from infoplane.text import one_line

_SEND = 1.0  # seconds between two looks for changed files
_GRACE = 40.0  # seconds in which tasks stop their processes


class _Keeper:
    """Actor on the machine of the sweep: it hands out and takes back the files of runs on other machines.

    A run of which it has handed out the files stays locked here, as no process of this machine works on it.
    """

    def __init__(self, sweep: Path) -> None:
        self._sweep = sweep
        self._locks: dict[str, contextlib.ExitStack] = {}

    def lock(self, name: str) -> bool:
        """Lock a run; False if another process works on it."""
        if name not in self._locks:
            run, held = SweepFolder(self._sweep).run_path(name), contextlib.ExitStack()
            make_folder(run)
            try:
                fcntl.flock(held.enter_context(open_regular(run / LOCK)), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.close()
                return False
            self._locks[name] = held
        return True

    def free(self, name: str) -> None:
        """Free a run, so that another process can work on it."""
        if name in self._locks:
            self._locks.pop(name).close()

    def packed(self, name: str) -> Packed | None:
        return PackedRun(self._sweep, name).changes()

    def keep(self, packed: Packed) -> None:
        if not self.lock(packed.name):  # this actor was started anew, and another process came first
            raise UserError(f"{packed.name} {IN_USE}")
        PackedRun(self._sweep, packed.name).write(packed)


def _execute(job: Job, token: Path, keeper: Any) -> Outcome:
    """Execute a job on the node where Ray runs this task; in a folder of its own, if it does not see the sweep."""
    import ray

    # Ray cancels a task by an interrupt, which goes nowhere in a worker that was started in the background of a shell.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if token.is_file():
        ray.get(keeper.free.remote(job.name))  # locked for a node that was lost
        return execute(job)
    wait_until = time.monotonic() + WAIT
    while not ray.get(keeper.lock.remote(job.name)):
        if time.monotonic() > wait_until:
            return Outcome(job.name, "elsewhere")
        time.sleep(POLL)
    try:
        return _execute_copy(job, keeper)
    finally:
        ray.get(keeper.free.remote(job.name))


def _execute_copy(job: Job, keeper: Any) -> Outcome:
    """Execute a job in a folder of its own, which begins with what the sweep has of the run; send back what changes."""
    import ray

    with tempfile.TemporaryDirectory(prefix="infoplane-sweep-") as place:
        copy, sent = PackedRun(Path(place), job.name), 0.0
        if (before := ray.get(keeper.packed.remote(job.name))) is not None:
            copy.write(before)

        def send() -> None:
            if (changed := copy.changes()) is not None:
                ray.get(keeper.keep.remote(changed))

        def send_now_and_then() -> None:
            nonlocal sent
            if time.monotonic() - sent > _SEND:
                sent = time.monotonic()
                send()

        try:
            return execute(replace(job, sweep=Path(place)), between=send_now_and_then)
        finally:
            send()


class RayEngine:
    """Executes each run as a task with retries, on one core, and on as many GPUs as the settings say.

    Args:
        settings: of all engines.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings

    def run(self, jobs: Sequence[Job], report: Callable[[Outcome], None]) -> None:
        """Execute all jobs; on KeyboardInterrupt, cancel all tasks, which stop their processes."""
        with ray_connected(self._settings.address, self._settings.jobs):
            self._run(jobs, report)

    def _run(self, jobs: Sequence[Job], report: Callable[[Outcome], None]) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # A file by which a task sees whether it has the folder of the sweep; two sweeps on one folder have one each.
        check_reserved(self._settings.gpus_per_run)
        if not self._settings.gpus_per_run:
            jobs = [without_gpus(job) for job in jobs]
        sweep = jobs[0].sweep
        token = sweep / f".token-{secrets.token_hex(16)}"
        write_whole(token, b"")
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        keeping = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here)(_Keeper)
        keeper: Any = keeping.remote(sweep)
        task: Any = ray.remote(num_cpus=1, num_gpus=self._settings.gpus_per_run, max_retries=RETRIES)(_execute)
        waiting, running = list(reversed(jobs)), dict[Any, Job]()
        try:
            while waiting or running:
                while waiting and len(running) < (self._settings.jobs or len(jobs)):
                    job = waiting.pop()
                    running[task.remote(job, token, keeper)] = job
                for done in ray.wait(list(running), timeout=1)[0]:
                    report(_outcome(done, running.pop(done)))
        finally:
            for one in running:
                ray.cancel(one)
            if running:
                ray.wait(list(running), num_returns=len(running), timeout=_GRACE)
            write_stopped(running.values())
            ray.kill(keeper)
            token.unlink(missing_ok=True)


def _outcome(done: Any, job: Job) -> Outcome:
    import ray

    try:
        found: Outcome = ray.get(done)
    except ray.exceptions.RayError as error:
        return write_failed(job, one_line(str(error).strip().splitlines()[-1]))
    return found


def _build(settings: EngineSettings) -> RayEngine:
    check_ray(settings.address)
    return RayEngine(settings)


_TAKES = frozenset({"address", "gpus_per_run"})
RAY = EngineSpec("ray", "tasks on a Ray cluster, with --address, or on this machine", _build, _TAKES)
