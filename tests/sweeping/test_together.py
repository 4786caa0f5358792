"""Reports and comparisons over a sweep: runs that differ in method and seed alone are one experiment."""

import json

import pytest
from tests.sweeping.small_sweeps import small_grid

from infoplane.commands.cli import main
from infoplane.commands.sweep_points import SweepPoints
from infoplane.runs.folder import RunFolder
from infoplane.sweeping.folder import SweepFolder
from infoplane.sweeping.together import runs_together


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of two learning rates with two seeds each."""
    folder, flow = SweepFolder(tmp_path_factory.mktemp("swept")), SweepPoints()
    rates = {"training.learning_rate": (("0.02",), ("0.05",))}
    more = {name: ((value,),) for name, value in {"training.batch_size": "8", "data.train_examples": "500"}.items()}
    grid = small_grid(epochs=2, seeds=2)
    grid = grid.model_copy(update={"settings": {**grid.settings, **rates, **more}})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("infoplane.report.html.write_figures", lambda *_, **__: [])
        for point in folder.begin(grid):  # as a sweep does, in this process
            run = ["--run", str(folder.run_path(point.name))]
            assert main(["flow", *flow.words(point), "--deterministic", "--quiet", *run]) == 0
    return folder.path


def test_seeds_of_a_setting_are_one_run_with_their_records(swept):
    folders = runs_together(SweepFolder(swept))
    assert [folder.name for folder in folders] == [
        "digits-lenet5-learning_rate=0.02", "digits-lenet5-learning_rate=0.05",
    ]  # fmt: skip
    for folder in folders:
        run = RunFolder(folder)
        settings = run.read_config()["settings"]
        assert (settings["seed"], settings["seeds"], settings["methods"]) == (0, 2, ["normal"])
        for seed in (0, 1):
            own = RunFolder(swept / "runs" / f"{folder.name}-s{seed}")
            assert run.measurements().filter(seed=seed).equals(own.measurements())
            assert run.performance().filter(seed=seed).equals(own.performance())
    before = {path: path.stat().st_mtime_ns for path in swept.rglob("together/*/*/*.parquet")}
    assert runs_together(SweepFolder(swept)) == folders
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_report_and_compare_take_a_sweep(swept, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("infoplane.report.html.write_figures", lambda *_, **__: [])
    assert main(["report", str(swept)]) == 0
    printed = capsys.readouterr().out.split()
    assert [path.removeprefix(f"{swept}/") for path in printed] == [
        "together/digits-lenet5-learning_rate=0.02/report.html",
        "together/digits-lenet5-learning_rate=0.05/report.html",
        "comparison/comparison.html",
    ]
    assert main(["compare", str(swept), "--output", str(tmp_path)]) == 0
    numbers = json.loads((tmp_path / "comparison.json").read_text())
    assert [run["name"] for run in numbers["runs"]] == [
        "digits-lenet5-learning_rate=0.02", "digits-lenet5-learning_rate=0.05",
    ]  # fmt: skip
    assert numbers["settings"]["training.learning_rate"] == ["0.02", "0.05"]
    assert all(one["covers_seeds"] and one["paired"] for one in numbers["differences"])
    assert main(["report", str(swept), "--json"]) == 2
    assert "take one run" in capsys.readouterr().err


def test_a_sweep_without_records_is_one_line(tmp_path, capsys):
    from tests.sweeping.small_sweeps import quick_jobs

    quick_jobs(tmp_path)
    assert main(["report", str(tmp_path)]) == 2
    assert "has records yet" in capsys.readouterr().err
