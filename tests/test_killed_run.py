"""A run that is killed at random moments ends with the records of an unbroken one."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.command import started
from tests.warm_process import Started

from infoplane.runs.folder import RunFolder

SETTINGS = [
    "digits-lenet5",
    "--data.train-examples=150",
    "--data.test-examples=60",
    "--training.epochs=5",
    "--measure-every=1",
    "--training.batch-size=16",
    "--training.learning-rate=0.02",
    "--attack.steps=4",
    "--attack.step-size=0.1",
    *("--measurement.layers", "conv2", "fc3"),
    "--measurement.permutations=2",
    "--measurement.thorough-epochs=2",
    "--measurement.noise-sweep=1",
    "--measurement.decoder-permutations=1",
]


def start(folder: Path) -> Started | subprocess.Popen[str]:
    # Without figures, the test spends its time where kills can hurt. A probe may choose otherwise at another time.
    return started("flow", *SETTINGS, "--run", folder, "--device", "cpu", "--deterministic", drawn=())


def finish(process: Started | subprocess.Popen[str]) -> str:
    output, complaints = process.communicate(timeout=240)
    assert process.returncode == 0, complaints
    return output


def files_written(folder: Path) -> int:
    return len(list(folder.glob("*/*.parquet"))) + len(list(folder.glob("checkpoints/*")))


def sorted_records(folder: Path) -> tuple[pl.DataFrame, ...]:
    run = RunFolder(folder)
    keys = ["training", "epoch", "examples", "layer_index", "estimator", "quantity", "kind", "class_index"]
    keys += ["noise_mode", "noise_ratio"]
    performance = run.performance().drop("seconds").sort("training", "epoch", "split", "examples")
    return (
        run.measurements().sort(keys),
        run.geometry().sort("training", "epoch", "examples", "layer_index"),
        performance,
    )


@pytest.mark.timeout(600)
def test_two_kills_at_random_moments_lose_nothing(tmp_path):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    finish(start(unbroken))
    chance = random.Random(os.environ.get("INFOPLANE_KILL_SEED", "0"))
    for _ in range(2):
        before = files_written(broken)
        process = start(broken)
        # wait until this sitting has added something, then a random while longer: kills fall into the work
        while files_written(broken) <= before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    assert "continued after epoch" in finish(start(broken))
    for found, expected in zip(sorted_records(broken), sorted_records(unbroken), strict=True):
        assert_frame_equal(found, expected, check_exact=True)
    assert not list(broken.rglob("*.tmp"))
