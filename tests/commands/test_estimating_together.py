"""`infoplane estimate` by several processes, of this machine or on Ray, finds what one finds; none is left waiting."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.command import assert_one_clear_line, infoplane, started
from torch import distributed

from infoplane.commands.cli import main

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="this build of torch has no process groups")
EXACT = ("estimator", "kind", "quantity", "class_index", "samples", "features", "permutations", "noise_mode")
ROUNDED = ("value_nats", "standard_error", "null_mean_nats", "ceiling_nats", "gaussian_ceiling_nats", "noise_variance")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two blocks of samples, so that every process has some pairs."""
    folder, source = tmp_path_factory.mktemp("layer"), np.random.default_rng(0)
    labels = source.integers(0, 3, 600)
    np.save(folder / "layer.npy", (source.normal(size=(600, 64)) + labels[:, None]).astype(np.float32))
    np.save(folder / "labels.npy", labels)
    return [folder / "layer.npy", "--labels", folder / "labels.npy", "--permutations", 3]


@pytest.fixture(scope="module")
def alone(files):
    return json.loads(infoplane("estimate", *files, "--json").stdout)["measurements"]


def assert_same(found: subprocess.CompletedProcess[str], alone: list[dict]) -> None:
    assert (found.returncode, found.stderr) == (0, "")
    rows = json.loads(found.stdout)["measurements"]
    assert len(rows) == len(alone) > 50
    for one, other in zip(rows, alone, strict=True):
        assert [one[name] for name in EXACT] == [other[name] for name in EXACT]
        for name in ROUNDED:
            assert one[name] == (other[name] if other[name] is None else pytest.approx(other[name], abs=1e-6)), name


def test_processes_of_this_machine_find_what_one_finds(files, alone):
    assert_same(infoplane("estimate", *files, "--workers", 2, "--json"), alone)


def test_workers_on_ray_find_what_one_process_finds(files, alone):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    assert_same(infoplane("estimate", *files, "--workers", 2, "--engine", "ray", "--json"), alone)


def test_an_error_of_all_workers_is_one_clear_line(files, tmp_path):
    np.save(tmp_path / "nan.npy", np.full((600, 64), np.nan))
    done = infoplane("estimate", tmp_path / "nan.npy", *files[1:], "--workers", 2)
    assert_one_clear_line(done, "nan.npy", "must be finite")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_worker_that_ends_ends_the_command_in_one_line(engine, tmp_path):
    if engine == "ray":
        pytest.importorskip("ray", reason="the extra ray is not installed")
    np.save(tmp_path / "layer.npy", np.random.default_rng(0).normal(size=(6000, 600)))  # takes minutes
    np.save(tmp_path / "labels.npy", np.arange(6000) % 10)
    words = ["estimate", tmp_path / "layer.npy", "--labels", tmp_path / "labels.npy", "--workers=2"]
    process = started(*words, f"--engine={engine}")
    try:
        while process.poll() is None and len(workers := readers_of(tmp_path, process.pid)) < 2:
            time.sleep(0.05)
        os.kill(workers[-1], signal.SIGKILL)
        said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 2
    assert not said[0] or engine == "ray"  # Ray itself prints that a worker has died
    assert len(said[1].splitlines()) == 1
    assert "has ended before it was done" in said[1]
    assert "give the command again" in said[1]
    deadline = time.monotonic() + 30
    while readers_of(tmp_path, process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not readers_of(tmp_path, process.pid)


def readers_of(folder: Path, driver: int) -> list[int]:
    """Return the processes that have mapped a file of the folder, but for the driver."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{folder}/layer.npy" in (process / "maps").read_text() and int(process.name) != driver:
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(torch.cuda.is_available(), reason="there are GPUs")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_missing_gpus_are_one_clear_line(workers, files, capsys):
    assert main(["estimate", *map(str, files), "--device", "cuda", "--workers", workers]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "GPUs here; or use --device cpu" in line


def test_ray_that_is_not_installed_is_named_with_its_cure(files, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["estimate", *map(str, files), "--engine", "ray"]) == 2
    assert capsys.readouterr().err == "infoplane: --engine ray needs the extra: pip install 'infoplane[ray]'\n"
