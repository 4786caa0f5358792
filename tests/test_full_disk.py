"""A run on a full disk ends with one clear line, keeps what was written before, and continues when there is room."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from tests.command import UNRENDERED, assert_one_clear_line, infoplane, run_script

from infoplane.runs.folder import RunFolder

ROOM = 130_000  # bytes: checkpoints of LeNet-5 need more
SETTINGS = (
    "digits-lenet5", "--data.train-examples=60", "--data.test-examples=40", "--measurement.examples=20", "--methods",
    "normal", "--measurement.layers", "fc3", "--measurement.thorough-epochs=0", "--measurement.permutations=1",
    "--measurement.noise-sweep=1",
    "--training.epochs=2", "--measure-every=1", "--deterministic", "--quiet",
)  # fmt: skip
# Files of more than so many bytes cannot be written, from the checkpoint of epoch 1 on: a disk fills up like this.
FILLING = f"""
import resource, sys
import infoplane.commands.cli as cli
from infoplane.runs.folder import RunFolder
write = RunFolder.write_checkpoint
def filling(self, seed, training, epoch, *state):
    if epoch == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, ({ROOM}, resource.RLIM_INFINITY))
    write(self, seed, training, epoch, *state)
RunFolder.write_checkpoint = filling
sys.exit(cli.main(sys.argv[1:]))
"""


def flow(run: Path):
    return infoplane("flow", *SETTINGS, "--run", run, drawn=UNRENDERED)


def records(run: Path) -> pl.DataFrame:
    keys = ["epoch", "examples", "estimator", "quantity", "kind", "class_index", "noise_mode", "noise_ratio"]
    return RunFolder(run).measurements().sort(keys)


def test_nothing_is_lost_where_the_disk_fills_up(tmp_path):
    script = tmp_path / "filling.py"
    script.write_text(FILLING)
    full = run_script(script, "flow", *SETTINGS, "--run", tmp_path / "run")
    assert_one_clear_line(full, "File too large", "what was written before is whole", "give the command again")
    assert set(records(tmp_path / "run")["epoch"]) == {0}
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["s0-normal-e0000.safetensors"]
    json.loads((tmp_path / "run/config.json").read_text())
    assert flow(tmp_path / "run").returncode == 0
    assert infoplane("flow", *SETTINGS, "--run", tmp_path / "unbroken", drawn=()).returncode == 0
    assert records(tmp_path / "run").equals(records(tmp_path / "unbroken"))


def test_a_disk_without_room_is_one_clear_line(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    try:
        full = flow(disk / "run")
        assert_one_clear_line(full, "No space left on device", "what was written before is whole")
        assert not list(disk.rglob("*.tmp"))
    finally:
        subprocess.run(["umount", disk], check=True)


def test_other_errors_of_the_system_are_not_hidden():
    code = "import infoplane.commands.cli as cli; cli._dispatch = lambda _: open('/nowhere/at/all'); cli.main([])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "FileNotFoundError" in done.stderr
