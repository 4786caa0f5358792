"""A run that is killed at random moments ends with the records of an unbroken one."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from infoplane.runs.folder import RunFolder

SETTINGS = [
    "digits-lenet5",
    "--data.train-examples=150",
    "--data.test-examples=100",
    "--training.epochs=5",
    "--measure-every=1",
    "--training.batch-size=16",
    "--training.learning-rate=0.02",
    "--attack.steps=4",
    "--attack.step-size=0.1",
    "--measurement.permutations=3",
    "--measurement.thorough-epochs=3",
    "--measurement.decoder-permutations=1",
]
# The report is drawn after the records are complete; without it the test spends its time where kills can hurt.
CODE = """
import sys
import infoplane.commands.cli as cli
import infoplane.report.html as html
html.write_report = lambda run, found: run.path / "report.html"
sys.exit(cli.main(sys.argv[1:]))
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CODE, "flow", *SETTINGS, "--run", str(folder), "--device", "cpu"]
    command.append("--deterministic")  # a probe may choose otherwise at another time
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)


def finish(process: subprocess.Popen[bytes]) -> str:
    output, _ = process.communicate(timeout=240)
    text = output.decode()
    assert process.returncode == 0, text
    return text


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
def test_three_kills_at_random_moments_lose_nothing(tmp_path):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    finish(start(unbroken))
    chance = random.Random(os.environ.get("INFOPLANE_KILL_SEED", "0"))
    for _ in range(3):
        before = files_written(broken)
        process = start(broken)
        # wait until this sitting has added something, then a random while longer: kills fall into the work
        while files_written(broken) <= before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    assert "continued after epoch" in finish(start(broken))
    for found, expected in zip(sorted_records(broken), sorted_records(unbroken), strict=True):
        assert_frame_equal(found, expected, check_exact=True)
    assert not list(broken.rglob("*.tmp"))
