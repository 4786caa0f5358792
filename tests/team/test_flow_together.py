"""`infoplane flow --devices 2`: two processes, one run folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from tests.command import assert_one_clear_line, drawing, entry, infoplane, started

from infoplane.commands.cli import main
from infoplane.runs.folder import RunFolder

SETTINGS = [
    "flow",
    "digits-lenet5",
    "--data.train-examples=200",
    "--data.test-examples=100",
    "--training.batch-size=16",
    "--attack.steps=4",
    "--attack.step-size=0.1",
    "--measurement.examples=60",
    *("--measurement.layers", "conv2", "fc2", "fc3"),
    "--measurement.permutations=3",
    "--measurement.thorough-epochs=0",
    "--measurement.noise-sweep=1",
    "--measurement.decoder-permutations=1",
    "--precision=32",
    "--device=cpu",
    "--quiet",
]
LAUNCHER = ("lightning_fabric.strategies.ddp",)  # its import takes longest
ROWS = ["training", "epoch", "split", "examples"]


def run_of(folder: Path, *arguments: str, settings: list[str] = SETTINGS) -> RunFolder:
    done = infoplane(*settings, "--run", folder, *arguments, drawn=(), imported=LAUNCHER)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done
    return RunFolder(folder)


def test_records_agree_with_one_process(tmp_path):
    one = run_of(tmp_path / "one", "--training.epochs=2")
    done = infoplane(
        *[*SETTINGS, "--training.epochs=2", "--run", tmp_path / "two", "--devices", 2],
        drawn=["class-entropies"],
        imported=LAUNCHER,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done
    two = RunFolder(tmp_path / "two")
    assert (two.path / "report.html").is_file()
    assert (two.path / "figures" / "class-entropies-adversarial-s0.svg").is_file()
    assert not list(two.path.rglob("*rank*"))
    both = one.performance().join(two.performance(), on=ROWS, suffix="_two")
    assert len(both) == len(one.performance()) == len(two.performance())
    # a gradient that is all but zero may point the other way when sums run in another order
    assert (both["loss"] - both["loss_two"]).abs().max() < 2e-3
    assert (both["accuracy"] - both["accuracy_two"]).abs().max() <= 0.02
    assert (both["gradient_evaluations"] == both["gradient_evaluations_two"]).all()
    rows = [*ROWS, "layer", "estimator", "kind", "quantity", "distribution", "class_index", "noise_mode", "noise_ratio"]
    values = one.measurements().join(two.measurements(), on=rows, suffix="_two", nulls_equal=True)
    assert len(values) == len(one.measurements()) == len(two.measurements())
    kde = values.filter(pl.col("estimator").str.starts_with("kde"), pl.col("noise_mode") == "fixed")
    assert len(kde) > 100
    assert (kde["value_nats"] - kde["value_nats_two"]).abs().max() < 0.02
    first = values.filter(pl.col("epoch") == 0)  # the same weights: the same bits
    assert (first["value_nats"].eq_missing(first["value_nats_two"])).all()


def ranks_of(folder: Path, leader: int) -> dict[int, int]:
    """Process by local rank. The leader may be a copy of another process, whose words it then has."""
    found = {0: leader} if Path(f"/proc/{leader}").exists() else {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            environment = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(folder).encode() in words and b"flow" in words:
            ranks = [int(one.removeprefix(b"LOCAL_RANK=")) for one in environment if one.startswith(b"LOCAL_RANK=")]
            found[ranks[0] if ranks else 0] = int(process.name)
    return found


# measured at the ends alone; an epoch of training takes a blink
EPOCHS = 20
ONE_LAYER = [*(word for word in SETTINGS if word not in ("conv2", "fc2")), "--measurement.inputs=0"]
LONG = [*ONE_LAYER, f"--training.epochs={EPOCHS}", f"--measure-every={EPOCHS}", "--methods=free"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("unbroken") / "run", "--devices=2", settings=LONG)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
def test_a_process_that_is_ended_ends_the_run_which_then_continues(tmp_path, unbroken):
    folder = tmp_path / "run"
    run, epochs = RunFolder(folder), 0
    for victim, number, status, words in (
        (0, signal.SIGTERM, 143, "interrupted; only the epoch under way will be repeated. To continue: infoplane"),
        (1, signal.SIGKILL, 2, "another process of this run has ended"),
    ):
        process = started(*LONG, "--run", folder, "--devices=2", drawn=(), imported=LAUNCHER)
        while process.poll() is None and not (
            folder.is_dir() and max(run.checkpoint_epochs(0, "free"), default=0) >= epochs + 2
        ):
            time.sleep(0.02)
        ranks = ranks_of(folder, process.pid)
        assert sorted(ranks) == [0, 1]
        os.kill(ranks[victim], number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == status, said
        assert len(said.strip().splitlines()) == 1
        assert words in said
        assert said.strip().startswith(words) or victim == 1
        deadline = time.monotonic() + 30
        while ranks_of(folder, process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not ranks_of(folder, process.pid)
        before, epochs = epochs, max(run.checkpoint_epochs(0, "free"))
        assert before + 2 <= epochs < EPOCHS
    run_of(folder, "--devices=2", settings=LONG)
    ours, theirs = (one.performance().drop("seconds").sort(ROWS) for one in (run, unbroken))
    assert ours.equals(theirs)


def test_another_number_of_processes_is_refused(tmp_path, unbroken):
    settings = [*ONE_LAYER, "--training.epochs=0", "--methods=normal"]
    run_of(tmp_path / "run", settings=settings)
    again = infoplane(*settings, "--run", tmp_path / "run", "--devices", "2", imported=LAUNCHER)
    assert_one_clear_line(again, "began with 1 process, got 2", "--devices")
    again = infoplane(*LONG, "--run", unbroken.path, imported=LAUNCHER)
    assert_one_clear_line(again, "began with 2 processes, got 1", "--devices")


def test_nonsense_is_refused():
    assert_one_clear_line(infoplane(*SETTINGS, "--devices", "0"), "--devices must be greater than or equal to 1, got 0")


def test_torchrun_starts_the_processes(tmp_path):
    torchrun = Path(sys.executable).with_name("torchrun")
    own = [*ONE_LAYER, "--training.epochs=1", "--methods=normal", "--run", str(tmp_path / "run")]
    _, script = entry(drawn=())
    command = [torchrun, "--nproc-per-node=2", "--master-port=0", "--standalone", "--", script, *own]
    done = subprocess.run(command, env=drawing(()), capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done
    run = RunFolder(tmp_path / "run")
    assert run.performance()["epoch"].max() == 1


def test_under_torchrun_the_number_of_processes_is_not_an_option(tmp_path, monkeypatch, capsys):
    for name, value in (("TORCHELASTIC_RUN_ID", "1"), ("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert main([*SETTINGS, "--run", str(tmp_path / "run"), "--devices", "3"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "leave --devices and --nodes out" in line
