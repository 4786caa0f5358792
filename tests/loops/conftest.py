"""One measured plane, and the run that it was saved as."""

import shutil
from pathlib import Path

import pytest
from tests.loops.own_loops import measured

from infoplane import InformationPlane


@pytest.fixture(scope="session")
def finished() -> InformationPlane:
    """A plane with two epochs; tests do not measure with it."""
    return measured()


@pytest.fixture(scope="session")
def saved(finished, tmp_path_factory) -> Path:
    """The folder that it was saved in; tests do not change it."""
    return finished.save(tmp_path_factory.mktemp("own") / "run")


@pytest.fixture
def own_copy(saved, tmp_path) -> Path:
    """A copy of the folder that a test may change."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))
