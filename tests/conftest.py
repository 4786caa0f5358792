"""Fixtures and profiles shared by all tests."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

# matplotlib must never look for a display, and threads of one process must not fight over the cores.
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is loaded, here and in every process a test starts

import pytest
import torch
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=40,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_finish() -> None:
    """Leave what is there now out of all later collections of garbage: the modules of all tests, for instance."""
    gc.collect()
    gc.freeze()


def _environment_kept() -> Iterator[None]:
    """Undo what happens to the environment meanwhile: a command that a test starts has what a user has.

    Libraries leave variables behind, too. Some are read while Python starts, and commands of later tests would each
    need a new process (`warm_process`).
    """
    before = dict(os.environ)
    yield
    for name in {*before, *os.environ} - {"PYTEST_CURRENT_TEST"}:
        if name not in before:
            del os.environ[name]
        elif os.environ.get(name) != before[name]:
            os.environ[name] = before[name]


@pytest.fixture(autouse=True)
def _environment_of_a_test() -> Iterator[None]:
    yield from _environment_kept()


@pytest.fixture(autouse=True, scope="module")
def _environment_of_a_file() -> Iterator[None]:
    """What fixtures of a whole file leave behind, Ray for instance, ends with the file."""
    yield from _environment_kept()


@pytest.fixture
def generator() -> torch.Generator:
    """A generator with a fixed seed."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real datasets that `INFOPLANE_DATA` names; without it the test is skipped."""
    folder = os.environ.get("INFOPLANE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("INFOPLANE_DATA names no folder with real datasets")
    return Path(folder).resolve()
