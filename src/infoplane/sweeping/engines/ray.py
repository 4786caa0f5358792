"""Engine `ray`: tasks of Ray Core. Ray decides where and when they run, and starts them again if a node is lost."""

import contextlib
import secrets
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from infoplane.distributed.ray_cluster import check_ray, ray_connected
from infoplane.errors import UserError
from infoplane.runs.whole_files import write_whole
from infoplane.sweeping.engines.engine import EngineSettings, EngineSpec
from infoplane.sweeping.execution import RETRIES, Job, Outcome, execute
from infoplane.sweeping.folder import SweepFolder
from infoplane.sweeping.packed import Packed, PackedRun
from infoplane.text import one_line

_TOKEN = ".token"  # a file by which a worker sees whether it has the folder of the sweep
_SEND = 1.0  # seconds between two looks for changed files
_GRACE = 40.0  # seconds in which tasks stop their processes


class _Keeper:
    """Actor on the machine of the sweep: it hands out and takes back the files of runs on other machines."""

    def __init__(self, sweep: Path) -> None:
        self._sweep = sweep

    def packed(self, name: str) -> Packed | None:
        return PackedRun(self._sweep, name).changes()

    def keep(self, packed: Packed) -> None:
        PackedRun(self._sweep, packed.name).write(packed)


def _execute(job: Job, token: str, keeper: Any) -> Outcome:
    """Execute a job on the node where Ray runs this task; in a folder of its own, if it does not see the sweep."""
    import ray

    # Ray cancels a task by an interrupt, which goes nowhere in a worker that was started in the background of a shell.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(OSError):
        if (job.sweep / _TOKEN).read_text() == token:
            return execute(job)
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

        token, sweep = secrets.token_hex(16), jobs[0].sweep
        write_whole(sweep / _TOKEN, token.encode())
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
            _write_stopped(running.values())
            ray.kill(keeper)
            (sweep / _TOKEN).unlink(missing_ok=True)


def _write_stopped(jobs: Iterable[Job]) -> None:
    """Say of cancelled runs that they have stopped: a worker may end before it says so itself."""
    for job in jobs:
        folder = SweepFolder(job.sweep)
        state = folder.state(job.name)
        if state.status == "running":
            folder.write_state(job.name, state.model_copy(update={"status": "stopped", "seen": time.time()}))


def _outcome(done: Any, job: Job) -> Outcome:
    import ray

    try:
        found: Outcome = ray.get(done)
    except ray.exceptions.RayError as error:
        line = one_line(str(error).strip().splitlines()[-1])
        folder = SweepFolder(job.sweep)
        folder.write_state(
            job.name, folder.state(job.name).model_copy(update={"status": "failed", "error": line, "seen": time.time()})
        )
        return Outcome(job.name, "failed", line)
    return found


def _build(settings: EngineSettings) -> RayEngine:
    if settings.slurm:
        raise UserError("--slurm is for the other cluster; add --engine slurm")
    check_ray(settings.address)
    return RayEngine(settings)


RAY = EngineSpec("ray", "tasks on a Ray cluster, with --address, or on this machine", _build)
