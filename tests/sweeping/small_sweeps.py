"""Small sweeps on few digits, with runs that draw no figures."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
from tests.command import DRAWING_LITTLE, drawing, hear_signals, infoplane

from infoplane.runs.folder import RunFolder
from infoplane.sweeping.execution import Job
from infoplane.sweeping.folder import SweepFolder
from infoplane.sweeping.grid import Grid

FEW = {
    "data.train_examples": "60", "data.test_examples": "40", "measurement.examples": "20", "measure_every": "1",
    "measurement.layers": "fc3", "measurement.thorough_epochs": "0", "measurement.permutations": "1",
    "measurement.noise_sweep": "1", "training.warmup_epochs": "0",
}  # fmt: skip
LONG = 600  # epochs, of a quick run that a test interrupts
QUICK_FLOW = str(Path(__file__).with_name("quick_flow.py"))
_START = (
    "import sys, infoplane.commands.sweep as command; command.PROGRAM = sys.argv.pop(1); "
    "from infoplane.commands.cli import main; sys.exit(main())"
)


def small_options(*, epochs: int = 1, **more: str) -> list[str]:
    """Return options of `infoplane sweep` for small runs; `more` are further settings."""
    settings = {**FEW, "training.epochs": str(epochs), **more}
    return ["--recipes", "digits-lenet5", *(word for one in settings.items() for word in ("--set", "=".join(one)))]


def small_grid(*, epochs: int = 1, methods: tuple[str, ...] = ("normal",), seeds: int = 1) -> Grid:
    """Return the grid of `small_options`."""
    settings = {name: ((value,),) for name, value in {**FEW, "training.epochs": str(epochs)}.items()}
    return Grid(recipes=("digits-lenet5",), methods=methods, seeds=seeds, settings=settings)


def quick_jobs(folder: Path, *, epochs: int = 1, seeds: int = 1, seconds: float = 0.1) -> list[Job]:
    """Begin a sweep whose runs train nothing (`quick_flow`), and return its jobs; an epoch takes so many seconds."""
    grid = Grid(recipes=("quick",), seeds=seeds, settings={"training.epochs": ((str(epochs),),)})
    return [
        Job(
            name=point.name,
            sweep=folder,
            words=(f"--training.epochs={epochs}", f"--seed={point.seed}"),
            directory=folder,
            environment={"QUICK_EPOCH": str(seconds)},
            program=QUICK_FLOW,
        )
        for point in SweepFolder(folder).begin(grid)
    ]


def small_jobs(folder: Path, *, epochs: int = 1, methods: tuple[str, ...] = ("normal",), seeds: int = 1) -> list[Job]:
    """Begin a sweep of real runs, and return its jobs as the command makes them."""
    from infoplane.commands.sweep_points import SweepPoints

    points, flow = SweepFolder(folder).begin(small_grid(epochs=epochs, methods=methods, seeds=seeds)), SweepPoints()
    return [
        Job(
            name=point.name,
            sweep=folder,
            words=(*flow.words(point), "--deterministic"),
            directory=folder,
            environment={"DRAWN_FIGURES": "", "OMP_NUM_THREADS": "1"},
            program=str(DRAWING_LITTLE),
        )
        for point in points
    ]


def reference(folder: Path, *more: str) -> None:
    """Make the run of `small_jobs` in a sweep's folder without any engine, by `infoplane flow` with more options."""
    for job in small_jobs(folder):
        done = infoplane("flow", *job.words, *more, "--run", SweepFolder(folder).run_path(job.name), drawn=())
        assert done.returncode == 0, done.stderr


def started(*words: object) -> subprocess.Popen[str]:
    """Start `infoplane sweep` as a user does, with runs that train nothing."""
    command = [sys.executable, "-c", _START, QUICK_FLOW, "sweep", *map(str, words)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=drawing(()), preexec_fn=hear_signals
    )


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str] | None = None, seconds: float = 120) -> None:
    """Wait until `what` is true; fail after a long time, or if the process ends before."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def epochs_measured(folder: Path, name: str) -> int:
    """Return the number of epochs with records of a point."""
    return len(list((SweepFolder(folder).run_path(name) / "performance").glob("*.parquet")))


def kill_process_of(folder: Path, name: str, number: int = signal.SIGKILL) -> int:
    """Kill the process that works on a point, and return its pid."""
    pid = SweepFolder(folder).state(name).pid
    os.kill(pid, number)
    return pid


def records(path: Path) -> tuple[bytes, ...]:
    """Return the records of a run in a form that is equal only for equal bits, without times."""
    run = RunFolder(path)
    tables = (run.measurements(), run.geometry(), run.performance().drop("seconds"))
    assert all(len(table) for table in tables[::2])
    return tuple(_bits(table) for table in tables)


def _bits(table: pl.DataFrame) -> bytes:
    return table.write_json().encode() + b"|" + str(table.schema).encode()


def quick_epochs(folder: Path) -> dict[str, list[str]]:
    """Return what the quick runs of a sweep wrote for each epoch, by name."""
    return {
        path.name: [file.read_text() for file in sorted((path / "performance").iterdir())]
        for path in sorted((folder / "runs").iterdir())
    }


def all_records(folder: Path) -> dict[str, tuple[bytes, ...]]:
    """Return the records of all runs of a sweep by name."""
    return {path.name: records(path) for path in sorted((folder / "runs").iterdir())}
