import matplotlib as mpl
import pytest

from infoplane.errors import UserError
from infoplane.report.figures import write_figures
from infoplane.runs import RunFolder


@pytest.fixture(scope="module")
def small_run(make_run, tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("run") / "small", epochs=(0,), layers=("a$\\frac$1", "b_{"), trainings=("normal",)
    )


@pytest.fixture(scope="module")
def written(small_run):
    return {path: path.read_bytes() for path in write_figures(small_run)}


def test_each_training_gets_its_figures_and_each_seed_a_comparison(small_run, written):
    names = [path.name for path in written]
    assert names == [
        f"{stem}.{suffix}"
        for stem in ("information-flow-normal-s3", "class-entropies-normal-s3", "comparison-s3")
        for suffix in ("png", "pdf")
    ]
    assert (small_run.path / "figures" / names[0]).read_bytes().startswith(b"\x89PNG")
    assert (small_run.path / "figures" / names[1]).read_bytes().startswith(b"%PDF")


def test_the_same_records_give_the_same_bytes(small_run, written):
    mpl.rcParams["axes.facecolor"] = "red"  # neither do the caller's settings matter
    try:
        assert {path: path.read_bytes() for path in write_figures(small_run)} == written
        assert mpl.rcParams["axes.facecolor"] == "red"
    finally:
        mpl.rcdefaults()


def test_a_run_without_records_draws_nothing(make_run, tmp_path):
    assert write_figures(make_run(tmp_path / "run", trainings=())) == []


def test_a_folder_without_a_run_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match="holds no config"):
        write_figures(RunFolder(tmp_path))
