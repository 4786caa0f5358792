"""`infoplane flow --jobs 2`: trainings side by side, one run folder."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tests.command import assert_one_clear_line, infoplane, started
from tests.team.test_flow_together import ONE_LAYER, ROWS, SETTINGS, run_of
from torch.utils.data import DataLoader

from infoplane.runs.folder import RunFolder

# measured at the ends alone; an epoch of training takes a blink
LONG = [*ONE_LAYER, "--training.epochs=15", "--measure-every=15", "--methods=normal", "--seeds=2"]


def test_the_run_is_that_of_one_process_with_its_report(tmp_path):
    words = [*SETTINGS, "--training.epochs=1"]
    one = run_of(tmp_path / "one", settings=words)
    done = infoplane(*words, "--run", tmp_path / "two", "--jobs", 2, OMP_NUM_THREADS="2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done
    two = RunFolder(tmp_path / "two")
    assert (two.path / "report.html").is_file()
    assert (two.path / "figures" / "class-entropies-adversarial-s0.svg").is_file()
    assert two.read_config()["environment"]["threads"] == 1  # of two, divided between two trainings
    for table in ("measurements", "geometry"):
        assert getattr(one, table)().equals(getattr(two, table)())
    assert one.performance().drop("seconds").equals(two.performance().drop("seconds"))
    again = infoplane(*words, "--run", two.path, drawn=())  # a run may go on with another number of jobs
    assert (again.returncode, again.stderr) == (0, ""), again


def test_figures_are_those_of_one_process(flow_run, tmp_path):
    from infoplane.distributed.side_processes import SideProcesses
    from infoplane.report.figure_files import write_figures

    alone = write_figures(flow_run, tmp_path / "one")
    with SideProcesses(2, preload="infoplane.report.figure_files") as processes:
        together = write_figures(flow_run, tmp_path / "two", processes=processes)
    assert len(alone) > 3
    assert [(one.spec, one.title, one.nothing, one.stem.name) for one in together] == [
        (one.spec, one.title, one.nothing, one.stem.name) for one in alone
    ]
    names = sorted(path.name for path in (tmp_path / "one" / "figures").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two" / "figures").iterdir())
    for name in names:
        assert (tmp_path / "one/figures" / name).read_bytes() == (tmp_path / "two/figures" / name).read_bytes()


def processes_beside(leader: int) -> list[int]:
    """Children of a process that carry out work."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == leader and b"spawn_main" in words:
            found.append(int(process.name))
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
@pytest.mark.parametrize("victim", ["leader", "worker"])
def test_a_process_that_is_ended_ends_the_run_which_then_continues(tmp_path, victim):
    folder = tmp_path / "run"
    process, run = started(*LONG, "--run", folder, "--jobs=2", drawn=()), RunFolder(folder)
    while process.poll() is None and not (
        folder.is_dir() and min(max(run.checkpoint_epochs(seed, "normal"), default=0) for seed in (0, 1)) >= 2
    ):
        time.sleep(0.02)
    workers = processes_beside(process.pid)
    assert len(workers) == 2
    if victim == "leader":
        process.send_signal(signal.SIGTERM)
    else:
        os.kill(workers[0], signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert len(said.strip().splitlines()) == 1, said
    if victim == "leader":
        assert process.returncode == 143
        assert said.strip().startswith("interrupted; only the epoch under way will be repeated. To continue: infoplane")
    else:
        assert process.returncode == 2
        assert "a process of this run has ended before its work was done; what was finished is kept" in said
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
    if victim == "worker":
        run_of(folder, settings=LONG)
        unbroken = run_of(tmp_path / "unbroken", settings=LONG)
        ours, theirs = (one.performance().drop("seconds").sort("seed", *ROWS) for one in (run, unbroken))
        assert ours.equals(theirs)
        assert set(ours.filter(pl.col("epoch") == 15)["seed"]) == {0, 1}


def own_data():
    """Other images at each call."""
    images = np.random.default_rng().random((180, 1, 28, 28), np.float32)
    return as_splits(images, np.arange(180) % 3)


def as_splits(images, labels):
    return {"train": (images[:120], labels[:120]), "test": (images[120:], labels[120:])}


def own_data_by_other_processes():
    """The same images at each call, from a loader with processes of its own."""
    items = [(torch.full((1, 28, 28), number / 180), number % 3) for number in range(180)]
    images, labels = next(iter(DataLoader(items, batch_size=180, num_workers=1)))
    return as_splits(images.numpy(), labels.numpy())


OWN = [
    *("flow", "mnist-lenet5", "--epochs", "1", "--measurement.examples", "40", "--measurement.layers", "fc3"),
    *("--measurement.thorough-epochs", "0", "--measurement.decoder-permutations", "1", "--precision=32", "--quiet"),
    *("--measurement.permutations", "2", "--measurement.noise-sweep", "1", "--measurement.inputs", "0"),
]


def test_a_function_that_gives_other_images_at_each_call_is_refused(tmp_path):
    words = ["--data", f"{__name__}:own_data", "--run", tmp_path / "run", "--jobs", "2"]
    done = infoplane(*OWN, *words, drawn=(), cwd=Path(__file__).parents[2])
    assert_one_clear_line(done, "images are not those that", "began with")


def test_a_function_may_start_processes(tmp_path):
    words = ["--data", f"{__name__}:own_data_by_other_processes", "--run", tmp_path / "run", "--jobs", "2"]
    done = infoplane(*OWN, *words, drawn=(), cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stderr) == (0, ""), done


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--jobs", "0"], "--jobs must be greater than or equal to 1, got 0"),
        (["--jobs", "2", "--devices", "2"], "--devices and --nodes share one: choose one"),
        (["--jobs", "2", "--device", "cuda"], "--jobs is for the CPU"),
    ],
)
def test_what_does_not_go_together_is_refused(words, said, tmp_path):
    settings = [word for word in SETTINGS if not word.startswith("--device=")]
    assert_one_clear_line(infoplane(*settings, "--run", tmp_path / "run", *words), said)
    assert not (tmp_path / "run").exists()
